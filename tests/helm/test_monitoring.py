"""Alerts, dashboard and scaling ask for figures and tables that exist."""

import json
import re
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from pipelines.core.state import DocumentStatus
from pipelines.core.state.tables import Base
from tests.support.chart import CHART, of_kind, render, value_set

ROOT = Path(__file__).parents[2]
FIGURE = re.compile(r"\bstrata_[a-z_]+")
VALUE = re.compile(r'\b(status|outcome|role)[!=]?=~?"([a-z_|]+)"')
PAGE = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("file", ["rules.yaml", "dashboard.json"])
def test_every_figure_that_is_asked_for_is_documented(file: str) -> None:
    text = (CHART / "monitoring" / file).read_text(encoding="utf-8").replace('\\"', '"')
    asked = {figure.removesuffix("_bucket") for figure in FIGURE.findall(text)}
    assert asked
    assert asked - set(FIGURE.findall(PAGE)) == set()
    values = {value for _, alternatives in VALUE.findall(text) for value in alternatives.split("|")}
    assert values
    assert values - set(re.findall(r"`([a-z_]+)`", PAGE)) - {status.value for status in DocumentStatus} == set()


def test_the_alerts_are_about_this_release() -> None:
    (rule,) = of_kind(render(value_set("everything-on"), name="mine"), "PrometheusRule").values()
    for alert in rule["spec"]["groups"][0]["rules"]:
        figures = len(FIGURE.findall(alert["expr"]))
        assert alert["expr"].count('app_kubernetes_io_instance="mine"') == figures


def test_the_dashboard_is_what_grafana_reads() -> None:
    dashboards = of_kind(render(value_set("everything-on")), "ConfigMap")["strata-dashboards"]
    assert dashboards["metadata"]["labels"]["grafana_dashboard"] == "1"
    panels = json.loads(dashboards["data"]["strata.json"])["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 10
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len(panels)


def test_the_queries_that_scale_workers_run_on_the_state_s_tables() -> None:
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    scaled = of_kind(render(value_set("everything-on")), "ScaledObject").values()
    queries = [
        trigger["metadata"]["query"]
        for each in scaled
        for trigger in each["spec"]["triggers"]
        if trigger["type"] == "postgresql"
    ]
    assert len(queries) == 3
    with engine.connect() as connection:
        assert [connection.execute(text(query)).scalar() for query in queries] == [0, 0, 0]
