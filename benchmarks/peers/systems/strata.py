"""Strata with its defaults: small stages in process, the large model writes."""

import asyncio
import io
import shutil
from collections.abc import Sequence
from typing import Any

from systems.base import Answered, Chunk, EncoderClock, Options

from pipelines.core.encoders.encoder import Embeddings, Encoder
from pipelines.core.settings import ConvertSettings, RetrieveSettings, Settings
from pipelines.core.types import DEFAULT_TENANT, AnswerStatus, Question, Usage
from services.documents.intake import NewDocument
from services.runtime import Runtime

SMALL = ("plan", "retrieve", "prune", "cite")


class Strata:
    """The embedded form: its index, its ledger on SQLite and its blobs lie on disk."""

    packages = ("strata-rag", "haystack-ai", "qdrant-edge-py", "litellm", "sentence-transformers", "torch")

    def open(self, options: Options, clock: EncoderClock) -> None:
        self._options, self._clock = options, clock
        self._loop = asyncio.new_event_loop()
        self._runtime: Runtime | None = None
        _around(clock)

    def empty(self) -> None:
        self._close()
        folder = self._options.work / "strata"
        shutil.rmtree(folder, ignore_errors=True)
        large = {
            "model_name": "large",
            "litellm_params": {"model": "openai/large", "api_base": self._options.api_base, "api_key": "none"},
        }
        self._runtime = Runtime(
            Settings.model_validate(
                {
                    "data_dir": folder,
                    "models": [large],
                    "stages": {"synthesize": "large"},
                    "retrieve": RetrieveSettings(top_k=self._options.top_k),
                    "convert": ConvertSettings(),
                }
            )
        )
        self._runtime.warm_up()

    def add(self, chunks: Sequence[Chunk]) -> None:
        assert self._runtime is not None
        documents = [
            NewDocument(io.BytesIO(chunk.text.encode()), f"{chunk.id}.txt", chunk.id, {"title": chunk.title})
            for chunk in chunks
        ]
        self._runtime.ingestion.accept(DEFAULT_TENANT, documents)
        ended = self._runtime.ingestion.work()
        if ended != len(chunks):
            raise RuntimeError(f"{ended} of {len(chunks)} documents ended")

    def ask(self, question: str) -> Answered:
        assert self._runtime is not None
        answer = self._loop.run_until_complete(self._runtime.ask(Question(text=question)))
        inside = sum((stage.usage for stage in answer.receipt.stages if stage.stage in SMALL), Usage())
        return Answered(
            answer.text,
            {f"[{each.number}]": each.source for each in answer.citations},
            {f"[{each.number}]": each.quote for each in answer.citations},
            model_s=inside.model_ms / 1000,
            abstained=answer.status is AnswerStatus.INSUFFICIENT,
        )

    def close(self) -> None:
        self._close()
        self._loop.close()

    def _close(self) -> None:
        if self._runtime is not None:
            self._loop.run_until_complete(self._runtime.aclose())
            self._runtime = None


def _around(clock: EncoderClock) -> None:
    original = Encoder.embed

    def embed(encoder: Encoder, texts: Sequence[str]) -> Any:
        made = []

        def real(some: list[str]) -> Any:
            made.append(original(encoder, some))
            return made[0].vectors

        vectors = clock.vectors(list(texts), real) if texts else None
        return made[0] if made else Embeddings(vectors, Usage()) if vectors is not None else original(encoder, texts)

    Encoder.embed = embed  # type: ignore[method-assign]


SYSTEM = Strata()
