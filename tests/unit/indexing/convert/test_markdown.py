"""Markdown: as it is, but for front matter and underlined headings."""


def test_front_matter_becomes_metadata(convert):
    document, text = convert("a.md", "---\ntitle: Tides\nauthor: A. Person\ntags: [sea, moon]\n---\n# Body\n\nText.\n")
    assert document.title == "Tides"
    assert document.metadata == {"author": "A. Person", "tags": "sea, moon"}
    assert text == "# Body\n\nText.\n"


def test_broken_front_matter_stays_text(convert):
    content = "---\nthis: [is: broken\n---\nText.\n"
    assert "this: [is: broken" in convert("a.md", content)[1]


def test_underlined_headings_become_atx(convert):
    assert convert("a.md", "Title\n=====\n\nText.\n\nPart\n----\nMore.\n")[1] == "# Title\n\nText.\n\n## Part\nMore.\n"


def test_rules_tables_and_code_keep_their_dashes(convert):
    content = "Text.\n\n---\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```\nname\n----\n```\n\n- item\n---\n"
    assert convert("a.md", content)[1] == content


def test_front_matter_of_nested_aliases_does_not_explode(convert):
    lists = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 30))
    document, text = convert("a.md", f"---\nl0: &l0 [ha, ha]\n{lists}\n---\nText.\n")
    assert document.metadata == {"l0": "ha, ha"}
    assert text == "Text.\n"
