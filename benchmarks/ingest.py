"""Ingests a folder twice with the real command and holds the indexed text against expected Markdown.

Prints how every file ended, the median share of expected words found in the indexed text (multiset recall of
lower-cased `\\w+` tokens over passages, section paths and titles), how many headings survive as section paths, and what
a second run takes.

    python benchmarks/ingest.py --data DIR    # DIR/ingest_docs/shared/{manifest.jsonl.gz,files/}
"""

import argparse
import gzip
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from pipelines.core.settings import Settings
from pipelines.core.text import fold
from pipelines.core.types import DEFAULT_TENANT, Passage
from services.runtime import Runtime

_WORD = re.compile(r"\w+")
_BRACKETS = re.compile(r" \([^()]*\)$")
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)


def main() -> None:
    """Runs both passes and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    arguments = parser.parse_args()
    folder = arguments.data / "ingest_docs" / "shared"
    with gzip.open(folder / "manifest.jsonl.gz", "rt", encoding="utf-8") as lines:
        manifest = [json.loads(line) for line in lines]
    with tempfile.TemporaryDirectory() as data_dir:
        first_s = ingest(folder / "files", Path(data_dir))
        second_s = ingest(folder / "files", Path(data_dir))
        with Runtime(Settings(data_dir=Path(data_dir))) as runtime:
            figures = measure(runtime, folder, manifest)
    figures["seconds"] = {"first": first_s, "second": second_s, "second_share": second_s / first_s}
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2), "utf-8")


def ingest(files: Path, data_dir: Path) -> float:
    """Runs the command and returns its wall time; what it prints goes through."""
    command = [sys.executable, "-m", "services.cli.main", "--data-dir", str(data_dir), "ingest", str(files)]
    started = time.perf_counter()
    subprocess.run(command, check=False)
    return time.perf_counter() - started


def measure(runtime: Runtime, folder: Path, manifest: list[dict[str, Any]]) -> dict[str, Any]:
    """Compares the index with the manifest."""
    by_source = {}
    cursor = None
    while True:
        page = runtime.ledger.documents(DEFAULT_TENANT, cursor=cursor, limit=500)
        by_source.update({document.source: document for document in page.items})
        cursor = page.next_cursor
        if cursor is None:
            break
    statuses: Counter[str] = Counter()
    reasons, words, headings = {}, defaultdict(list), []
    for row in manifest:
        path = folder.parent / row["file"]
        document = by_source.get(path.resolve().as_uri())
        statuses[document.status if document else "missing"] += 1
        if document and document.error_detail:
            reasons[row["id"]] = document.error_detail
        if not (expected := row.get("expected_markdown")) or not document:
            continue
        passages = list(runtime.store.passages(document.id))
        words[row["format"]].append(word_recall(expected, indexed_text(passages)))
        found = {fold(_plain(heading)) for heading in _HEADING.findall(expected)}
        if found:
            # A PDF's title is its first heading and the file's name in brackets; the paths leave that heading out.
            titles = {passage.title for passage in passages} | {_BRACKETS.sub("", each.title) for each in passages}
            seen = {fold(part) for passage in passages for part in passage.section_path} | set(map(fold, titles))
            headings.append(len(found & seen) / len(found))
    every = [share for shares in words.values() for share in shares]
    return {
        "files": dict(statuses),
        "failed": reasons,
        "expected": len(every),
        "word_recall": {
            "median": statistics.median(every),
            "mean": statistics.mean(every),
            "by_format": {name: statistics.median(shares) for name, shares in sorted(words.items())},
        },
        "headings_in_section_paths": {"documents": len(headings), "mean": statistics.mean(headings)},
    }


def indexed_text(passages: list[Passage]) -> str:
    """What a search can find of a document."""
    return "\n".join(f"{passage.context}\n{passage.text}" for passage in passages)


def word_recall(expected: str, text: str) -> float:
    """The share of the expected words, each as often as it is expected, that the text holds."""
    wanted, held = (Counter(_WORD.findall(each.lower())) for each in (expected, text))
    return sum((wanted & held).values()) / max(1, sum(wanted.values()))


def _plain(heading: str) -> str:
    return re.sub(r"\\([\\`*_{}\[\]()#+.!|-])", r"\1", re.sub(r"\*\*|__|`|\*", "", heading))


if __name__ == "__main__":
    main()
