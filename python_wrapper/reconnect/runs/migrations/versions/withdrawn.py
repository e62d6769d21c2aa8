"""Runs that nobody begins any more.

Revision ID: withdrawn
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "withdrawn"
down_revision = "workers"


def upgrade() -> None:
    """Adds how such a run ends."""
    op.add_column("runs", sa.Column("withdrawn", sa.Text()))
