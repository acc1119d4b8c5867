"""Examples of HotpotQA: a question over two paragraphs, ten to choose from, the sentences that are needed marked."""

from collections.abc import Iterator
from pathlib import Path

from services.evaluation.data.rows import CorpusDocument, QueryRow, read
from services.training.examples import Example
from services.training.texts import Text

SOURCE = "hotpotqa"


def hotpot_texts(data: Path) -> dict[str, Text]:
    """The paragraphs of multihop_wiki that have sentences of their own.

    Raises:
        InvalidRequestError: the corpus is missing or malformed.
    """
    documents = read(data / "multihop_wiki" / "shared" / "corpus.jsonl.gz", CorpusDocument)
    return {document.id: Text.of_document(document) for document in documents}


def hotpot_examples(data: Path, split: str = "train") -> Iterator[Example]:
    """One group a question: its candidates, gold and distractors.

    Raises:
        InvalidRequestError: a file is missing or malformed.
    """
    texts = hotpot_texts(data)
    for query in read(data / "multihop_wiki" / split / "queries.jsonl.gz", QueryRow):
        if not (query.source or "").startswith(SOURCE):
            continue
        gold = {each.doc_id: each.sent_ids or () for each in query.gold}
        for document in query.candidates:
            good = gold.get(document, ())
            yield texts[document].example(
                query.question, group=query.id, source=SOURCE, label=float(document in gold), good=good
            )
