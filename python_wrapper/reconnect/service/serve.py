"""`reconnect serve`: the listener, the worker and the metrics in one process."""

from __future__ import annotations

import signal
import socket
import threading

import uvicorn
from prometheus_client import start_http_server

from reconnect import log
from reconnect.ansible import project
from reconnect.errors import InputError
from reconnect.service import app, metrics
from reconnect.service.incoming.checks import Checks
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
    working: list[Loop] = []
    if with_worker:
        inbox = application.state.inbox
        pollers = [Poller(desk, inbox, tracker) for tracker in own.polls]
        working = [Worker(here, settings, desk.starter.wake, desk.plans.request_for_incidents), inbox, *pollers]
        if own.notifications.mail or own.notifications.chat:
            working.append(Notifier(desk))
        if own.checks:
            working += [Checks(desk), Faults(desk)]
    for one in working:
        thread = threading.Thread(target=one.run, daemon=True)
        thread.start()
        application.state.threads.append(thread)
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


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise InputError(f"Cannot listen on {host}:{port}: {error.strerror}.") from None
