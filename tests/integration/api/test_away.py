"""PostgreSQL goes away and comes back under a running API: what still works, what is told, and that it heals."""

import time
from collections.abc import Callable

import pytest

from services.telemetry import checks
from tests.support.api_server import ApiServer, assert_problem
from tests.support.servers import Postgres

pytestmark = [pytest.mark.network, pytest.mark.slow]

MAST = "# Mast\n\nThe mast of Brannoch is 42 metres high. It was painted red in 1990.\n"
QUESTION = "How high is the mast of Brannoch?"


def test_a_database_that_goes_away_and_comes_back_needs_no_restart(
    serve: Callable[..., ApiServer], postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "KEPT_S", 0.0)
    server = serve(state={"url": postgres_server.new_database()}, queue={"poll_s": 0.5})
    server.add({"mast.md": MAST})
    receipt = f"/v1/answers/{server.ask(QUESTION).json()['id']}/receipt"
    assert server.client.get(receipt).status_code == 200
    postgres_server.stop()
    try:
        for _ in range(6):  # beyond the failures that open the circuit
            started = time.monotonic()
            answer = server.ask(QUESTION)
            assert "42 metres" in answer.json()["text"]  # its receipt is not kept
            refused = server.client.post("/v1/documents", json={"documents": [{"text": MAST, "name": "b.md"}]})
            assert_problem(refused, 503, "state_unavailable")
            assert int(refused.headers["retry-after"]) >= 1
            assert time.monotonic() - started < 30
        assert_problem(server.client.get(receipt), 503, "state_unavailable")
        ready = server.client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert ready.json()["checks"]["state"] == {"ok": False, "detail": "state_unavailable"}
        assert "strata_state_up 0.0" in server.client.get("/metrics").text
    finally:
        postgres_server.start()
    end = time.monotonic() + 60
    while server.client.get("/readyz").json()["status"] != "ready":
        assert time.monotonic() < end, server.client.get("/readyz").text
        time.sleep(0.1)
    assert server.client.get(receipt).status_code == 200
    server.add({"b.md": MAST.replace("mast", "crane")})
    assert server.client.get(f"/v1/answers/{server.ask(QUESTION).json()['id']}/receipt").status_code == 200
