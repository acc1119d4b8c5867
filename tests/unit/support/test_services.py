"""What is not there is skipped on a laptop and fails in CI."""

import pytest

from tests.support.services import missing


@pytest.mark.parametrize("value", [None, "", "false", "0"])
def test_a_missing_service_skips_on_a_laptop(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.setenv("CI", value) if value is not None else monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no database"):
        missing("no database")


def test_a_missing_service_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no database"):
        missing("no database")
