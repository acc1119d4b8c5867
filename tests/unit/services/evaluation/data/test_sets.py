import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.errors import InvalidRequestError
from pipelines.core.types import Turn
from services.evaluation.data.sets import load

DOCUMENTS = [
    {"id": "d1", "title": "One", "text": "First.", "meta": {"domain": "cloud"}},
    {"id": "d2", "text": "Second."},
]
QUERY = {"id": "q1", "question": "Which?", "gold": [{"doc_id": "d1"}, {"doc_id": "d1"}, {"doc_id": "d2"}]}


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    return path


@pytest.fixture(params=["nq_gold"])
def data(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    write(tmp_path / request.param / "shared" / "corpus.jsonl.gz", DOCUMENTS)
    write(tmp_path / request.param / "any split" / "queries.jsonl.gz", [QUERY, {"id": 2, "question": "?", "gold": []}])
    return tmp_path


def test_a_set_is_read_whatever_its_split_is_called(data: Path) -> None:
    found = load("nq_gold", data, "any split")
    (item,) = found.items
    assert (item.id, item.question, item.gold, item.history, item.filter) == ("q1", "Which?", ("d1", "d2"), (), {})
    assert (found.skipped, found.documents) == (1, 2)
    corpus = data / "nq_gold" / "shared" / "corpus.jsonl.gz"
    assert found.corpus_sha256 == hashlib.sha256(corpus.read_bytes()).hexdigest()
    assert [(each.id, each.title, each.text) for each in found.corpus()] == [
        ("d1", "One", "First."),
        ("d2", "", "Second."),
    ]


def test_the_first_documents_are_another_corpus(data: Path) -> None:
    found = load("nq_gold", data, "any split")
    assert [each.id for each in found.first(1).corpus()] == ["d1"]
    assert found.first(1).corpus_sha256 != found.corpus_sha256


@pytest.mark.parametrize("data", ["mtrag"], indirect=True)
def test_mtrag_is_confined_to_the_domain_of_the_conversation(data: Path) -> None:
    write(data / "mtrag" / "s" / "queries.jsonl.gz", [{**QUERY, "domain": "cloud", "history": ["What is it?"]}])
    (item,) = load("mtrag", data, "s").items
    assert (item.group, item.filter) == ("cloud", {"domain": "cloud"})
    assert item.history == (Turn(role="user", text="What is it?"),)


@pytest.mark.parametrize("data", ["multihop_wiki"], indirect=True)
def test_multihop_is_grouped_by_the_original_set(data: Path) -> None:
    sources = ["hotpotqa-dev", "musique-train", "other-x", None]
    write(data / "multihop_wiki" / "s" / "queries.jsonl.gz", [{**QUERY, "source": source} for source in sources])
    assert [item.group for item in load("multihop_wiki", data, "s").items] == ["HotpotQA", "MuSiQue", "other", ""]


def test_an_unknown_set_is_refused_with_the_known_ones(data: Path) -> None:
    with pytest.raises(InvalidRequestError, match="no set `nq`; there are nq_gold, multihop_wiki, clapnq, mtrag,"):
        load("nq", data, "any split")


def test_a_missing_split_is_named(data: Path) -> None:
    with pytest.raises(InvalidRequestError, match="nope is missing; --split"):
        load("nq_gold", data, "nope")


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (b"not json", r"line 2: Invalid JSON"),
        (b"[1]", r"line 2: "),
        (b'{"id": "q"}', r"line 2: question: Field required"),
        (b'{"id": "q", "question": "", "gold": []}', r"line 2: question"),
        (b'{"id": "q", "question": "?", "gold": "d1"}', r"line 2: gold"),
        (b'{"id": "q", "question": "?", "gold": [{"doc_id": ["d1"]}]}', r"line 2: gold.0.doc_id"),
        (b"\xff", "cannot be read after line"),
    ],
)
def test_a_malformed_row_is_named_by_its_line(data: Path, row: bytes, complaint: str) -> None:
    path = data / "nq_gold" / "any split" / "queries.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(QUERY).encode() + b"\n" + row + b"\n"))
    with pytest.raises(InvalidRequestError, match=complaint):
        load("nq_gold", data, "any split")


@pytest.mark.parametrize("damage", ["empty", "no gzip", "cut", "damaged"])
def test_a_corpus_that_cannot_be_read_is_refused(data: Path, damage: str) -> None:
    path = data / "nq_gold" / "shared" / "corpus.jsonl.gz"
    whole = path.read_bytes()
    changed = {
        "empty": b"",
        "no gzip": b"plain text",
        "cut": whole[: len(whole) // 2],
        "damaged": whole[:20] + bytes([whole[20] ^ 255]) + whole[21:],
    }
    path.write_bytes(changed[damage])
    with pytest.raises(InvalidRequestError, match=r"corpus.jsonl.gz|holds no document"):
        load("nq_gold", data, "any split")


def test_a_split_without_gold_and_a_corpus_with_an_id_twice_are_refused(data: Path) -> None:
    write(data / "nq_gold" / "none" / "queries.jsonl.gz", [{**QUERY, "gold": []}])
    with pytest.raises(InvalidRequestError, match="no question with a gold document"):
        _ = load("nq_gold", data, "none").items
    write(data / "nq_gold" / "shared" / "corpus.jsonl.gz", [DOCUMENTS[0], DOCUMENTS[0]])
    with pytest.raises(InvalidRequestError, match="names 1 documents twice"):
        load("nq_gold", data, "any split")


def questions(data: Path, name: str, rows: list[dict[str, Any]], split: str = "s") -> None:
    write(data / name / split / "queries.jsonl.gz", rows)


def test_passages_that_come_with_a_question_are_its_own_corpus(tmp_path: Path) -> None:
    sources = [{"n": 1, "title": "One", "text": "First."}, {"n": 2, "title": "Two", "text": "Second [1]."}]
    answers = ["[ 1 First ] and [ 2 Second [1] ] ."]
    questions(tmp_path, "quotesum", [{"id": "q", "question": "?", "sources": sources, "answers": answers}])
    found = load("quotesum", tmp_path, "s")
    assert [(each.id, each.title, each.text) for each in found.corpus()] == [
        ("q#1", "One", "First."),
        ("q#2", "Two", "Second [1]."),
    ]
    (item,) = found.questions
    assert (item.within, item.answers) == (("q#1", "q#2"), ("First  and Second [1]  .",))


def test_what_claims_cite_is_one_document_a_question(tmp_path: Path) -> None:
    claims = [
        {"id": f"c{number}", "question_id": question, "claim_or_response": "It is.", "context": [{"text": text}]}
        for number, (question, text) in enumerate([("q1", "One."), ("q2", "Other."), ("q1", "Two."), ("q1", "One.")])
    ]
    write(tmp_path / "expertqa" / "s" / "grounding.jsonl.gz", claims)
    questions(tmp_path, "expertqa", [{"id": "q1", "question": "?", "field": "Law"}, {"id": "q3", "question": "?"}])
    found = load("expertqa", tmp_path, "s")
    assert [(each.id, each.text) for each in found.corpus()] == [("q1", "One.\n\nTwo."), ("q2", "Other.")]
    assert [(item.id, item.within, item.answerable) for item in found.questions] == [("q1", ("q1",), None)]


def test_a_filing_is_its_file_where_there_is_one_and_its_pages_where_there_is_none(tmp_path: Path) -> None:
    pages = [
        {"id": f"{name}#p{page}", "title": "A filing", "text": f"Page {page}.", "meta": {"file": name, "page": page}}
        for name in ("a.pdf", "b.pdf")
        for page in (1, 2)
    ]
    write(tmp_path / "sec10q" / "shared" / "corpus.jsonl.gz", pages)
    pdf = tmp_path / "sec10q" / "shared" / "pdf" / "b.pdf"
    pdf.parent.mkdir()
    pdf.write_bytes(b"%PDF")
    questions(tmp_path, "sec10q", [QUERY])
    found = load("sec10q", tmp_path, "s")
    assert [(each.id, each.text, each.file) for each in found.corpus()] == [
        ("a.pdf", "Page 1.\fPage 2.", None),
        ("b.pdf", "", pdf),
    ]
    before = found.corpus_sha256
    pdf.write_bytes(b"%PDF-1.7")
    assert load("sec10q", tmp_path, "s").corpus_sha256 != before


def test_a_corpus_may_be_the_splits_own_or_another_sets(tmp_path: Path) -> None:
    write(tmp_path / "tatqa" / "s" / "corpus.jsonl.gz", DOCUMENTS)
    questions(tmp_path, "tatqa", [{**QUERY, "answers": [-12.5], "type": "arithmetic"}])
    (item,) = load("tatqa", tmp_path, "s").items
    assert (item.answers, item.within, item.group) == (("-12.5",), ("d1", "d2"), "arithmetic")

    write(tmp_path / "mtrag" / "shared" / "corpus.jsonl.gz", DOCUMENTS)
    history = [{"speaker": "user", "text": "What?"}, {"speaker": "agent", "text": "That."}]
    kinds = ["ANSWERABLE", "UNANSWERABLE", "PARTIAL"]
    questions(
        tmp_path, "mtrag_un", [{**QUERY, "id": kind, "history": history, "answerability": kind} for kind in kinds]
    )
    found = load("mtrag_un", tmp_path, "s")
    assert (found.documents, found.corpus_name) == (2, "mtrag")
    assert [item.answerable for item in found.questions] == [True, False, None]
    assert found.questions[0].history == (Turn(role="user", text="What?"), Turn(role="assistant", text="That."))
