"""Sets of files, through the real converters."""

from pathlib import Path

from pipelines.core.settings import Settings
from services.cli.progress import progress
from services.evaluation.data.corpus import CorpusIndex, corpus_settings
from services.evaluation.data.sets import load
from services.evaluation.run import Request, evaluate
from services.runtime import Runtime
from tests.unit.services.evaluation.data.test_sets import QUERY, write

GUIDE = "# A guide\n\nThe bridge is 336 metres tall.\n\n## History\n\nIt was opened in 2004.\n"


def test_conversion_is_measured_format_by_format_and_a_broken_file_stops_nothing(tmp_path: Path) -> None:
    shared = tmp_path / "ingest_docs" / "shared"
    rows = [
        {"id": "md/guide", "file": "shared/guide.md", "format": "md", "expected_markdown": GUIDE + "\nLost words.\n"},
        {"id": "pdf/broken", "file": "shared/broken.pdf", "format": "pdf", "expected_markdown": "Anything."},
    ]
    write(shared / "manifest.jsonl.gz", rows)
    (shared / "guide.md").write_text(GUIDE)
    (shared / "broken.pdf").write_bytes(b"%PDF-1.7 and no more")
    result = evaluate(Request("ingest_docs", tmp_path, "shared"), Settings(data_dir=tmp_path / "data"), progress)
    assert result.index is None
    conversion = result.tasks["conversion"]
    words = len("a guide the bridge is 336 metres tall history it was opened in 2004".split())
    assert conversion.figure("strata", "words kept", "md").value == words / (words + 2)
    assert conversion.figure("strata", "headings kept", "md").value == 1.0
    assert conversion.figure("strata", "files read").value == 0.5
    assert conversion.figure("strata", "words kept", "pdf").value is None
    assert any(note.startswith("Not read: pdf/broken: ") for note in conversion.notes)
    assert conversion.items[0].detail == {"missing": ["lost×1", "words×1"]}


def test_filings_are_converted_into_the_index_and_one_that_cannot_be_is_named(tmp_path: Path) -> None:
    shared = tmp_path / "sec10q" / "shared"
    pages = [
        {"id": f"{name}#p1", "title": name, "text": "Page one.", "meta": {"file": name}}
        for name in ("a.md", "b.pdf", "c.pdf")
    ]
    write(shared / "corpus.jsonl.gz", pages)
    write(tmp_path / "sec10q" / "s" / "queries.jsonl.gz", [{**QUERY, "gold": [{"doc_id": "a.md"}]}])
    (shared / "pdf").mkdir()
    (shared / "pdf" / "a.md").write_text(GUIDE)
    (shared / "pdf" / "b.pdf").write_bytes(b"%PDF-1.7 and no more")
    evaluated = load("sec10q", tmp_path, "s")
    with Runtime(corpus_settings(Settings(), evaluated, tmp_path / "work")) as runtime:
        assert CorpusIndex(evaluated, runtime).ensure(progress) == ("b.pdf",)
        (hit, *_) = runtime.search("How tall is the bridge?", limit=3)
        assert (hit.passage.source, hit.passage.section_path) == ("a.md", ("A guide",))
        assert {found.passage.source for found in runtime.search("Page one")} == {"a.md", "c.pdf"}
