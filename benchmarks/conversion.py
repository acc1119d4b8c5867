"""How much of what a person sees in a file survives conversion: words and headings, format by format.

Usage: python -m benchmarks.conversion DATA

DATA holds `shared/manifest.jsonl.gz` (one line a file: `id`, `file`, `format`, `expected_markdown`) and the files. A
word is a lower-cased run of letters and digits; recall counts each as often as it is expected. The expected text of
these files is a program's output with placeholders (`<!-- image -->`, HTML entities); `words` counts them as words,
`content` does not.
"""

import argparse
import gzip
import html
import json
import re
import statistics
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from indexing.convert import FileConverter, SourceFile
from pipelines.core.errors import DocumentError
from pipelines.core.settings import ConvertSettings

COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
ESCAPE = re.compile(r"\\([_*`#|])")
HEADING = re.compile(r"^#{1,6} +(.+)$", re.MULTILINE)
WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Result:
    """One file: shares between 0 and 1, `None` where nothing is expected or conversion failed."""

    id: str
    format: str
    seconds: float
    words: float | None = None
    content: float | None = None
    headings: float | None = None
    missing: tuple[str, ...] = ()
    error: str = ""


def words(text: str) -> Counter[str]:
    return Counter(WORD.findall(text.lower()))


def recall(expected: Counter[str], found: Counter[str]) -> float | None:
    return (expected & found).total() / expected.total() if expected else None


def headings(text: str) -> Counter[str]:
    plain = (re.sub(r"[*_`\\]", "", html.unescape(heading)) for heading in HEADING.findall(text))
    return Counter(" ".join(WORD.findall(heading.lower())) for heading in plain)


def measure(entry: dict[str, str], data: Path, converter: FileConverter, output: Path | None) -> Result:
    path = data / entry["file"]
    start = time.perf_counter()
    try:
        text = "".join(converter.convert(SourceFile(path=path, name=path.name)).parts)
    except DocumentError as error:
        error_text = f"{error.code}: {error.detail}"
        return Result(entry["id"], entry["format"], time.perf_counter() - start, error=error_text)
    seconds = time.perf_counter() - start
    if output is not None:
        target = output / f"{entry['id']}.txt"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    expected = entry.get("expected_markdown")
    if not expected:
        return Result(entry["id"], entry["format"], seconds)
    plain = ESCAPE.sub(r"\1", html.unescape(COMMENT.sub(" ", expected)))
    missing = words(plain) - words(text)
    return Result(
        entry["id"],
        entry["format"],
        seconds,
        words=recall(words(expected), words(text)),
        content=recall(words(plain), words(text)),
        headings=recall(headings(expected), headings(text)),
        missing=tuple(f"{word}×{count}" for word, count in missing.most_common(12)),
    )


def row(name: str, results: list[Result]) -> str:
    judged = [result for result in results if result.words is not None]
    shares = {
        field: [share for result in judged if (share := getattr(result, field)) is not None]
        for field in ("words", "content", "headings")
    }
    failed = sum(bool(result.error) for result in results)
    cells = [f"{name:10}", f"{len(results):5d}", f"{failed:6d}", f"{len(judged):6d}"]
    for field in ("words", "content"):
        cells += [
            f"{f(shares[field]):8.3f}" if shares[field] else " " * 8 for f in (statistics.median, statistics.mean)
        ]
    cells.append(f"{statistics.mean(shares['headings']):8.3f}" if shares["headings"] else " " * 8)
    cells.append(f"{max(result.seconds for result in results):7.2f}")
    return " ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", default="", help="files whose id begins so")
    parser.add_argument("--output", type=Path, help="folder to write the converted texts to")
    arguments = parser.parse_args()
    with gzip.open(arguments.data / "shared" / "manifest.jsonl.gz", "rt", encoding="utf-8") as lines:
        entries = [entry for line in lines if (entry := json.loads(line))["id"].startswith(arguments.only)]
    with FileConverter(ConvertSettings()) as converter:
        results = [measure(entry, arguments.data, converter, arguments.output) for entry in entries]
    by_format = defaultdict(list)
    for result in results:
        by_format[result.format].append(result)
    print("format     files failed judged  words~  words¯  content~ content¯ heads¯  max s")
    for name, group in [*sorted(by_format.items()), ("all", results)]:
        print(row(name, group))
    print("\nBelow 0.99 (words, content, headings; what is missing):")
    for result in sorted(results, key=lambda result: result.content or 0.0):
        low = [share for share in (result.words, result.content, result.headings) if share is not None and share < 0.99]
        if low:
            shares = " ".join(
                "  -  " if s is None else f"{s:.3f}" for s in (result.words, result.content, result.headings)
            )
            print(f"  {shares} {result.id}: {' '.join(result.missing)}")
    print("\nFailed:")
    for result in results:
        if result.error:
            print(f"  {result.id}: {result.error}")


if __name__ == "__main__":
    main()
