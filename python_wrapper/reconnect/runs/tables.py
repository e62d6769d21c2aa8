"""The tables of the store, the same in SQLite and in PostgreSQL.

A run's id begins with the moment of its start, so its order is the order of time: lists need no other index.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

#: The newest revision in migrations/versions.
HEAD = "cancelling"


class Moment(TypeDecorator[datetime]):
    """A moment in UTC, kept as milliseconds since 1970."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """To the database."""
        return None if value is None else round(value.timestamp() * 1000)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """From the database."""
        if value is None:
            return None
        seconds, milliseconds = divmod(value, 1000)
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=milliseconds * 1000)


class Json(TypeDecorator[Any]):
    """JSON, kept as text: hostile text may hold what PostgreSQL's own type refuses (U+0000)."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """To the database."""
        return None if value is None else json.dumps(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """From the database."""
        return None if value is None else json.loads(value)


# Compared byte by byte: other collations of PostgreSQL do not look at hyphens first.
_RUN_ID = sa.String(32).with_variant(sa.String(32, collation="C"), "postgresql")


def _of_run(**options: Any) -> sa.Column[str]:
    return sa.Column("run_id", _RUN_ID, sa.ForeignKey("runs.run_id", ondelete="CASCADE"), **options)


metadata = sa.MetaData()

#: `withdrawn` is how a run is to end, whoever has it, and never to begin: its state, and why.
runs = sa.Table(
    "runs",
    metadata,
    sa.Column("run_id", _RUN_ID, primary_key=True),
    sa.Column("playbook", sa.Text, nullable=False),
    sa.Column("mode", sa.Text, nullable=False),
    sa.Column("requester", sa.Text),
    sa.Column("trigger", sa.Text, nullable=False),
    sa.Column("account", sa.Text),
    sa.Column("tracker", sa.Text),
    sa.Column("incident", sa.Text),
    sa.Column("started_at", Moment, nullable=False),
    sa.Column("finished_at", Moment),
    sa.Column("exit_code", sa.Integer),
    sa.Column("delivery", sa.Text, nullable=False),
    sa.Column("begun", sa.Integer, nullable=False),
    sa.Column("worker", sa.Text),
    sa.Column("plan_hash", sa.Text),
    sa.Column("trace_id", sa.Text, nullable=False),
    sa.Column("language", sa.Text),
    sa.Column("inventory_hash", sa.Text),
    sa.Column("request_key", sa.Text),
    sa.Column("question_key", sa.Text, unique=True),
    sa.Column("request", Json, nullable=False),
    sa.Column("notes", Json, nullable=False),
    sa.Column("question", Json, nullable=False),
    sa.Column("withdrawn", Json),
)
sa.Index("runs_account", runs.c.account, runs.c.run_id)
sa.Index("runs_incident", runs.c.tracker, runs.c.incident)
sa.Index("runs_finished", runs.c.finished_at)
sa.Index("runs_request", runs.c.request_key, runs.c.run_id)
# The two partial indexes are partial in PostgreSQL, too: the migrations, which make the tables, say so. To say it here
# would load every driver for PostgreSQL in every command.
_OPEN = sa.text("finished_at IS NULL")
#: Of one request of one incident there is one open run, whoever asks, on whatever machine.
sa.Index("runs_one_open", runs.c.request_key, unique=True, sqlite_where=_OPEN)
#: What is not done. The index serves it because 'pending' is no parameter.
WAITING = sa.or_(runs.c.finished_at.is_(None), runs.c.delivery == sa.literal_column("'pending'"))
_WAITING = sa.text("finished_at IS NULL OR delivery = 'pending'")
sa.Index("runs_waiting", runs.c.worker, sqlite_where=_WAITING)

#: One row for each server that a run was asked for, in that order; how it ended, once it has.
results = sa.Table(
    "results",
    metadata,
    _of_run(primary_key=True),
    sa.Column("server", sa.Text, primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("state", sa.Text),
    sa.Column("ending", sa.Text),
    sa.Column("causes", Json),
    sa.Column("seconds", sa.Float),
    sa.Column("document", sa.LargeBinary),
)
sa.Index("results_server", results.c.server, results.c.ending, results.c.run_id)
sa.Index("results_of_server", results.c.server, results.c.run_id)
sa.Index("results_ending", results.c.ending, results.c.run_id)


def only_of(run_id: sa.ColumnElement[str], servers: Collection[str]) -> sa.ColumnElement[bool]:
    """Whether a run is of any of these servers, and of no other."""
    one = results.alias()
    own = sa.select(one.c.server).where(one.c.run_id == run_id)
    return sa.and_(own.exists(), ~own.where(one.c.server.not_in(servers)).exists())


#: What is too large for a column: evidence, packets, the client report, the report; and what people said is right where
#: a verdict is `wrong`. `server` is empty where it is of the whole run. `content` is compressed with zlib; `size` and
#: `sha256` are of what was compressed.
documents = sa.Table(
    "documents",
    metadata,
    _of_run(primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("server", sa.Text, primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
)

events = sa.Table(
    "events",
    metadata,
    _of_run(primary_key=True),
    sa.Column("sequence", sa.Integer, primary_key=True),
    sa.Column("at", Moment, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("server", sa.Text),
    sa.Column("data", Json, nullable=False),
)

pending_reports = sa.Table(
    "pending_reports",
    metadata,
    _of_run(primary_key=True),
    sa.Column("since", Moment, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("rounds", sa.Integer, nullable=False),
    sa.Column("error_message", sa.Text, nullable=False),
    sa.Column("final", sa.Boolean, nullable=False),
    sa.Column("next_at", Moment),
    sa.Column("given_up", sa.Boolean, nullable=False),
)

#: The holds in force; `server` is empty where everything is held.
holds = sa.Table(
    "holds",
    metadata,
    sa.Column("server", sa.Text, primary_key=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("held_by", sa.Text, nullable=False),
    sa.Column("since", Moment, nullable=False),
)

#: The remedies that runs began, or were refused for good: what the blast radius is counted from. `state` is `begun`
#: while a remedy is under way, `escalated` where it was refused and the next level was told. `remedy` is empty where a
#: person has to fix the cause: the run has `escalated` it, or `joined` another run that had.
remedies = sa.Table(
    "remedies",
    metadata,
    _of_run(primary_key=True),
    sa.Column("server", sa.Text, primary_key=True),
    sa.Column("remedy", sa.Text, primary_key=True),
    sa.Column("cause", sa.Text, primary_key=True),
    sa.Column("server_id", sa.Text),
    sa.Column("began_at", Moment, nullable=False),
    sa.Column("ended_at", Moment),
    sa.Column("state", sa.Text, nullable=False),
)
sa.Index("remedies_recent", remedies.c.began_at)
sa.Index("remedies_server", remedies.c.server, remedies.c.began_at)

# What the service keeps beside the runs.

#: Who may sign in: with a password, whose `digest` is Argon2's, or as the `subject` of an identity provider: its
#: address, a space, and the name that it never gives to anybody else.
users = sa.Table(
    "users",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("language", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("subject", sa.Text),
)
sa.Index("users_subject", users.c.subject, unique=True)

#: What programs sign in with. `digest` is of the secret (SHA-256); without `servers` it is for all of them.
tokens = sa.Table(
    "tokens",
    metadata,
    sa.Column("token_id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("servers", Json),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("expires_at", Moment, nullable=False),
)

#: Who is signed in with a browser; `digest` is of what the cookie holds (SHA-256).
sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("user", sa.Text, sa.ForeignKey("users.name", ondelete="CASCADE"), nullable=False),
    sa.Column("expires_at", Moment, nullable=False),
)

#: Links for a self-check on a user's device. `digest` is of the link's secret, `browser` of that of the browser that
#: opened it; `addresses` are those that the service saw it at, `run_id` the run that followed.
selfchecks = sa.Table(
    "selfchecks",
    metadata,
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("server", sa.Text, nullable=False),
    sa.Column("account", sa.Text, nullable=False),
    sa.Column("incident", sa.Text),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("expires_at", Moment, nullable=False),
    sa.Column("browser", sa.Text),
    sa.Column("addresses", Json, nullable=False),
    sa.Column("run_id", sa.Text),
)

#: The inbox: every delivery of a hook or a poller, once. `state` is `received` until intake has read its incident, then
#: `taken` or `ignored`, or `failed` where it gave up; `reason` says why. `by_other`: whether it is known that somebody
#: else than Reconnect caused it.
deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("delivery_id", sa.Text, primary_key=True),
    sa.Column("received_at", Moment, nullable=False),
    sa.Column("tracker", sa.Text, nullable=False),
    sa.Column("incident", sa.Text, nullable=False),
    sa.Column("trace_id", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_at", Moment, nullable=False),
    sa.Column("run_id", sa.Text),
    sa.Column("by_other", sa.Boolean, nullable=False, default=False),
)
sa.Index("deliveries_due", deliveries.c.state, deliveries.c.next_at)
sa.Index("deliveries_incident", deliveries.c.tracker, deliveries.c.incident)

#: Plans that wait for a second person, or did. `run_id` is the run that shows the plan, `applied_run_id` the one that
#: carries it out.
approvals = sa.Table(
    "approvals",
    metadata,
    sa.Column("approval_id", sa.Text, primary_key=True),
    _of_run(nullable=False),
    sa.Column("plan_hash", sa.Text, nullable=False),
    sa.Column("requested_by", sa.Text),
    sa.Column("requested_at", Moment, nullable=False),
    sa.Column("expires_at", Moment, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("decided_by", sa.Text),
    sa.Column("decided_at", Moment),
    sa.Column("comment", sa.Text, nullable=False),
    sa.Column("applied_run_id", sa.Text),
    sa.UniqueConstraint("run_id", "plan_hash"),
)
sa.Index("approvals_state", approvals.c.state, approvals.c.requested_at)

#: Who did what, in a chain: `digest` is of the row and of `previous`, the digest of the row before it.
audit = sa.Table(
    "audit",
    metadata,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", Moment, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("plan_hash", sa.Text),
    sa.Column("data", Json, nullable=False),
    sa.Column("previous", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
)

#: The runs that answer requests with an Idempotency-Key; `run_id` is missing while one is being made.
answers = sa.Table(
    "answers",
    metadata,
    sa.Column("who", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("at", Moment, nullable=False),
    sa.Column("run_id", sa.Text),
)
sa.Index("answers_at", answers.c.at)

#: How far a poller has read its tracker.
cursors = sa.Table(
    "cursors",
    metadata,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("position", sa.Text, nullable=False),
    sa.Column("read_at", Moment, nullable=False),
)

#: What the service tells others, in the order in which it was kept: `ended`, a run; `approval`, a plan that waits for a
#: second person; `given_up`, a report; `fault`, what a check found. `subject` is what of the run it is about, where
#: there may be several. A row stays where its run is removed, so that no number is given twice. One that cannot be read
#: is passed over, and known by `unreadable_at`.
feed = sa.Table(
    "feed",
    metadata,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", Moment, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("run_id", _RUN_ID, sa.ForeignKey("runs.run_id", ondelete="SET NULL")),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("unreadable_at", Moment),
    sa.UniqueConstraint("run_id", "kind", "subject"),
)

#: What is told of the feed over one channel, once; DBOS has a table `notifications` of its own. `state` is `waiting`,
#: then `sent` (at `next_at`), `over` where nothing waits any more, or `given_up`.
notifications = sa.Table(
    "service_notifications",
    metadata,
    _of_run(primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("channel", sa.Text, primary_key=True),
    sa.Column("since", Moment, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_at", Moment, nullable=False),
    sa.Column("error_message", sa.Text, nullable=False),
)
sa.Index("service_notifications_due", notifications.c.state, notifications.c.next_at)

#: The checks that the service begins by itself: when each of a server is due, and its newest run. While that is open,
#: the machine that has it renews `leased_until`. `unreachable` is whether the newest run could not log in.
checks = sa.Table(
    "checks",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("server", sa.Text, primary_key=True),
    sa.Column("next_at", Moment, nullable=False),
    sa.Column("run_id", sa.Text),
    sa.Column("leased_until", Moment),
    sa.Column("unreachable", sa.Boolean, nullable=False, default=False),
)

#: What checks found, and whether it is gone. `fault` is a cause, or the code of a finding that warns; `codes` are those
#: of the findings that said so. `run_id` is the newest run that says how it is, `first_run_id` the first of those that
#: say the same, `told_run_id` the one that the incident knows; `told_gone` where the incident was told that it is gone.
#: `marker` is that of the incident, from before it is opened. Servers that became unreachable at once share one.
faults = sa.Table(
    "faults",
    metadata,
    sa.Column("server", sa.Text, primary_key=True),
    sa.Column("fault", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("codes", Json, nullable=False),
    sa.Column("since", Moment, nullable=False),
    sa.Column("gone_at", Moment),
    sa.Column("marker", sa.Text),
    sa.Column("incident", sa.Text),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("first_run_id", sa.Text, nullable=False),
    sa.Column("told_run_id", sa.Text),
    sa.Column("told_gone", sa.Boolean, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_at", Moment, nullable=False),
)

#: Who works, where machines share the store. A machine has a row with its `slots`, how many runs it takes at once (0
#: once its worker has ended), and how many runs it took over. A process that carries out runs of the service has one
#: without `slots`, under the name of its worker, for as long as there is work; `token` is that process's. Both renew
#: `beat_at`, by the clock of the database.
workers = sa.Table(
    "workers",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("token", sa.Text, nullable=False),
    sa.Column("slots", sa.Integer),
    sa.Column("takeovers", sa.Integer, nullable=False, default=0),
    sa.Column("beat_at", Moment, nullable=False),
)
