"""LlamaIndex: vector and BM25 retriever fused by reciprocal ranks, under its citation query engine."""

from collections.abc import Sequence

from llama_index.core import VectorStoreIndex
from llama_index.core.query_engine import CitationQueryEngine
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import TextNode
from llama_index.embeddings.huggingface import HuggingFaceEmbedding
from llama_index.llms.openai_like import OpenAILike
from llama_index.retrievers.bm25 import BM25Retriever
from sentence_transformers import SentenceTransformer
from systems.base import Answered, Chunk, EncoderClock, Options

CONTEXT_WINDOW = 16_384


class LlamaIndexHybrid:
    """One query a question (`num_queries=1`), so no model call but the answer."""

    packages = (
        "llama-index-core",
        "llama-index-retrievers-bm25",
        "llama-index-embeddings-huggingface",
        "llama-index-llms-openai-like",
        "sentence-transformers",
        "torch",
    )

    def open(self, options: Options, clock: EncoderClock) -> None:
        clock.around(SentenceTransformer, "encode")
        self._top_k = options.top_k
        self._embedding = HuggingFaceEmbedding(model_name=options.encoder)
        self._llm = OpenAILike(
            model="large",
            api_base=options.api_base,
            api_key="none",
            is_chat_model=True,
            context_window=CONTEXT_WINDOW,
        )

    def empty(self) -> None:
        self._nodes: list[TextNode] = []

    def add(self, chunks: Sequence[Chunk]) -> None:
        self._nodes += [_node(chunk) for chunk in chunks]
        index = VectorStoreIndex(self._nodes, embed_model=self._embedding)
        retriever = QueryFusionRetriever(
            [
                index.as_retriever(similarity_top_k=self._top_k),
                BM25Retriever.from_defaults(nodes=self._nodes, similarity_top_k=self._top_k),
            ],
            llm=self._llm,
            num_queries=1,
            mode="reciprocal_rerank",
            similarity_top_k=self._top_k,
            use_async=False,
        )
        self._engine = CitationQueryEngine.from_args(index, llm=self._llm, retriever=retriever)

    def ask(self, question: str) -> Answered:
        response = self._engine.query(question)
        sources = {f"[{n}]": each.node.metadata["chunk"] for n, each in enumerate(response.source_nodes, start=1)}
        return Answered(str(response), sources)

    def close(self) -> None:
        """Holds nothing."""


def _node(chunk: Chunk) -> TextNode:
    # The engine makes nodes with new ids of the retrieved ones, so the id travels as metadata that no model sees.
    unseen = ["chunk"]
    return TextNode(
        id_=chunk.id,
        text=chunk.content,
        metadata={"chunk": chunk.id},
        excluded_embed_metadata_keys=unseen,
        excluded_llm_metadata_keys=unseen,
    )


SYSTEM = LlamaIndexHybrid()
