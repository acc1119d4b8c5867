"""Two texts as one input: question and passage, claim and source, question and earlier turns.

Training and serving share this file, so that a head sees in production what it saw when it was trained.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

FIRST_TOKENS = 128
"""Longest first text; what is beyond is not read."""
CONTEXT_TOKENS = 32
"""Longest context before each window of the second text."""
MIN_TOKENS = 192
"""Shortest window: it holds the longest first text and context, their marks, and some of the second text."""

WIDTH_STEP = 16
"""Passes are padded to a multiple of so many tokens: engines prepare themselves anew for every shape they meet."""

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts that are read together.

    Attributes:
        first: What is asked or claimed.
        second: What is judged, of any length.
        context: Stands before every window of the second text: title and section.
        spans: Parts of the second text that get scores of their own, as characters `(start, end)`, ascending, apart.
    """

    first: str
    second: str
    context: str = ""
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Window:
    """One input of the encoder: `[CLS] first [SEP] context second [SEP]`, the second text as far as it fits.

    Attributes:
        pair: Place of its pair.
        ids: Token ids.
        second_at: Place of the first token after the first `[SEP]`.
        spans: `(span, start, end)`: tokens that a span has in this window; a long one may be in several.
    """

    pair: int
    ids: tuple[int, ...]
    second_at: int
    spans: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """Windows of one forward pass, padded alike: `(n, padded_width of the longest) int64` each.

    Attributes:
        types: 0 for the first text, 1 for the second.
    """

    windows: tuple[Window, ...]
    ids: NDArray[np.int64]
    mask: NDArray[np.int64]
    types: NDArray[np.int64]

    @classmethod
    def of(cls, windows: Sequence[Window], pad_id: int) -> Self:
        """Pads windows."""
        width = padded_width(max(len(window.ids) for window in windows))
        ids = np.full((len(windows), width), pad_id, np.int64)
        mask = np.zeros((len(windows), width), np.int64)
        types = np.zeros((len(windows), width), np.int64)
        for row, window in enumerate(windows):
            ids[row, : len(window.ids)] = window.ids
            mask[row, : len(window.ids)] = 1
            types[row, window.second_at : len(window.ids)] = 1
        return cls(tuple(windows), ids, mask, types)


def padded_width(tokens: int) -> int:
    """How wide a pass is whose longest window has so many tokens."""
    return -(-tokens // WIDTH_STEP) * WIDTH_STEP


class PairReader:
    """Cuts pairs into windows. A pair that fits has one; a longer one is cut between its spans.

    Raises:
        ValueError: a window of `max_tokens` may have no room for the second text, or the tokenizer is of another kind.
    """

    def __init__(self, tokenizer: "Tokenizer", max_tokens: int) -> None:
        if max_tokens < MIN_TOKENS:
            raise ValueError(f"max_tokens: {max_tokens} is less than {MIN_TOKENS}")
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens
        self._cls, self._sep, self.pad_id = (_token_id(tokenizer, name) for name in ("[CLS]", "[SEP]", "[PAD]"))

    def windows(self, pairs: Sequence[Pair]) -> list[Window]:
        """The windows of all pairs, in their order; each pair has at least one."""
        texts = [text for pair in pairs for text in (pair.first, pair.context, pair.second)]
        encoded = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        return [
            window
            for at, pair in enumerate(pairs)
            for window in self._windows_of(at, pair, *encoded[3 * at : 3 * at + 3])
        ]

    def _windows_of(
        self, at: int, pair: Pair, first: "Encoding", context: "Encoding", second: "Encoding"
    ) -> Iterator[Window]:
        head = (self._cls, *first.ids[:FIRST_TOKENS], self._sep)
        lead = (*head, *context.ids[:CONTEXT_TOKENS])
        room = self._max_tokens - len(lead) - 1
        bounds = _token_bounds(pair.spans, second.offsets)
        for start, end in _cuts(bounds, len(second.ids), room):
            spans = tuple(
                (span, max(low, start) - start + len(lead), min(high, end) - start + len(lead))
                for span, (low, high) in enumerate(bounds)
                if max(low, start) < min(high, end)
            )
            yield Window(at, (*lead, *second.ids[start:end], self._sep), len(head), spans)


def _token_id(tokenizer: "Tokenizer", name: str) -> int:
    found = tokenizer.token_to_id(name)
    if found is None:
        raise ValueError(f"the encoder's tokenizer knows no {name}: heads need a BERT-like one")
    return found


def _token_bounds(spans: Sequence[Span], offsets: Sequence[Span]) -> list[Span]:
    """Which tokens each span has, `(start, end)`; none where the tokenizer kept nothing of it."""
    starts = np.fromiter((start for start, _ in offsets), np.int64, len(offsets))
    return [(int(np.searchsorted(starts, low)), int(np.searchsorted(starts, high))) for low, high in spans]


def _cuts(bounds: Sequence[Span], length: int, room: int) -> Iterator[Span]:
    """Where the second text is cut: before a span where one begins in reach, else where the room ends."""
    beginnings = sorted({low for low, _ in bounds} | {length})
    start = 0
    while True:
        end = start + room
        if end >= length:
            yield (start, length)
            return
        end = max((low for low in beginnings if start < low <= end), default=end)
        yield (start, end)
        start = end
