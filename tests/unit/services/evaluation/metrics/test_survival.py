from services.evaluation.metrics.survival import heading_recall, missing_words, plain, word_recall


def test_words_count_as_often_as_they_are_expected() -> None:
    assert word_recall("one two two three", "Three, two. Four!") == 0.5
    assert word_recall("!?", "anything") is None
    assert missing_words("one two two two", "one two", 5) == ["two×2"]


def test_a_heading_is_kept_at_any_level_and_with_any_emphasis() -> None:
    assert heading_recall("# One\n## *Two* &amp; more\n# Three", "### One\n\ntext\n# two more\n") == 2 / 3
    assert heading_recall("# One\n## *Two*", "# two\n#### ONE") == 1.0
    assert heading_recall("no heading", "# One") is None


def test_placeholders_entities_and_escapes_are_no_content() -> None:
    assert plain("a <!-- image\n --> b &lt;c&gt; d\\_e") == "a   b <c> d_e"
