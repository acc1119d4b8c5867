"""AsciiDoc: headings, lists, tables and blocks as Markdown."""

SOURCE = """= Mooring Guide
:author: A. Person
// a comment

Some *bold* text
on two lines, see link:https://example.org[the chart].

== Steps

. First
+
An attached paragraph.
. Second
** Nested

[source,python]
----
= not a heading
----

.Depths
|===
|Basin |Depth
|North |4 m
a|South ^|2 m
|===

Berth:: A place to moor.
"""


def test_document(convert):
    document, text = convert("a.adoc", SOURCE)
    assert document.title == "Mooring Guide"
    assert document.metadata == {"author": "A. Person"}
    assert "Some bold text on two lines, see [the chart](https://example.org).\n" in text
    assert "## Steps\n" in text
    assert "```\n= not a heading\n```" in text
    assert "| Basin | Depth |\n| --- | --- |\n| North | 4 m |\n| South | 2 m |" in text
    assert "- Berth: A place to moor." in text
    assert "comment" not in text


def test_list_numbers_go_on_after_attached_blocks(convert):
    lines = convert("a.adoc", SOURCE)[1].splitlines()
    assert "1. First" in lines
    assert "2. Second" in lines
    assert "    - Nested" in lines
