"""Runs inside the transaction that `pipelines.core.state.migrate` holds; there is no alembic.ini."""

from alembic import context

from pipelines.core.state import learning_tables  # noqa: F401  # adds its tables
from pipelines.core.state.tables import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
