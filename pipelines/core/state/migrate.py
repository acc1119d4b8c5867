"""Brings the database to the newest schema: once, whoever starts first."""

import threading
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, inspect, text

from pipelines.core.errors import ConfigurationError
from pipelines.core.state.tables import REVISION

_ADVISORY_LOCK = 0x5354524154410001  # "STRATA", 1: any constant that no other program of the database uses
_alembic = threading.Lock()  # Alembic keeps its context in a module


def upgrade(engine: Engine, writer: Engine) -> None:
    """Upgrades the schema to `REVISION`. Idempotent; safe when several processes start at once.

    Costs one query when nothing is due; Alembic is imported only when something is.

    Args:
        engine: For the cheap look.
        writer: The same database; its transactions take SQLite's write lock when they begin.

    Raises:
        ConfigurationError: a newer Strata made this database.
    """
    with engine.connect() as connection:
        if current_revision(connection) == REVISION:
            return
    with _alembic, writer.begin() as connection:
        if connection.dialect.name == "postgresql":
            _be_patient(connection)
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        if current_revision(connection) != REVISION:
            _run(connection)


def current_revision(connection: Connection) -> str | None:
    """The revision of the database; `None` when it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return revision


def _be_patient(connection: Connection) -> None:
    """Bounds no statement of a migration: it may build an index over millions of rows, or wait for who does."""
    driver: Any = connection.connection.driver_connection
    if hasattr(driver, "answer_s"):
        driver.answer_s = float("inf")
        connection.detach()  # closed at the end, not used again


def _run(connection: Connection) -> None:
    from alembic import command  # takes 0.1-0.2 s to import
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise ConfigurationError(
            f"The state database has schema {current_revision(connection)}, which this Strata ({REVISION}) does not "
            "know: a newer Strata made it. Run that one, or restore a backup."
        ) from error
