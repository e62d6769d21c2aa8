"""The store: runs, results, documents, events and pending reports.

Revision ID: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_RUN_ID = sa.String(32).with_variant(sa.String(32, collation="C"), "postgresql")
_OPEN = sa.text("finished_at IS NULL")
_WAITING = sa.text("finished_at IS NULL OR delivery = 'pending'")


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "runs",
        sa.Column("run_id", _RUN_ID, nullable=False),
        sa.Column("playbook", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("requester", sa.Text()),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("account", sa.Text()),
        sa.Column("tracker", sa.Text()),
        sa.Column("incident", sa.Text()),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger()),
        sa.Column("exit_code", sa.Integer()),
        sa.Column("delivery", sa.Text(), nullable=False),
        sa.Column("begun", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Text()),
        sa.Column("plan_hash", sa.Text()),
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("language", sa.Text()),
        sa.Column("inventory_hash", sa.Text()),
        sa.Column("request_key", sa.Text()),
        sa.Column("question_key", sa.Text()),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("notes", sa.Text(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_id"),
        sa.UniqueConstraint("question_key"),
    )
    op.create_index("runs_account", "runs", ["account", "run_id"])
    op.create_index("runs_finished", "runs", ["finished_at"])
    op.create_index("runs_incident", "runs", ["tracker", "incident"])
    op.create_index("runs_one_open", "runs", ["request_key"], unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN)
    op.create_index("runs_request", "runs", ["request_key", "run_id"])
    op.create_index("runs_waiting", "runs", ["worker"], sqlite_where=_WAITING, postgresql_where=_WAITING)
    op.create_table(
        "documents",
        sa.Column("run_id", _RUN_ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "kind", "server"),
    )
    op.create_table(
        "events",
        sa.Column("run_id", _RUN_ID, nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("server", sa.Text()),
        sa.Column("data", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "sequence"),
    )
    op.create_table(
        "pending_reports",
        sa.Column("run_id", _RUN_ID, nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("rounds", sa.Integer(), nullable=False),
        sa.Column("error_message", sa.Text(), nullable=False),
        sa.Column("final", sa.Boolean(), nullable=False),
        sa.Column("next_at", sa.BigInteger()),
        sa.Column("given_up", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_table(
        "results",
        sa.Column("run_id", _RUN_ID, nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text()),
        sa.Column("ending", sa.Text()),
        sa.Column("causes", sa.Text()),
        sa.Column("seconds", sa.Float()),
        sa.Column("document", sa.LargeBinary()),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "server"),
    )
    op.create_index("results_ending", "results", ["ending", "run_id"])
    op.create_index("results_of_server", "results", ["server", "run_id"])
    op.create_index("results_server", "results", ["server", "ending", "run_id"])
