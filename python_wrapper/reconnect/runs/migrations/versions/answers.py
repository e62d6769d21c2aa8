"""An Idempotency-Key is bound to its run.

Revision ID: safe
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "safe"
down_revision = "signin"


def upgrade() -> None:
    """Keeps the run of each answer in the place of its text."""
    op.add_column("answers", sa.Column("run_id", sa.Text()))
    op.execute("UPDATE answers SET run_id = substr(location, length('/v1/runs/') + 1)")
    # SQLite before 3.35 can only drop a column by making the table again.
    with op.batch_alter_table("answers") as table:
        for column in ("status", "location", "body"):
            table.drop_column(column)
