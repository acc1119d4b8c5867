"""`/docs`: the OpenAPI description as one page.

Written here, because FastAPI's own page has the browser load its scripts from a public server: it shows nothing where
that cannot be reached, and tells it of every visitor.
"""

import json
from collections.abc import Iterator
from html import escape
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

PATH = "/docs"

_STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
pre{background:#8881;padding:.7rem;overflow-x:auto;font-size:.85rem}td,th{text-align:left;padding:.1rem 1rem .1rem 0;
vertical-align:top}h2{margin-top:2.5rem}summary{cursor:pointer}:root{color-scheme:light dark}"""
_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
_SCHEMAS = "#/components/schemas/"


def install(app: FastAPI) -> None:
    """Serves the page."""

    async def docs() -> HTMLResponse:
        return HTMLResponse(page(app.openapi()), headers=_HEADERS)

    app.add_api_route(PATH, docs, include_in_schema=False)


def page(described: dict[str, Any]) -> str:
    """The page of an OpenAPI description. Loads nothing."""
    info = described["info"]
    operations = [
        part
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
        for part in _operation(method.upper(), path, operation)
    ]
    schemas = [
        f'<details id="{escape(name)}"><summary>{escape(name)}</summary>{_json(schema)}</details>'
        for name, schema in sorted(described["components"]["schemas"].items())
    ]
    title = f"{escape(info['title'])} {escape(info['version'])}"
    return "\n".join(
        [
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
            f"<style>{_STYLE}</style></head><body><h1>{title}</h1>",
            f'<p>{escape(info.get("description", ""))} <a href="/openapi.json">openapi.json</a></p>',
            *operations,
            "<h2>Schemas</h2>",
            *schemas,
            "</body></html>",
        ]
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"<h2><code>{method} {escape(path)}</code></h2>"
    yield "".join(f"<p>{escape(part)}</p>" for part in operation.get("description", "").split("\n\n"))
    parameters = [
        (each["name"], each["in"], "required" if each.get("required") else "", _json(each["schema"]))
        for each in operation.get("parameters", ())
    ]
    if parameters:
        rows = (
            f"<tr><td><code>{escape(name)}</code></td><td>{place}</td><td>{need}</td><td>{schema}</td></tr>"
            for name, place, need, schema in parameters
        )
        yield f"<table>{''.join(rows)}</table>"
    if "requestBody" in operation:
        yield f"<h3>Body</h3>{_content(operation['requestBody'])}"
    yield "<h3>Responses</h3><table>"
    for status, response in operation["responses"].items():
        yield f"<tr><th>{escape(status)}</th><td>{escape(response['description'])} {_content(response)}</td></tr>"
    yield "</table>"


def _content(holder: dict[str, Any]) -> str:
    return "".join(
        f"<div><code>{escape(kind)}</code> {_schema(media.get('schema') or media.get('itemSchema') or {})}</div>"
        for kind, media in holder.get("content", {}).items()
    )


def _schema(schema: dict[str, Any]) -> str:
    name = str(schema.get("$ref", "")).removeprefix(_SCHEMAS)
    return f'<a href="#{escape(name)}">{escape(name)}</a>' if name else _json(schema) if schema else ""


def _json(value: object) -> str:
    return f"<pre>{escape(json.dumps(value, indent=1, ensure_ascii=False))}</pre>"
