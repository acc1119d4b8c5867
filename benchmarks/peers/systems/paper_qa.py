"""paper-qa: retrieve, summarise and score every passage with the small model, answer from the best summaries."""

import asyncio
from collections.abc import Sequence
from typing import Any

from lmi import embedding_model_factory
from paperqa import Doc, Docs, Settings, Text
from paperqa.settings import AnswerSettings, ParsingSettings
from sentence_transformers import SentenceTransformer
from systems.base import Answered, Chunk, EncoderClock, Options


class PaperQA:
    """`Docs.aadd_texts` and `Docs.aquery`, without the agent."""

    packages = ("paper-qa", "fhlmi", "litellm", "sentence-transformers", "torch")

    def open(self, options: Options, clock: EncoderClock) -> None:
        clock.around(SentenceTransformer, "encode")
        self._settings = Settings(
            llm="large",
            llm_config=_model("large", options.api_base),
            summary_llm="small",
            summary_llm_config=_model("small", options.api_base),
            embedding=f"st-{options.encoder}",
            answer=AnswerSettings(evidence_k=options.top_k),
            parsing=ParsingSettings(use_doc_details=False, multimodal=False),
        )
        self._embedding = embedding_model_factory(f"st-{options.encoder}")
        self._loop = asyncio.new_event_loop()

    def empty(self) -> None:
        self._docs = Docs()

    def add(self, chunks: Sequence[Chunk]) -> None:
        self._loop.run_until_complete(self._add(chunks))

    async def _add(self, chunks: Sequence[Chunk]) -> None:
        for chunk in chunks:
            doc = Doc(docname=chunk.id, dockey=chunk.id, citation=chunk.title)
            text = Text(text=chunk.content, name=chunk.id, doc=doc)
            await self._docs.aadd_texts([text], doc, self._settings, self._embedding)
        # The index of the texts is built by the first search.
        await self._docs.retrieve_texts("ready", 1, self._settings, self._embedding)

    def ask(self, question: str) -> Answered:
        session = self._loop.run_until_complete(
            self._docs.aquery(question, self._settings, embedding_model=self._embedding)
        )
        sources = {f"({each.text.name})": each.text.name for each in session.contexts}
        return Answered(session.answer, sources, abstained=not session.references)

    def close(self) -> None:
        self._loop.close()


def _model(name: str, api_base: str) -> dict[str, Any]:
    parameters = {"model": f"openai/{name}", "api_base": api_base, "api_key": "none", "temperature": 0.0}
    return {"model_list": [{"model_name": name, "litellm_params": parameters}]}


SYSTEM = PaperQA()
