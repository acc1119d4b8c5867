"""An installation with an old and a new configuration, for the tests of reindexes.

Run as `python -m tests.support.reindexing SETTINGS`, it is the process of a reindex that a test kills.
"""

import json
import sys
import threading
import time
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from pipelines.core.settings import Settings
from pipelines.core.types import DEFAULT_TENANT, Filter
from services.documents.intake import NewDocument
from services.runtime import Runtime
from tests.support.hash_encoder import HashEncoder

SECTIONS = 3
_SENTENCES = (
    "The bridge {number} of {name} stands on pier {part} in the river. "
    "Below the bridge {number} there are boats, nets and a mill that grinds the flour of the town."
)


def text(name: str, number: int = 1) -> str:
    """A document of three sections, each of one passage, or of two where these have 20 words at most."""
    return "\n\n".join(
        f"# Part {part} of {name}\n\n{_SENTENCES.format(number=number, name=name, part=part)}"
        for part in range(SECTIONS)
    )


class Process:
    """One process of Strata, with a small encoder.

    Args:
        encoder: Version of the encoder.
        max_words: Of the splitter.
        delay_s: Slept in each call of the encoder.
    """

    def __init__(
        self, data_dir: Path, index: Mapping[str, Any], *, encoder: int = 1, max_words: int = 60, delay_s: float = 0.0
    ) -> None:
        settings = Settings.model_validate(
            {
                "data_dir": data_dir,
                "index": dict(index),
                "split": {"max_words": max_words},
                "ingest": {"batch_passages": 8, "lease_s": 20},
            }
        )
        self.runtime = Runtime(settings)
        self.encoder = HashEncoder()
        self.encoder.fingerprint = f"hash@{encoder}"
        self.encoder.delay_s = delay_s
        self.runtime.encoder = self.encoder  # type: ignore[assignment]

    def accept(self, **texts: str) -> dict[str, str]:
        """Submits texts by name; returns what became of each at once."""
        documents = [
            NewDocument(content=BytesIO(content.encode()), name=f"{name}.md", source=name)
            for name, content in texts.items()
        ]
        job = self.runtime.ingestion.accept(DEFAULT_TENANT, documents)
        items = self.runtime.ledger.progress.items(job.id, DEFAULT_TENANT)
        return {item.source: item.status.value for item in items}

    def add(self, **texts: str) -> None:
        """Submits texts and indexes them."""
        self.accept(**texts)
        self.work()

    def work(self) -> int:
        """Works off what is queued or to be deleted."""
        return self.runtime.ingestion.work(stop=threading.Event())

    def delete(self, name: str) -> None:
        """Deletes a document."""
        self.runtime.ledger.delete_document(self.documents()[name].id, DEFAULT_TENANT)
        self.work()

    def documents(self) -> dict[str, Any]:
        """What the ledger knows, by source."""
        return {each.source: each for each in self.runtime.ledger.documents(DEFAULT_TENANT, limit=1000).items}

    def found(self) -> dict[str, list[str]]:
        """What a search for every document finds: passages by source, in the order of the text."""
        hits = self.runtime.search("bridge pier", limit=500, filter=Filter())
        passages: dict[str, list[Any]] = {}
        for hit in hits:
            passages.setdefault(hit.passage.source, []).append(hit.passage)
        return {
            source: [each.text for each in sorted(found, key=lambda each: each.start)]
            for source, found in passages.items()
        }

    def close(self) -> None:
        """Ends it."""
        self.runtime.close()


def main(settings: str) -> None:
    """Reindexes slowly, and prints the number of documents that are done."""
    options = json.loads(settings)
    process = Process(Path(options["data_dir"]), options["index"], encoder=2, delay_s=0.05)
    done = 0

    def tell(_passages: int, _known: int) -> None:
        nonlocal done
        done += 1
        print(done, flush=True)

    process.runtime.reindexer.run(tell)
    process.close()
    time.sleep(60)


if __name__ == "__main__":
    main(sys.argv[1])
