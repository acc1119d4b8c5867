"""Whether a citation can be checked."""

from collections.abc import Callable

from indexing.identity import text_name
from pipelines.core.types import Citation


def quote_is_verbatim(citation: Citation, read_span: Callable[[str, int, int], str]) -> bool:
    """Whether the quote stands at the citation's offsets in the stored source text.

    Args:
        read_span: Reads `[start, end)` of a source text by its key; see `pipelines.core.blobs`.
    """
    key = f"text/{text_name(citation.document_id, citation.version)}"
    return bool(citation.quote) and read_span(key, citation.start, citation.end) == citation.quote
