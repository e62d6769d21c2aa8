"""The figures for Prometheus. No label names an account or an incident."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator

import sqlalchemy as sa
from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from reconnect.engine import presence
from reconnect.errors import StoreError
from reconnect.result import now
from reconnect.runs import tables
from reconnect.runs.database import engine_of, is_shared, reading
from reconnect.settings import Settings

REQUESTS = Histogram("reconnect_http_request_duration_seconds", "How long requests took.", ["route", "method", "code"])
DELIVERIES = Counter("reconnect_webhook_deliveries_total", "What became of deliveries.", ["source", "result"])
POLL_LAG = Gauge("reconnect_poll_lag_seconds", "How long ago the last poll was that succeeded.", ["source"])
STREAMS = Gauge("reconnect_sse_clients", "Who follows a run at the moment.")
BUILD = Gauge("reconnect_build_info", "The version.", ["version"])


class Store(Collector):
    """What the store says when it is asked."""

    def __init__(self, settings: Settings) -> None:
        self._engine = engine_of(settings)

    def collect(self) -> Iterator[Metric]:
        """The figures as they are now; none where the database fails."""
        runs, pending = tables.runs, tables.pending_reports
        deliveries, approvals, notifications = tables.deliveries, tables.approvals, tables.notifications
        oldest = sa.select(sa.func.min(deliveries.c.received_at)).where(deliveries.c.state == "received")
        waiting = sa.and_(approvals.c.state == "pending", approvals.c.expires_at > now())
        open_run = runs.c.finished_at.is_(None)
        counts = {
            "runs_queued": ("Runs that no worker has.", sa.and_(open_run, runs.c.worker.is_(None)), runs),
            "runs_running": ("Runs that a worker has.", sa.and_(open_run, runs.c.worker.is_not(None)), runs),
            "reports_pending": ("Reports that wait for their tracker.", pending.c.given_up.is_(False), pending),
            "reports_given_up": ("Reports that a person has to look after.", pending.c.given_up.is_(True), pending),
            "approvals_pending": ("Plans that wait for a second person.", waiting, approvals),
            "notifications_pending": (
                "Notifications that wait for their channel.",
                notifications.c.state == "waiting",
                notifications,
            ),
            "notifications_given_up": (
                "Notifications that nobody got.",
                notifications.c.state == "given_up",
                notifications,
            ),
        }
        try:
            with reading(self._engine) as connection:
                since = connection.scalar(oldest)
                found = {
                    name: connection.scalar(sa.select(sa.func.count()).select_from(table).where(condition)) or 0
                    for name, (_, condition, table) in counts.items()
                }
                workers = _workers(connection) if is_shared(self._engine) else None
        except StoreError:
            return
        age = (now() - since).total_seconds() if since else 0.0
        yield GaugeMetricFamily("reconnect_inbox_oldest_seconds", "How long the oldest delivery waits.", value=age)
        for name, (help_text, _, _) in counts.items():
            yield GaugeMetricFamily(f"reconnect_{name}", help_text, value=found[name])
        if workers is not None:
            yield from workers


def _workers(connection: sa.Connection) -> list[Metric]:
    """Of machines that share the store: what their workers do, and how many runs they took over."""
    table = tables.workers

    def slots(condition: sa.ColumnElement[bool]) -> int:
        return connection.scalar(sa.select(sa.func.sum(table.c.slots)).where(condition)) or 0

    working = connection.scalar(sa.select(sa.func.count()).select_from(table).where(presence.WORKING)) or 0
    states = {"working": working, "free": max(0, slots(presence.PRESENT) - working), "lost": slots(presence.MISSED)}
    family = GaugeMetricFamily("reconnect_workers", "Workers of all machines.", labels=["state"])
    for state, number in states.items():
        family.add_metric([state], number)
    takeovers = connection.scalar(sa.select(sa.func.sum(table.c.takeovers))) or 0
    return [family, CounterMetricFamily("reconnect_takeovers", "Runs of workers that were gone.", value=takeovers)]


def register(settings: Settings) -> None:
    """Adds what the store says, for as long as this process serves."""
    BUILD.labels(importlib.metadata.version("reconnect")).set(1)
    REGISTRY.register(Store(settings))
