"""Each run knows that it is cancelled.

Revision ID: cancelling
"""

from __future__ import annotations

from alembic import op

revision = "cancelling"
down_revision = "withdrawn"


def upgrade() -> None:
    """Removes what a worker was told, whatever run it had by then."""
    op.drop_column("workers", "cancelled")
