"""Passages of the common form."""

import re
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexing import blocks
from indexing.split import CHARS_PER_WORD, DocumentFacts, Splitter
from pipelines.core.settings import SplitSettings
from pipelines.core.types import Passage

FACTS = DocumentFacts("doc", "version", "Title", "source.md", paged=True)
MAX_WORDS = 20
RULE = re.compile(r"[\s|:+=_*>-]*")


def split(text: str, *, max_words: int = MAX_WORDS, facts: DocumentFacts = FACTS, size: int = 0) -> list[Passage]:
    parts = [text[at : at + size] for at in range(0, len(text), size)] if size else [text]
    return list(Splitter(SplitSettings(max_words=max_words)).split(parts, facts))


def check(text: str, passages: list[Passage], max_words: int = MAX_WORDS) -> None:
    """What holds for every text."""
    end = 0
    for passage in passages:
        assert passage.text == text[passage.start : passage.end]
        assert passage.text == passage.text.strip() != ""
        assert RULE.fullmatch(text[end : passage.start]), "text between two passages is lost"
        assert len(passage.text.split()) <= max_words
        assert len(passage.text) <= 2 * CHARS_PER_WORD * max_words
        assert passage.sentences
        at = passage.start
        for sentence in passage.sentences:
            assert at <= sentence.start < sentence.end <= passage.end
            quote = passage.quote(sentence)
            assert quote == text[sentence.start : sentence.end] == quote.strip()
            assert sentence.page == 1 + text[: sentence.start].count("\f")
            at = sentence.end
        assert passage.page == 1 + text[: passage.start].count("\f")
        end = passage.end
    assert RULE.fullmatch(text[end:]), "text at the end is lost"
    assert len({passage.id for passage in passages}) == len(passages)


LINES = st.sampled_from(
    [
        "# Top",
        "## Middle",
        "### Deep ###",
        "Title",
        "=====",
        "---",
        "- item one. And more",
        "12. numbered",
        "3.",
        "> quoted text",
        "> -",
        "| a | b |",
        "|---|---|",
        "```",
        "~~~",
        "\f",
        "text before\fa break",
        "A sentence. Another one! A third?",
        "这是第一句话。这是第二句话。",
        "👩‍🚀 emoji 😀. Next",
        "x" * 300,
        "word " * 45,
        "\u3000wide space",
        "a\u2028b\x0bc\x1cd",
        "\r",
        "",
        "",
    ]
)
TEXTS = st.lists(st.one_of(LINES, st.text(max_size=30))).map("\n".join)


@settings(max_examples=150, deadline=None)
@given(text=TEXTS, size=st.integers(1, 50))
def test_passages_are_slices_that_lose_nothing_however_the_text_comes(text: str, size: int) -> None:
    passages = split(text)
    check(text, passages)
    assert split(text, size=size) == passages


@settings(max_examples=60, deadline=None)
@given(text=TEXTS, size=st.integers(1, 50))
def test_the_same_where_lines_and_blocks_are_cut(text: str, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "MAX_LINE_CHARS", 25)
        patch.setattr(blocks, "MAX_BLOCK_CHARS", 60)
        passages = split(text)
        check(text, passages)
        assert split(text, size=size) == passages


@pytest.mark.parametrize("text", ["", " \n\f\n\t", "---\n\n***\n", ">\n>>", "| |\n|--|\n"])
def test_a_text_without_words_has_no_passages(text: str) -> None:
    assert split(text) == []


def test_section_paths_follow_the_headings() -> None:
    text = "# Title\nintro\n## A\na\n### A1\na1\n## B\nb\n# Other\nc\n"
    assert [passage.section_path for passage in split(text)] == [(), ("A",), ("A", "A1"), ("B",), ("Other",)]


def test_passages_of_a_section_share_its_id() -> None:
    first, second, other = split("# A\n" + "one two three four. " * 8 + "\n# B\nb\n")
    assert first.section_id == second.section_id != other.section_id


def test_headings_without_text_open_the_next_passage() -> None:
    (passage,) = split("# A\n\n---\n\n## B\n\ntext\n")
    assert passage.text == "# A\n\n---\n\n## B\n\ntext"
    assert passage.section_path == ("A", "B")
    assert [passage.quote(sentence) for sentence in passage.sentences] == ["text"]


def test_headings_at_the_end_become_a_passage() -> None:
    text, headings = split("# A\ntext\n# B\n## C\n")
    assert headings.section_path == ("B", "C")
    assert [headings.quote(sentence) for sentence in headings.sentences] == ["# B", "## C"]
    assert text.section_path == ("A",)


def test_a_text_of_headings_alone_is_bounded() -> None:
    text = "# Some heading\n" * 500
    passages = split(text)
    check(text, passages)
    assert len(passages) > 50


def test_setext_headings_name_sections() -> None:
    one, two = split("One\n===\n\na\n\nTwo\n---\nb\n")
    assert (one.section_path, two.section_path) == (("One",), ("One", "Two"))


def test_a_hash_in_code_starts_no_section() -> None:
    assert [p.section_path for p in split("# A\n```sh\n# comment\nls\n```\n")] == [("A",)]


def test_rows_and_items_are_sentences_of_their_own() -> None:
    (passage,) = split("| City | People |\n|---|---|\n| Rome | 3 |\n\n- first item\n- second. Really\n\n12. twelfth\n")
    quotes = [passage.quote(sentence) for sentence in passage.sentences]
    assert quotes == [
        "| City | People |",
        "| Rome | 3 |",
        "first item",
        "second.",
        "Really",
        "twelfth",
    ]


def test_blank_lines_in_code_cost_no_memory_of_their_own() -> None:
    text = "```\nx\n" + "\n" * 50_000 + "y\n```\n"
    check(text, split(text))


def test_sentences_are_not_cut_where_they_fit() -> None:
    sentences = [f"Sentence number {n} has seven words." for n in range(30)]
    found = [p.quote(s) for p in split(" ".join(sentences)) for s in p.sentences]
    assert found == sentences


def test_a_sentence_longer_than_a_passage_is_cut_between_words() -> None:
    text = " ".join(f"w{n}" for n in range(95))
    passages = split(text)
    check(text, passages)
    assert [word for passage in passages for word in passage.text.split()] == text.split()


def test_a_paragraph_moves_on_whole_where_that_leaves_the_passage_half_full() -> None:
    text = "First of ten words that fill up half the passage.\n\nSecond begins here. " + "It goes on for long. " * 3
    first, second = split(text)
    assert first.text == "First of ten words that fill up half the passage."
    assert second.text.startswith("Second begins here.")


@pytest.mark.parametrize("text", ["这是一个没有空格的句子。" * 500, "a" * 50_000, "😀" * 5000, "data:" + "QUJD" * 9000])
def test_text_without_spaces_keeps_the_bound(text: str) -> None:
    passages = split(text)
    check(text, passages)
    assert len(passages) > 10


def test_pages_are_told_only_where_the_format_has_them() -> None:
    text = "One.\n\f\fThree.\n\fFour\n\fgoes on.\n"
    assert [passage.page for passage in split(text)] == [1]
    assert [s.page for p in split(text) for s in p.sentences] == [1, 3, 4]
    unpaged = split(text, facts=DocumentFacts("doc", "v", "T", "s"))
    assert {p.page for p in unpaged} | {s.page for p in unpaged for s in p.sentences} == {None}


def test_ids_differ_by_version_and_passages_repeat_the_facts() -> None:
    facts = DocumentFacts("doc", "other", "Title", "source.md", metadata={"year": 2024})
    (old,), (new,) = split("text"), split("text", facts=facts)
    assert old.id != new.id
    assert (new.version, new.title, new.metadata) == ("other", "Title", {"year": 2024})


def stream(chars: int) -> Iterator[str]:
    """Sections, then one endless line, then an endless paragraph, then headings alone."""
    section = "# Heading\n\n" + "The quick brown fox jumps over the lazy dog. " * 200 + "\n\n"
    for piece in (section, "no line break here " * 500, "a line of a paragraph\n" * 400, "## A heading\n" * 600):
        for _ in range(chars // 4 // len(piece)):
            yield piece
        yield "\n\n"


def test_memory_does_not_grow_with_the_text() -> None:
    splitter = Splitter(SplitSettings())
    assert sum(1 for _ in splitter.split(stream(50_000), FACTS)) > 0  # imports and caches
    tracemalloc.start()
    try:
        passages = sum(1 for _ in splitter.split(stream(1_200_000), FACTS))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert passages > 600
    assert peak < 900_000
