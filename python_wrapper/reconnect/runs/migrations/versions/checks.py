"""The checks that the service begins by itself, and what they found.

Revision ID: checks
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "checks"
down_revision = "notify"


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "checks",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.Text()),
        sa.PrimaryKeyConstraint("name", "server"),
    )
    op.create_table(
        "faults",
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("fault", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("codes", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("gone_at", sa.BigInteger()),
        sa.Column("incident", sa.Text()),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("told_run_id", sa.Text()),
        sa.Column("told_gone", sa.Boolean(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("server", "fault"),
    )
