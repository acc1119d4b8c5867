from pathlib import Path

import pytest

from pipelines.core.blobs import FolderBlobs
from pipelines.core.errors import NotFoundError
from pipelines.core.types import Citation
from services.evaluation.metrics import quote_is_verbatim

TEXT = "Zürich lies on a lake. It is large."


@pytest.fixture
def blobs(tmp_path: Path) -> FolderBlobs:
    blobs = FolderBlobs(tmp_path)
    with blobs.text_writer("doc-v1") as text:
        text.write(TEXT)
    return blobs


def citation(start: int, end: int, quote: str, version: str = "v1") -> Citation:
    return Citation(
        number=1,
        document_id="doc",
        version=version,
        passage_id="p",
        title="Zürich",
        source="s",
        start=start,
        end=end,
        quote=quote,
    )


def test_a_quote_at_its_offsets_is_verbatim(blobs: FolderBlobs) -> None:
    assert quote_is_verbatim(citation(0, 22, "Zürich lies on a lake."), blobs.read_span)


@pytest.mark.parametrize(("start", "end", "quote"), [(1, 23, TEXT[:22]), (0, 22, "Zurich lies on a lake."), (5, 5, "")])
def test_other_offsets_other_words_and_no_words_are_not(blobs: FolderBlobs, start: int, end: int, quote: str) -> None:
    assert not quote_is_verbatim(citation(start, end, quote), blobs.read_span)


def test_a_source_that_is_not_stored_is_an_error(blobs: FolderBlobs) -> None:
    with pytest.raises(NotFoundError):
        quote_is_verbatim(citation(0, 6, "Zürich", version="v2"), blobs.read_span)
