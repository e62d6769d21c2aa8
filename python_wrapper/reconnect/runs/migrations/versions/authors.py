"""Who caused a delivery.

Revision ID: authors
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "authors"
down_revision = "outgoing"


def upgrade() -> None:
    """Adds whether somebody else than Reconnect caused it."""
    op.add_column("deliveries", sa.Column("by_other", sa.Boolean(), nullable=False, server_default=sa.false()))
