"""The page that describes the service."""

import re
from html.parser import HTMLParser

from pipelines.core.settings import Settings
from services.api import create_app
from services.api.docs import page


class Links(HTMLParser):
    """Gathers what a browser would load or follow, and which places the page has."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.places: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.targets += [value for name in ("src", "href", "action") if (value := named.get(name))]
        if place := named.get("id"):
            self.places.add(place)


def test_the_page_tells_everything_and_loads_nothing() -> None:
    described = create_app(Settings()).openapi()
    html = page(described)
    links = Links()
    links.feed(html)
    for path, methods in described["paths"].items():
        for method in methods:
            assert f"<code>{method.upper()} {path}</code>" in html
    assert {target for target in links.targets if not target.startswith("#")} == {"/openapi.json"}
    assert {target[1:] for target in links.targets if target.startswith("#")} <= links.places
    assert links.places == set(described["components"]["schemas"])
    assert not re.search(r"<script|@import|url\(|https?://", html)


def test_what_the_description_says_is_text() -> None:
    operation = {"description": "<script>x</script>", "responses": {"200": {"description": "a < b"}}}
    described = {
        "info": {"title": "<b>", "version": "1"},
        "paths": {"/<i>": {"get": operation}},
        "components": {"schemas": {'a"b': {"description": "<u>"}}},
    }
    html = page(described)
    assert not re.search(r"<(script|b|i|u)>", html)
    assert "a &lt; b" in html
