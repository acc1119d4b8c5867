import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from services.evaluation.report.page import page
from services.evaluation.report.svg import Axis, draw, nice_step
from services.evaluation.result import Plot, Series
from tests.unit.services.evaluation.samples import result, task

TASK = task(
    {"small <model>": [(0.0, 0.01)] * 20, "strata": [(1.0, 0.001)] * 20 + [(0.0, 0.001)] * 0},
    baselines=("small <model>",),
)


class _Tags(HTMLParser):
    VOID = ("meta", "!doctype", "link", "br", "line", "circle", "polyline", "polygon")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_stands_alone_and_is_well_formed() -> None:
    text = page([result(TASK), result(TASK, name="sec10q")])
    tags = _Tags()
    tags.feed(text)
    assert tags.open == []
    assert not {"script", "link", "img", "iframe"} & set(tags.seen)
    assert not re.search(r"""(src|href)=|url\(|@import""", text)
    assert set(re.findall(r"https?://[^\"' <]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert tags.seen.count("svg") == 4
    assert "prefers-color-scheme: dark" in text
    assert "width=device-width" in text


def test_texts_are_escaped_and_the_product_comes_first() -> None:
    text = page([result(TASK)])
    assert "<b>in bold</b>" not in text
    assert "small <model>" not in text
    rows = re.findall(r'<th scope="row">([^<]+)<', text)
    assert rows == ["strata", "small &lt;model&gt;"]
    assert "+1.000 against small &lt;model&gt;" in text
    assert '<p class="delta better">' in text


def test_every_result_names_its_origin() -> None:
    text = page([result(TASK)])
    for words in ("nq_gold", "dev", "commit 0123456789ab", "configuration abc", "seed 7"):
        assert words in text


@pytest.mark.parametrize("kind", ["line", "points"])
@pytest.mark.parametrize("values", [(0.0, 0.0), (1.0, 1.0), (-3.0, 1e9), (0.001, 0.0011)])
def test_any_values_give_a_drawing_inside_its_frame(kind: str, values: tuple[float, float]) -> None:
    series = Series(name="s", x=values, y=values, low=values, high=values)
    plot = Plot.model_validate(
        {
            "title": "t",
            "x_label": "x",
            "y_label": "y",
            "kind": kind,
            "x_unit": "number",
            "y_unit": "usd",
            "series": [series],
        }
    )
    root = ElementTree.fromstring(draw(plot))  # our own
    for circle in root.iter("{http://www.w3.org/2000/svg}circle"):
        assert 0 <= float(circle.attrib["cx"]) <= 640
        assert 0 <= float(circle.attrib["cy"]) <= 400


def test_ticks_are_round_and_inside() -> None:
    assert [round(each, 9) for each in Axis(0.13, 0.92, 0, 100).ticks] == [0.2, 0.4, 0.6, 0.8]
    assert nice_step(0.23) == 0.25
    assert nice_step(1.0) == 1.0
    assert nice_step(0.06) == 0.1
