"""What the service tells others, whatever goes wrong with one entry, one machine or one network.

Revision ID: outgoing
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "outgoing"
down_revision = "checks"


def upgrade() -> None:
    """Adds what is unreadable, how long a check is its machine's, and what a fault and its incident are known by."""
    op.add_column("feed", sa.Column("unreadable_at", sa.BigInteger()))
    op.add_column("checks", sa.Column("leased_until", sa.BigInteger()))
    op.add_column("checks", sa.Column("unreachable", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("faults", sa.Column("marker", sa.Text()))
    op.add_column("faults", sa.Column("first_run_id", sa.Text(), nullable=False, server_default=""))
    op.execute("UPDATE faults SET first_run_id = run_id")
