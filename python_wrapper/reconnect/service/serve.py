"""`reconnect serve`: the listener, the worker and the metrics in one process; `reconnect worker`: the worker alone."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Sequence

import uvicorn
from prometheus_client import start_http_server

from reconnect import log
from reconnect.ansible import project
from reconnect.errors import InputError
from reconnect.service import app, metrics
from reconnect.service.desk import Desk
from reconnect.service.incoming.checks import Checks
from reconnect.service.incoming.inbox import Inbox
from reconnect.service.incoming.poller import Poller
from reconnect.service.loop import Loop
from reconnect.service.outgoing.faults import Faults
from reconnect.service.outgoing.notifier import Notifier
from reconnect.service.work import Worker
from reconnect.settings import Settings

#: How long requests that are under way may take once the service is to end, in seconds.
_GRACE = 5


def serve(settings: Settings, with_worker: bool) -> None:
    """Serves until SIGTERM or Ctrl-C. Runs that are under way then go on by themselves.

    Raises InputError, StoreError.
    """
    log.set_up(settings)
    here, own = project.find(settings), settings.service
    if (own.certificate is None) != (own.key is None):
        raise InputError("HTTPS needs two settings. Set RECONNECT_SERVICE_CERTIFICATE and RECONNECT_SERVICE_KEY.")
    application = app.create(here, settings)
    desk = application.state.desk
    listener = _listen(own.host, own.port)
    metrics.register(settings)
    if own.metrics_port:
        try:
            start_http_server(own.metrics_port, own.host)
        except OSError as error:
            raise InputError(f"Cannot listen on {own.host}:{own.metrics_port}: {error.strerror}.") from None
    working = _working(desk, application.state.inbox) if with_worker else []
    application.state.threads += _begin(working)
    # uvicorn sends itself the signal again once it has ended.
    signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        uvicorn.Server(
            uvicorn.Config(
                application,
                log_config=None,
                access_log=False,
                server_header=False,
                forwarded_allow_ips=own.proxies,
                ssl_certfile=own.certificate,
                ssl_keyfile=own.key,
                timeout_graceful_shutdown=_GRACE,
                limit_concurrency=1000,
                h11_max_incomplete_event_size=64 * 1024,
            )
        ).run(sockets=[listener])
    finally:
        for one in working:
            one.stop()


def work(settings: Settings, slots: int | None) -> None:
    """Carries out runs, `slots` at once, until SIGTERM or Ctrl-C, and does what the service does beside the listener.
    Runs that are under way then go on by themselves.

    Raises InputError, StoreError.
    """
    log.set_up(settings)
    if slots is not None:
        settings = settings.model_copy(update={"service": settings.service.model_copy(update={"workers": slots})})
    desk = Desk(project.find(settings), settings)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    working = _working(desk, Inbox(desk))
    _begin(working)
    ended.wait()
    for one in working:
        one.stop()


def _working(desk: Desk, inbox: Inbox) -> list[Loop]:
    """What a worker does. Raises InputError."""
    own = desk.settings.service
    pollers = [Poller(desk, inbox, tracker) for tracker in own.polls]
    worker = Worker(desk.project, desk.settings, desk.starter.wake, desk.plans.request_for_incidents)
    working: list[Loop] = [worker, inbox, *pollers]
    if own.notifications.mail or own.notifications.chat:
        working.append(Notifier(desk))
    if own.checks:
        working += [Checks(desk), Faults(desk)]
    return working


def _begin(working: Sequence[Loop]) -> list[threading.Thread]:
    threads = [threading.Thread(target=one.run, daemon=True) for one in working]
    for thread in threads:
        thread.start()
    return threads


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise InputError(f"Cannot listen on {host}:{port}: {error.strerror}.") from None
