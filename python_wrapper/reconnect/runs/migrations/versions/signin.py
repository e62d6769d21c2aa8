"""Users of an identity provider.

Revision ID: signin
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "signin"
down_revision = "0003"


def upgrade() -> None:
    """Adds who a user is at the provider."""
    op.add_column("users", sa.Column("subject", sa.Text()))
    op.create_index("users_subject", "users", ["subject"], unique=True)
