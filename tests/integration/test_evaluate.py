"""`strata evaluate` over a tiny set, through the real command and the real stages."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from indexing.identity import document_id
from pipelines.core.settings import Settings
from pipelines.core.types import DEFAULT_TENANT
from services.cli.progress import progress
from services.evaluation.data.corpus import COMPLETE, CorpusIndex, corpus_settings
from services.evaluation.data.sets import EvaluationSet, load
from services.runtime import Runtime

SPLIT = "kept-back"
TEXTS = {
    "Eiffel Tower": "The Eiffel Tower stands in Paris. It was completed in 1889 by the company of Gustave Eiffel.",
    "Photosynthesis": "Photosynthesis turns carbon dioxide and water into sugar. Chlorophyll absorbs the light.",
    "Mount Everest": "Mount Everest is the highest mountain above sea level. Its summit is 8,849 metres high.",
    "Penicillin": "Penicillin was discovered by Alexander Fleming in 1928. It grew on a mould in London.",
    "Espresso": "Espresso is brewed by forcing hot water through finely ground coffee beans.",
}
QUESTIONS = [
    ("When was the Eiffel Tower completed?", "Eiffel Tower", "1889"),
    ("Who discovered penicillin?", "Penicillin", "Alexander Fleming"),
    ("How high is the summit of Mount Everest?", "Mount Everest", "8,849 metres"),
]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("data")
    corpus = [
        {"id": title, "title": title, "text": text, "meta": {"domain": "even" if number % 2 else "odd"}}
        for number, (title, text) in enumerate(TEXTS.items())
    ]
    questions = [
        {"id": f"q{number}", "question": text, "gold": [{"doc_id": gold}], "answers": [answer], "domain": "odd"}
        for number, (text, gold, answer) in enumerate(QUESTIONS)
    ]
    questions[1]["domain"] = "even"
    for name in ("nq_gold", "mtrag"):
        write(data / name / "shared" / "corpus.jsonl.gz", corpus)
        write(data / name / SPLIT / "queries.jsonl.gz", questions)
    return data


def strata(*arguments: str, cwd: Path, command: str = "evaluate") -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    code = f"import sys; sys.path.insert(0, {str(root)!r}); from services.cli.main import main; main()"
    line = [sys.executable, "-c", code, command, *arguments]
    # a width in the environment would fold the table
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    return subprocess.run(line, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def figures(result: dict[str, Any], task: str) -> dict[tuple[str, str], dict[str, Any]]:
    found = result["tasks"][task]["figures"]
    return {(each["system"], each["measure"]): each for each in found if each["group"] == "all"}


def test_a_set_is_measured_from_its_corpus_to_a_result_with_provenance(data: Path, tmp_path: Path) -> None:
    arguments = ("nq_gold", "--data", str(data), "--split", SPLIT, "--json", "result.json")
    reports = ("--html", "page.html", "--markdown", "table.md")
    (tmp_path / "strata.yaml").write_text("prune: {min_tokens: 0}\n")  # all five documents have less than the default
    run = strata(*arguments, *reports, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    for words in ("strata", "BM25 alone", "dense alone", "RRF equal weights", "R@5", "nDCG@5", "wrongly abstained"):
        assert words in run.stdout
    assert "\x1b" not in run.stdout

    result = json.loads((tmp_path / "result.json").read_text())
    tasks = ["retrieval", "answers", "path", "removal", "abstention"]
    assert (result["set"], result["split"], list(result["tasks"])) == ("nq_gold", SPLIT, tasks)
    assert result["index"] | {"corpus_sha256": ""} == {
        "documents": 5,
        "passages": 5,
        "rejected": [],
        "corpus_sha256": "",
    }
    retrieval, answers, path, removal, _ = (figures(result, task) for task in tasks)
    assert retrieval["strata", "R@5"]["value"] == retrieval["strata", "nDCG@5"]["value"] == 1.0
    assert all(figure["n"] == 3 and figure["value"] > 0 for (_, name), figure in retrieval.items() if name == "p50 ms")
    assert answers["strata", "citations verbatim"]["value"] == 1.0
    assert answers["strata", "answered"]["value"] + answers["strata", "wrongly abstained"]["value"] == 1
    assert answers["strata", "citations"]["value"] > 0
    assert 0 < answers["strata", "p50 ms outside models"]["value"] < answers["strata", "p50 ms"]["value"]
    everything, tokens = "everything to the large model", "large tokens in"
    assert path["strata", tokens]["value"] < path[everything, tokens]["value"]
    assert removal["strata", "abstained"]["n"] == 3
    assert removal["strata", "answered right all the same"]["value"] == 0  # no other document gives these answers
    assert {"commit", "dirty", "packages", "machine", "date"} <= result["provenance"].keys()
    assert result["settings"]["retrieve"]["top_k"] == Settings().retrieve.top_k
    assert set(result["durations_s"]) == {"index", "warm_up", *tasks}

    shown = (tmp_path / "page.html").read_text()
    assert all(f"<h3>{task}</h3>" in shown for task in result["tasks"])
    assert result["config_version"] in shown
    assert "### nq_gold: answers" in (tmp_path / "table.md").read_text()

    (tmp_path / "result.json").rename(tmp_path / "whole.json")
    (folder,) = (tmp_path / ".strata" / "evaluation").iterdir()
    made = sorted((folder / "blobs").rglob("*"))
    again = strata(*arguments, "--task", "retrieval", "--limit", "2", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert sorted((folder / "blobs").rglob("*")) == made
    limited = json.loads((tmp_path / "result.json").read_text())
    assert (list(limited["tasks"]), limited["limit"]) == (["retrieval"], 2)
    assert figures(limited, "retrieval")["strata", "R@5"]["n"] == 2

    compared = strata("whole.json", "result.json", cwd=tmp_path, command="compare")
    assert compared.returncode == 0, compared.stderr
    assert "No question scored differently." in compared.stdout


def test_questions_are_confined_to_their_domain_inside_the_index(data: Path, tmp_path: Path) -> None:
    run = strata("mtrag", "--data", str(data), "--split", SPLIT, "--json", "result.json", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    retrieval = json.loads((tmp_path / "result.json").read_text())["tasks"]["retrieval"]
    domains = {title: "even" if number % 2 else "odd" for number, title in enumerate(TEXTS)}
    assert {figure["group"] for figure in retrieval["figures"]} == {"odd", "even", "all"}
    assert "strata with conversation" in {figure["system"] for figure in retrieval["figures"]}
    for item in retrieval["items"]:
        documents = item["detail"]["documents"]
        assert documents or item["system"] == "BM25 alone"
        assert {domains[document] for document in documents} <= {item["group"]}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("nope", "--split", SPLIT), "There is no set `nope`"),
        (("nq_gold", "--split", "nope"), "is missing"),
        (("mtrag", "--split", SPLIT, "--task", "answers"), "`mtrag` has no task `answers`"),
        (("nq_gold", "--split", SPLIT, "--json", "no/folder/result.json"), "cannot be written"),
    ],
)
def test_a_request_that_cannot_work_ends_in_one_line(
    data: Path, tmp_path: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    run = strata(*arguments, "--data", str(data), cwd=tmp_path)
    assert run.returncode == 1
    assert run.stderr.startswith("error: ")
    assert complaint in run.stderr
    assert not (tmp_path / ".strata").exists()


@pytest.fixture
def evaluated(data: Path) -> EvaluationSet:
    return load("nq_gold", data, SPLIT)


def published(runtime: Runtime) -> dict[str, tuple[str, int] | None]:
    return {title: runtime.store.published(document_id(DEFAULT_TENANT, title)) for title in TEXTS}


def test_documents_out_of_the_index_when_a_run_dies_are_back_in_the_next(
    evaluated: EvaluationSet, tmp_path: Path
) -> None:
    settings = corpus_settings(Settings(), evaluated, tmp_path)
    with Runtime(settings) as runtime:
        index = CorpusIndex(evaluated, runtime)
        assert index.ensure(progress) == ()
        before = published(runtime)
        index.remove(["Penicillin", "Espresso"])
        assert {title for title, version in published(runtime).items() if version is None} == {"Penicillin", "Espresso"}
        assert not (settings.data_dir / COMPLETE).exists()
    with Runtime(settings) as runtime:
        CorpusIndex(evaluated, runtime).ensure(progress)
        assert published(runtime) == before


def test_a_document_without_text_is_told_of_and_stops_nothing(data: Path, tmp_path: Path) -> None:
    corpus = [{"id": "blank", "text": " \n "}, {"id": "full", "text": "Something."}]
    write(tmp_path / "nq_gold" / "shared" / "corpus.jsonl.gz", corpus)
    queries = data / "nq_gold" / SPLIT / "queries.jsonl.gz"
    (tmp_path / "nq_gold" / "s").mkdir()
    (tmp_path / "nq_gold" / "s" / "queries.jsonl.gz").write_bytes(queries.read_bytes())
    evaluated = load("nq_gold", tmp_path, "s")
    settings = corpus_settings(Settings(), evaluated, tmp_path / "work")
    with Runtime(settings) as runtime:
        index = CorpusIndex(evaluated, runtime)
        assert index.ensure(progress) == index.ensure(progress) == ("blank",)
        assert runtime.store.info().passages == 1


def test_each_setting_that_shapes_the_index_names_another(evaluated: EvaluationSet, tmp_path: Path) -> None:
    base = Settings()
    changed = [
        base.model_copy(update={"split": base.split.model_copy(update={"max_words": 50})}),
        base.model_copy(update={"index": base.index.model_copy(update={"bm25_average_words": 7.0})}),
        base.model_copy(update={"encoder": base.encoder.model_copy(update={"model": "other"})}),
    ]
    folders = {corpus_settings(each, evaluated, tmp_path).data_dir for each in (base, *changed)}
    assert len(folders) == 4
    unrelated = base.model_copy(update={"prune": base.prune.model_copy(update={"max_passages": 3})})
    assert corpus_settings(unrelated, evaluated, tmp_path).data_dir in folders
