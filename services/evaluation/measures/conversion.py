"""What of a file reaches the index: the product's converters over files of many formats, some broken on purpose."""

import time

from indexing.convert import FileConverter, SourceFile
from pipelines.core.errors import DocumentError
from services.evaluation.context import Context
from services.evaluation.data.rows import ManifestRow
from services.evaluation.metrics.survival import heading_recall, missing_words, plain, word_recall
from services.evaluation.result import Measure, ScoredItem, TaskResult
from services.evaluation.tables import figures_of

STRATA = "strata"
WORDS, CONTENT, HEADINGS, READ = "words kept", "words kept, placeholders aside", "headings kept", "files read"
MEASURES = (
    Measure(name=CONTENT),
    Measure(name=WORDS, headline=False),
    Measure(name=HEADINGS),
    Measure(name=READ),
    Measure(name="p50 ms", unit="ms", better="lower"),
    Measure(name="p95 ms", unit="ms", better="lower", headline=False),
)
LISTED = 12
"""Missing words that an item lists."""


async def measure_conversion(context: Context) -> TaskResult:
    """Converts every file; those with an expected text are held against it."""
    files = context.rows("manifest", ManifestRow)
    items = tuple(_convert(row, context) for row in files)
    errors = [item for item in items if "error" in item.detail]
    return TaskResult(
        task="conversion",
        about="What of a file's words and headings is in the text that Strata makes of it, format by format.",
        measures=MEASURES,
        figures=figures_of(items, MEASURES, seed=context.seed),
        notes=(
            "The expected texts are another program's output, accepted by its maintainers, not a human transcription.",
            *(f"Not read: {item.id}: {item.detail['error']}" for item in errors),
        ),
        items=items,
    )


def _convert(row: ManifestRow, context: Context) -> ScoredItem:
    path = context.evaluated.folder / row.file
    converter: FileConverter = context.runtime.converter
    start = time.perf_counter()
    try:
        text = "".join(converter.convert(SourceFile(path=path, name=path.name)).parts)
    except DocumentError as error:
        detail = {"error": f"{error.code}: {error.detail}"}
        return ScoredItem(id=row.id, system=STRATA, group=row.format, scores={READ: 0.0}, detail=detail)
    ms = (time.perf_counter() - start) * 1000
    scores: dict[str, float | None] = {READ: 1.0, "p50 ms": ms, "p95 ms": ms}
    missing: list[str] = []
    if expected := row.expected_markdown:
        content = plain(expected)
        scores |= {WORDS: word_recall(expected, text), CONTENT: word_recall(content, text)}
        scores[HEADINGS] = heading_recall(expected, text)
        missing = missing_words(content, text, LISTED)
    return ScoredItem(id=row.id, system=STRATA, group=row.format, scores=scores, detail={"missing": missing})
