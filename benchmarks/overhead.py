"""What a question takes that is not model or encoder time, beside a plain Haystack hybrid pipeline in the same run.

Usage: python -m benchmarks.overhead --data DIR [--passages 10000] [--questions 250] [--work-dir DIR] [--json FILE]

Both sides search the same passages with the same vectors, in process, and take turns question by question. Strata does
the whole of it: plan, hybrid search, prune, extractive synthesis, verified citations, receipt kept in the state
database. The plain pipeline only retrieves: a BM25 and an embedding retriever on Haystack's `InMemoryDocumentStore`,
joined by reciprocal rank fusion. Time inside the encoder is taken off either side.
"""

import argparse
import asyncio
import json
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from haystack import Document, Pipeline, component
from haystack.components.joiners import DocumentJoiner
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever, InMemoryEmbeddingRetriever
from haystack.document_stores.in_memory import InMemoryDocumentStore

from indexing.identity import document_id
from pipelines.core.encoders import Encoder
from pipelines.core.settings import Settings
from pipelines.core.types import DEFAULT_TENANT, Passage, Question
from services.cli.progress import progress
from services.evaluation.data.corpus import CorpusIndex, corpus_settings
from services.evaluation.data.sets import EvaluationSet, load
from services.evaluation.provenance import provenance
from services.evaluation.statistics import spread
from services.runtime import Runtime

TOP_K = 20
TARGET_MS = 30.0


@component
class Embedder:
    """Strata's encoder as a Haystack component, so that both sides spend the same time in it."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    @component.output_types(embedding=list[float], model_ms=float)
    def run(self, text: str) -> dict[str, object]:
        """Embeds a question; `model_ms` is the time inside the model."""
        embedded = self.encoder.embed([text])
        return {"embedding": embedded.vectors[0].tolist(), "model_ms": embedded.usage.model_ms}


def plain_pipeline(encoder: Encoder, passages: list[Passage], vectors: np.ndarray) -> Pipeline:
    store = InMemoryDocumentStore()
    store.write_documents(
        [
            Document(id=passage.id, content=f"{passage.context}\n{passage.text}", embedding=vector.tolist())
            for passage, vector in zip(passages, vectors, strict=True)
        ]
    )
    pipeline = Pipeline()
    pipeline.add_component("embed", Embedder(encoder))
    pipeline.add_component("dense", InMemoryEmbeddingRetriever(store, top_k=TOP_K))
    pipeline.add_component("bm25", InMemoryBM25Retriever(store, top_k=TOP_K))
    pipeline.add_component("join", DocumentJoiner(join_mode="reciprocal_rank_fusion", top_k=TOP_K))
    pipeline.connect("embed.embedding", "dense.query_embedding")
    pipeline.connect("dense", "join")
    pipeline.connect("bm25", "join")
    return pipeline


def indexed_passages(evaluated: EvaluationSet, runtime: Runtime) -> list[Passage]:
    ids = (document_id(DEFAULT_TENANT, document.id) for document in evaluated.corpus())
    return [passage for each in ids for passage in runtime.store.passages(each)]


def passage_vectors(passages: list[Passage], encoder: Encoder, cache: Path) -> np.ndarray:
    if not cache.exists():
        np.save(cache, encoder.embed([f"{passage.context}\n{passage.text}" for passage in passages]).vectors)
    vectors: np.ndarray = np.load(cache)
    return vectors


async def measure(runtime: Runtime, plain: Pipeline, questions: list[str]) -> dict[str, list[float]]:
    outside: dict[str, list[float]] = defaultdict(list)

    async def ask_strata(text: str) -> None:
        started = time.perf_counter()
        answer = await runtime.ask(Question(text=text))
        elapsed_ms = (time.perf_counter() - started) * 1000
        outside["strata, question to receipt kept"].append(elapsed_ms - answer.receipt.total.model_ms)
        outside["strata, question to answer"].append(answer.receipt.total_ms - answer.receipt.total.model_ms)
        for stage in answer.receipt.stages:
            outside[f"  {stage.stage}"].append(stage.ms - stage.usage.model_ms)

    def ask_plain(text: str) -> None:
        started = time.perf_counter()
        data = {"embed": {"text": text}, "bm25": {"query": text}}
        outputs = plain.run(data, include_outputs_from={"embed"})
        elapsed_ms = (time.perf_counter() - started) * 1000
        outside["plain Haystack, retrieval only"].append(elapsed_ms - outputs["embed"]["model_ms"])

    for text in questions[:5]:
        await ask_strata(text)
        ask_plain(text)
    outside.clear()
    for number, text in enumerate(questions):
        if number % 2:
            ask_plain(text)
        await ask_strata(text)
        if not number % 2:
            ask_plain(text)
    await runtime.aclose()
    return outside


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds multihop_wiki/")
    parser.add_argument("--passages", type=int, default=10_000, help="documents of the corpus, one passage each or two")
    parser.add_argument("--questions", type=int, default=250)
    parser.add_argument("--work-dir", type=Path, default=Path(".strata/evaluation"), help="where the index is kept")
    parser.add_argument("--json", type=Path, help="where to write the result")
    arguments = parser.parse_args()

    splits = sorted(path.parent.name for path in (arguments.data / "multihop_wiki").glob("*/queries.jsonl.gz"))
    sets = [load("multihop_wiki", arguments.data, split).first(arguments.passages) for split in splits]
    questions = [item.question for each in sets for item in each.items][: arguments.questions]
    with Runtime(corpus_settings(Settings(), sets[0], arguments.work_dir)) as runtime:
        CorpusIndex(sets[0], runtime).ensure(progress)
        runtime.warm_up()
        passages = indexed_passages(sets[0], runtime)
        vectors = passage_vectors(passages, runtime.encoder, runtime.settings.data_dir / "vectors.npy")
        plain = plain_pipeline(runtime.encoder, passages, vectors)
        outside = asyncio.run(measure(runtime, plain, questions))

    print(f"{len(passages):,} passages, {len(questions)} questions; ms outside models and encoder\n")
    print(f"{'':36}{'p50':>8}{'p95':>8}")
    spreads = {name: spread(values) for name, values in outside.items()}
    for name, each in spreads.items():
        print(f"{name:36}{each.p50:8.1f}{each.p95:8.1f}")
    median = spreads["strata, question to answer"].p50
    print(f"\ntarget: at most {TARGET_MS:.0f} ms p50: {'kept' if median <= TARGET_MS else 'missed'}")
    if arguments.json:
        result = {"passages": len(passages), "questions": len(questions), "splits": splits, "provenance": provenance()}
        result["ms_outside_models"] = {name.strip(): each.model_dump() for name, each in spreads.items()}
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
