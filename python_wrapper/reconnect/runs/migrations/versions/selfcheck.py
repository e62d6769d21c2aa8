"""Links for a self-check on a user's device.

Revision ID: selfcheck
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "selfcheck"
down_revision = "safe"


def upgrade() -> None:
    """Makes the table."""
    op.create_table(
        "selfchecks",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("incident", sa.Text()),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("browser", sa.Text()),
        sa.Column("addresses", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text()),
        sa.PrimaryKeyConstraint("digest"),
    )
