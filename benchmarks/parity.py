"""Asks the same questions embedded and distributed, and holds the answers and citations against each other.

The corpus of an evaluation set is indexed twice on the real document path: in process, and into a cluster. Then the
same questions are asked in process and over the cluster's API, whose stages run on workers.

    python -m benchmarks.parity nq_gold --data DIR --split dev [--questions 200] [--json FILE]
"""

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pipelines.core.settings import Settings
from pipelines.core.types import Answer
from services.cli.progress import progress
from services.evaluation.data.corpus import CorpusIndex, corpus_settings
from services.evaluation.data.sets import EvaluationSet, Item, load
from services.evaluation.measures.retrieval import question_of
from services.runtime import Runtime
from tests.support.cluster import Cluster

AT_A_TIME = 4
FIELDS = ("document_id", "passage_id", "start", "end", "quote", "number", "page", "section_path", "title", "support")


def main() -> None:
    """Prints each difference and a summary; exits with 1 when there is one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", required=True)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--documents", type=int, help="only the first ones of the corpus, for a quick look")
    parser.add_argument("--work-dir", type=Path, default=Path(".strata/evaluation"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    evaluated = load(options.set, options.data, options.split)
    if options.documents:
        evaluated = evaluated.first(options.documents)
    items = evaluated.items[: options.questions]
    embedded = ask_embedded(evaluated, items, options.work_dir)
    distributed, receipts = ask_distributed(evaluated, items)
    pairs = zip(items, embedded, distributed, strict=True)
    differing = [found for item, one, other in pairs if (found := difference(item, one, other))]
    for each in differing:
        print(json.dumps(each, ensure_ascii=False))
    summary = {
        "set": options.set,
        "questions": len(items),
        "identical": len(items) - len(differing),
        "statuses": dict(Counter(answer["status"] for answer in embedded)),
        "citations": sum(len(answer["citations"]) for answer in embedded),
        "fallbacks": dict(Counter(stage["fallback"] for each in receipts for stage in each if stage["fallback"])),
    }
    print(json.dumps(summary))
    if options.json:
        options.json.write_text(json.dumps({**summary, "differing": differing}, indent=2, ensure_ascii=False) + "\n")
    sys.exit(1 if differing else 0)


def ask_embedded(evaluated: EvaluationSet, items: Sequence[Item], work_dir: Path) -> list[dict[str, Any]]:
    """Asks in this process."""
    with Runtime(corpus_settings(Settings(), evaluated, work_dir)) as runtime:
        CorpusIndex(evaluated, runtime).ensure(progress)

        async def ask_all() -> list[Answer]:
            try:
                return [await runtime.ask(question_of(item)) for item in items]
            finally:
                await runtime.aclose()

        return [content(answer.model_dump(mode="json")) for answer in asyncio.run(ask_all())]


def ask_distributed(
    evaluated: EvaluationSet, items: Sequence[Item]
) -> tuple[list[dict[str, Any]], list[list[dict[str, Any]]]]:
    """Asks a cluster; returns the answers, and the receipts of their stages."""
    index = {"metadata_fields": dict.fromkeys(evaluated.adapter.metadata_fields, "keyword")}
    with Cluster(workers={"stages": ("plan", "prune", "cite")}, settings={"index": index}) as cluster:
        settings = cluster.settings
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        with Runtime(settings) as runtime:
            CorpusIndex(evaluated, runtime).ensure(progress)

        def ask(item: Item) -> dict[str, Any]:
            question = question_of(item)
            body = {
                "question": question.text,
                "history": [turn.model_dump(mode="json") for turn in question.history],
                "filter": {"metadata": dict(item.filter)},
            }
            for _ in range(60):
                response = cluster.client.post("/v1/ask", json=body)
                if response.status_code not in {429, 503}:
                    break
                time.sleep(1)
            answer: dict[str, Any] = response.raise_for_status().json()
            return answer

        with ThreadPoolExecutor(AT_A_TIME) as pool:
            answers = list(pool.map(ask, items))
    return [content(answer) for answer in answers], [answer["receipt"]["stages"] for answer in answers]


def content(answer: dict[str, Any]) -> dict[str, Any]:
    """What a reader sees of an answer."""
    citations = [{name: citation.get(name) for name in FIELDS} for citation in answer["citations"]]
    return {"status": answer["status"], "text": answer["text"], "citations": citations}


def difference(item: Item, embedded: dict[str, Any], distributed: dict[str, Any]) -> dict[str, Any] | None:
    """What is not the same, `None` where all is."""
    if embedded == distributed:
        return None
    names = [name for name in embedded if embedded[name] != distributed[name]]
    return {
        "question": item.id,
        "embedded": {name: embedded[name] for name in names},
        "distributed": {name: distributed[name] for name in names},
    }


if __name__ == "__main__":
    main()
