"""What the service tells others: the feed, and the notifications that are made of it.

Revision ID: notify
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "notify"
down_revision = "selfcheck"

_RUN_ID = sa.String(32).with_variant(sa.String(32, collation="C"), "postgresql")


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "feed",
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("run_id", _RUN_ID),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("sequence"),
        sa.UniqueConstraint("run_id", "kind", "subject"),
    )
    op.create_table(
        "service_notifications",
        sa.Column("run_id", _RUN_ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("error_message", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "kind", "subject", "channel"),
    )
    op.create_index("service_notifications_due", "service_notifications", ["state", "next_at"])
