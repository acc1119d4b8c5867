"""Haystack: the hybrid pipeline of its tutorial on its in-memory store, answers with references."""

from collections.abc import Sequence

from haystack import Document, Pipeline
from haystack.components.builders import AnswerBuilder, ChatPromptBuilder
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.components.joiners import DocumentJoiner
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever, InMemoryEmbeddingRetriever
from haystack.components.writers import DocumentWriter
from haystack.dataclasses import ChatMessage
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.document_stores.types import DuplicatePolicy
from haystack.utils import Secret
from haystack_integrations.components.embedders.sentence_transformers import (
    SentenceTransformersDocumentEmbedder,
    SentenceTransformersTextEmbedder,
)
from sentence_transformers import SentenceTransformer
from systems.base import Answered, Chunk, EncoderClock, Options

TEMPLATE = """Given the following documents, answer the question. Cite the documents that you use by their number in \
square brackets, like [1].

Documents:
{% for document in documents %}
[{{ loop.index }}] {{ document.content }}
{% endfor %}
Question: {{ question }}
Answer:"""


class HaystackHybrid:
    """BM25 and embedding retriever, joined by reciprocal rank fusion."""

    packages = ("haystack-ai", "sentence-transformers-haystack", "sentence-transformers", "openai", "torch")

    def open(self, options: Options, clock: EncoderClock) -> None:
        self._options = options
        clock.around(SentenceTransformer, "encode")

    def empty(self) -> None:
        options = self._options
        store = InMemoryDocumentStore(embedding_similarity_function="cosine")
        self._indexing = Pipeline()
        self._indexing.add_component(
            "embed", SentenceTransformersDocumentEmbedder(model=options.encoder, progress_bar=False)
        )
        self._indexing.add_component("write", DocumentWriter(store, policy=DuplicatePolicy.OVERWRITE))
        self._indexing.connect("embed", "write")
        self._indexing.warm_up()

        asking = Pipeline()
        asking.add_component("embed", SentenceTransformersTextEmbedder(model=options.encoder, progress_bar=False))
        asking.add_component("dense", InMemoryEmbeddingRetriever(store, top_k=options.top_k))
        asking.add_component("bm25", InMemoryBM25Retriever(store, top_k=options.top_k))
        asking.add_component("join", DocumentJoiner(join_mode="reciprocal_rank_fusion", top_k=options.top_k))
        asking.add_component(
            "prompt", ChatPromptBuilder([ChatMessage.from_user(TEMPLATE)], required_variables=["documents", "question"])
        )
        asking.add_component(
            "write",
            OpenAIChatGenerator(model="large", api_key=Secret.from_token("none"), api_base_url=options.api_base),
        )
        asking.add_component("answer", AnswerBuilder(reference_pattern=r"\[(\d+)\]"))
        asking.connect("embed.embedding", "dense.query_embedding")
        asking.connect("dense", "join")
        asking.connect("bm25", "join")
        asking.connect("join.documents", "prompt.documents")
        asking.connect("join.documents", "answer.documents")
        asking.connect("prompt.prompt", "write.messages")
        asking.connect("write.replies", "answer.replies")
        asking.warm_up()
        self._asking = asking

    def add(self, chunks: Sequence[Chunk]) -> None:
        documents = [Document(id=chunk.id, content=chunk.content) for chunk in chunks]
        self._indexing.run({"embed": {"documents": documents}})

    def ask(self, question: str) -> Answered:
        outputs = self._asking.run(
            {
                "embed": {"text": question},
                "bm25": {"query": question},
                "prompt": {"question": question},
                "answer": {"query": question},
            }
        )
        answer = outputs["answer"]["answers"][0]
        sources = {f"[{each.meta['source_index']}]": each.id for each in answer.documents if each.meta["referenced"]}
        return Answered(answer.data, sources)

    def close(self) -> None:
        """Holds nothing."""


SYSTEM = HaystackHybrid()
