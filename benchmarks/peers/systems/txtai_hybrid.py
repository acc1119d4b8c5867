"""txtai: a hybrid embeddings database with content, and its RAG pipeline with references."""

from collections.abc import Sequence

from systems.base import Answered, Chunk, EncoderClock, Options
from txtai import RAG, Embeddings
from txtai.vectors.dense.huggingface import HFVectors

TEMPLATE = """Answer the following question using the provided context.

Question:
{question}

Context:
{context}
"""


class TxtaiHybrid:
    """`hybrid=True` is dense and BM25, equally weighted; the reference is the passage most like the answer."""

    packages = ("txtai", "faiss-cpu", "litellm", "transformers", "torch")

    def open(self, options: Options, clock: EncoderClock) -> None:
        clock.around(HFVectors, "encode")
        self._options = options

    def empty(self) -> None:
        options = self._options
        self._embeddings = Embeddings(path=options.encoder, hybrid=True, content=True)
        self._rag = RAG(
            self._embeddings,
            "openai/large",
            task="litellm",
            template=TEMPLATE,
            context=options.top_k,
            output="reference",
            api_base=options.api_base,
            api_key="none",
        )

    def add(self, chunks: Sequence[Chunk]) -> None:
        self._embeddings.upsert([(chunk.id, chunk.content, None) for chunk in chunks])

    def ask(self, question: str) -> Answered:
        result = self._rag(question, defaultrole="user")
        return Answered(result["answer"], {"": result["reference"]})

    def close(self) -> None:
        self._embeddings.close()


SYSTEM = TxtaiHybrid()
