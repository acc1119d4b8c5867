"""What of the training parts is held out of training: the same in every run, for training and for measuring."""

import hashlib

from services.evaluation.data.rows import GroundingRow

CLAIMS_HELD_OUT = 0.2
"""Share of the groups of claims that the head `support` is not trained on."""


def is_held_out(group: str, share: float) -> bool:
    """Whether a group is held out, by the hash of its name."""
    drawn = int.from_bytes(hashlib.sha256(group.encode()).digest()[:4], "big")
    return drawn < share * 2**32


def claim_group(name: str, row: GroundingRow) -> str:
    """The group of a set's claim: those about one page, or of the answer to one question, are on one side."""
    return f"{name}:{row.page or row.question_id or row.id}"
