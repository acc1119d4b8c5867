"""HTML: content survives in order and structure, noise does not."""

import pytest

from pipelines.core.errors import EmptyDocumentError

PAGE = """<!DOCTYPE html><html lang="en"><head><title>Harbour guide</title><meta name="author" content="Ada Person">
<style>p {color: red}</style><script>var secret = 1</script></head><body>
<nav><a href="/">Home</a></nav>
<h1>Harbours</h1><p>Ships   <b>moor</b> here.<br>Second line.</p>
<ul><li>North<ul><li>Pier 1</li></ul></li><li>South</li></ul>
<ol start="4"><li>four</li><li>five</li></ol>
<dl><dt>Berth</dt><dd>A place to moor.</dd></dl>
<pre><code>def tide():
    return 1</code></pre>
<p hidden>invisible</p><p>H<sub>2</sub>O and x<sup>2</sup>, see <a href="https://example.org/a">the chart</a>.</p>
<img src="https://example.org/x.png" alt="A lighthouse">
</body></html>"""


def test_page_keeps_structure_and_loses_noise(convert):
    document, text = convert("a.html", PAGE)
    assert document.title == "Harbour guide"
    assert document.metadata["author"] == "Ada Person"
    assert text == (
        "# Harbours\n\nShips moor here.\nSecond line.\n\n- North\n    - Pier 1\n- South\n\n4. four\n5. five\n\n"
        "- Berth\n    - A place to moor.\n\n```\ndef tide():\n    return 1\n```\n\n"
        "H2O and x^2, see [the chart](https://example.org/a).\n\nA lighthouse\n"
    )


def test_spanning_cells_are_repeated_so_that_rows_read_alone(convert):
    text = convert(
        "a.html",
        "<table><tr><th colspan=2>Depth</th><th>Tide</th></tr>"
        "<tr><td rowspan=2>North</td><td>4 m</td><td>high</td></tr><tr><td>2 m</td><td>low</td></tr></table>",
    )[1]
    assert text.splitlines() == [
        "| Depth | Depth | Tide |",
        "| --- | --- | --- |",
        "| North | 4 m | high |",
        "| North | 2 m | low |",
    ]


def test_absurd_spans_do_not_explode(convert):
    text = convert("a.html", "<table><tr><td colspan=1000000000 rowspan=1000000000>a</td><td>b</td></tr></table>")[1]
    assert len(text) < 2000


def test_deep_nesting_keeps_the_words(convert):
    text = convert("a.html", "<p>first</p>" + "<div>" * 20_000 + "needle" + "</div>" * 20_000 + "<p>last</p>")[1]
    assert text.split() == ["first", "needle", "last"]


def test_declared_charset_is_used(convert):
    page = '<html><head><meta charset="iso-8859-2"></head><body><p>Łódź leży</p></body></html>'
    assert convert("a.html", page.encode("iso-8859-2"))[1] == "Łódź leży\n"


def test_page_that_is_only_a_script_is_empty(convert):
    with pytest.raises(EmptyDocumentError, match="HTML page holds no text"):
        convert("a.html", "<html><body><script>1</script></body></html>")
