"""Sentence boundaries."""

import time

from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.core.sentences import sentence_spans


def sentences(text: str) -> list[str]:
    return [text[first:last] for first, last in sentence_spans(text)]


def test_sentences_keep_the_white_space_after_them() -> None:
    assert sentences("One. Two!  Three 😀. 第一句。第二句。") == [
        "One. ",
        "Two!  ",
        "Three 😀. ",
        "第一句。",
        "第二句。",
    ]
    assert sentences("") == []


def test_abbreviations_end_no_sentence() -> None:
    assert sentences("Dr. Smith came at 3.5 p.m. yesterday.") == ["Dr. Smith came at 3.5 p.m. yesterday."]


def test_a_no_break_space_before_a_full_stop_harms_nothing() -> None:
    assert sentences("Take option A\u00a0. Then go.") == ["Take option A\u00a0. ", "Then go."]
    assert sentences("See J \u2003\u00a0. Then go.") == ["See J \u2003\u00a0. ", "Then go."]


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from("abAB .!?\n\t\r\f\u00a0\u2028\u3000。😀é́\"')"), max_size=60))
def test_spans_cover_every_text_without_gaps(text: str) -> None:
    assert "".join(sentences(text)) == text


def test_white_space_costs_next_to_nothing() -> None:
    before = time.process_time()
    assert len(sentences("One." + "\n \n" * 100_000 + "Two.")) == 2
    assert time.process_time() - before < 2
