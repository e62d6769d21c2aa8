"""Runs the revisions within the transaction that `database` has begun."""

from __future__ import annotations

from alembic import context

from reconnect.runs.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
