"""Whether a rewrite brings the words that a question lacks, and only these."""

from dataclasses import dataclass

from pipelines.core.text import terms


@dataclass(frozen=True, slots=True)
class Recovered:
    """Precision, recall and F1, 0 to 1; `None` where they are of nothing.

    Attributes:
        precision: Of the terms that were added; `None` where none was.
        recall: Of the terms to add; `None` where none was to be.
        f1: `None` where none was to be added.
    """

    precision: float | None
    recall: float | None
    f1: float | None


def recovered_terms(question: str, rewrite: str, reference: str) -> Recovered:
    """How the terms that `rewrite` adds to the question agree with those that a person's `reference` adds.

    Source: Voskarides et al., "Query Resolution for Conversational Search with Limited Supervision" (SIGIR 2020,
    arXiv 2005.11723), section 4.2, on stems.
    """
    added, wanted = terms(rewrite) - terms(question), terms(reference) - terms(question)
    right = len(added & wanted)
    return Recovered(
        precision=right / len(added) if added else None,
        recall=right / len(wanted) if wanted else None,
        f1=2 * right / (len(added) + len(wanted)) if wanted else None,
    )
