"""What tests need beside the code: a service or a driver that may not be there."""

import os
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Ends a test for what it lacks: skipped on a laptop, failed in CI, where nothing may go untested unseen."""
    if os.environ.get("CI", "").lower() in ("", "0", "false"):
        pytest.skip(what)
    pytest.fail(f"{what}, and in CI it must be there")
