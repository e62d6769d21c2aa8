"""The figures for Prometheus. No label names an account or an incident."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator

import sqlalchemy as sa
from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from reconnect.errors import StoreError
from reconnect.result import now
from reconnect.runs import tables
from reconnect.runs.database import engine_of, reading
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

    def collect(self) -> Iterator[GaugeMetricFamily]:
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
        except StoreError:
            return
        age = (now() - since).total_seconds() if since else 0.0
        yield GaugeMetricFamily("reconnect_inbox_oldest_seconds", "How long the oldest delivery waits.", value=age)
        for name, (help_text, _, _) in counts.items():
            yield GaugeMetricFamily(f"reconnect_{name}", help_text, value=found[name])


def register(settings: Settings) -> None:
    """Adds what the store says, for as long as this process serves."""
    BUILD.labels(importlib.metadata.version("reconnect")).set(1)
    REGISTRY.register(Store(settings))
