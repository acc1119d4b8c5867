"""Blocks of the common form."""

import time

import pytest

from indexing import blocks
from indexing.blocks import MAX_BLOCK_CHARS, MAX_HEADING_CHARS, MAX_LINE_CHARS, Block, Kind, cut, read_blocks


def read(text: str) -> list[Block]:
    found = list(read_blocks([text]))
    assert "".join(block.raw for block in found) == text
    assert [block.start for block in found] == [sum(len(b.raw) for b in found[:at]) for at in range(len(found))]
    return found


def kinds(text: str) -> list[Kind]:
    return [block.kind for block in read(text)]


def test_an_empty_text_has_no_blocks() -> None:
    assert read("") == []


def test_blank_lines_belong_to_the_block_before_them() -> None:
    assert [block.raw for block in read("\n\na\n\n\nb\n")] == ["\n\n", "a\n\n\n", "b\n"]


@pytest.mark.parametrize(
    ("line", "level", "heading"),
    [
        ("# One", 1, "One"),
        ("   ### Three ###", 3, "Three"),
        ("###### Six", 6, "Six"),
        ("## **Bold** and `code`", 2, "Bold and code"),
        ("## A [link](http://x.example/(y)) here", 2, "A link) here"),
        (r"## 1\. A \# sign", 2, "1. A # sign"),
        ("# 第一章", 1, "第一章"),
        ("# From C to C#", 1, "From C to C#"),
        ("# C# ##  ", 1, "C#"),
    ],
)
def test_atx_headings(line: str, level: int, heading: str) -> None:
    (block,) = read(line)
    assert (block.kind, block.level, block.heading) == (Kind.HEADING, level, heading)


@pytest.mark.parametrize("line", ["#NoSpace", "####### Seven", "    # indented code", "#", "# ", "#  "])
def test_what_is_no_heading(line: str) -> None:
    assert Kind.HEADING not in kinds(line)


def test_a_carriage_return_is_no_part_of_a_heading() -> None:
    assert [block.heading for block in read("# One #\r\n\r\ntext\r\n")] == ["One", ""]


def test_setext_headings() -> None:
    first, text, second, more = read("**Title**\n=====\n\ntext\n\nSub\n---\nmore\n")
    assert (first.level, first.heading, second.level, second.heading) == (1, "Title", 2, "Sub")
    assert (text.raw, more.raw) == ("text\n\n", "more\n")


def test_a_rule_under_several_lines_makes_no_heading() -> None:
    assert Kind.HEADING not in kinds("one\ntwo\n---\nthree\n")


def test_a_heading_has_a_bounded_name() -> None:
    block = read("# " + "word " * 500 + "\ntext\n")[0]
    assert (block.kind, len(block.heading)) == (Kind.HEADING, MAX_HEADING_CHARS)


def test_tables_lists_and_paragraphs_part_without_blank_lines() -> None:
    text = "para\n- one\n  goes on\n- two\n| a | b |\n|---|---|\n| 1 | 2 |\nafter\n"
    assert kinds(text) == [Kind.PARAGRAPH, Kind.LIST_ITEM, Kind.LIST_ITEM, Kind.TABLE, Kind.PARAGRAPH]


@pytest.mark.parametrize("fence", ["```", "~~~", "`````"])
def test_code_keeps_its_hashes(fence: str) -> None:
    text = f"{fence}python\n# no heading\n\n| no | table |\n{fence}\n# Heading\n"
    code, heading = read(text)
    assert (code.kind, heading.heading) == (Kind.CODE, "Heading")


def test_a_shorter_or_other_fence_does_not_close_code() -> None:
    assert kinds("````\n```\n~~~\n# x\n````\nafter\n") == [Kind.CODE, Kind.PARAGRAPH]


def test_code_that_is_cut_for_its_length_stays_code() -> None:
    text = "```\n" + "# comment\n" * (MAX_BLOCK_CHARS // 5) + "```\n# Heading\n"
    found = read(text)
    assert len(found) > 3
    assert {block.kind for block in found[:-1]} == {Kind.CODE}
    assert found[-1].heading == "Heading"


def test_code_that_is_never_closed_goes_to_the_end() -> None:
    assert kinds("```\n# x\n\ny\n") == [Kind.CODE]


def test_pages_count_from_one() -> None:
    assert [block.page for block in read("one\n\f# Two\n\f\fFour\n")] == [1, 1, 2]


def test_a_paragraph_goes_on_after_a_page_break_only_in_mid_sentence() -> None:
    assert kinds("this sentence\n\fgoes on here.\n") == [Kind.PARAGRAPH]
    assert kinds("this one ends.\n\fthe next begins\n") == [Kind.PARAGRAPH] * 2
    assert kinds("no full stop\n\fBut a capital\n") == [Kind.PARAGRAPH] * 2


def test_giant_lines_and_blocks_are_cut() -> None:
    for text in ("x" * 100_000, "word " * 30_000, "one line\n" * 20_000, "\n" * 100_000, "| a |\n" * 20_000):
        found = read(text)
        assert max(len(block.raw) for block in found) <= MAX_BLOCK_CHARS + MAX_LINE_CHARS


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_blocks_do_not_depend_on_how_the_text_comes(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "MAX_LINE_CHARS", 40)
    monkeypatch.setattr(blocks, "MAX_BLOCK_CHARS", 100)
    text = "# A\n\nlong line without end " * 5 + "\n```\n# c\n" + "code\n" * 40 + "```\n\fx\n=\n" + "y" * 90
    assert list(read_blocks(text[at : at + size] for at in range(0, len(text), size))) == read(text)


def test_cut_keeps_everything_and_prefers_white_space() -> None:
    assert cut("aa bb cc", 4) == ["aa ", "bb ", "cc"]
    assert cut("aaaaaa", 4) == ["aaaa", "aa"]
    assert cut("", 4) == [""]


@pytest.mark.parametrize("line", ["# x" + " " * 19_000 + "y", "# " + "[" * 19_000, "# " + "`a **b " * 2_700])
def test_no_heading_takes_long(line: str) -> None:
    before = time.process_time()
    read(f"{line}\n" * 10)
    assert time.process_time() - before < 1


def test_empty_lines_cost_next_to_nothing() -> None:
    before = time.process_time()
    assert len(read("a\n" + "\n" * 2_000_000 + "b\n")) < 200
    assert time.process_time() - before < 1
