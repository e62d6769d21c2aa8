# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a connection may be idle before something on the path drops it.

Connections are opened side by side, and each is idle for a different time. One more is kept alive all the time
(RFC 5626, 3.5.1). What happens to the idle ones only is due to their idle time.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from ansible_collections.privatewave.reconnect.plugins.module_utils._net import connections, register, sip_client
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError, run_all

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ansible_collections.privatewave.reconnect.plugins.module_utils._net.documents import (
        Ended,
        IdleConnection,
        IdleTest,
        KeptConnection,
    )
    from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import Probe, Question
    from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import Transport

#: The idle times as parts of the longest one.
PARTS = (8, 4, 2, 1)
#: Stands for the connection that is kept alive among the idle times.
KEPT = 0.0
OPEN_SECONDS = 8.0
ANSWER_SECONDS = 3.0


def measure(
    account: str,
    password: str,
    server: str,
    port: int,
    transport: Transport,
    domain: str,
    ca: str | None,
    seconds: float,
) -> IdleTest:
    """Leave connections idle for up to ``seconds``. Raises `ProbeError` when they cannot be opened.

    ``account`` logs in on each of them and registers no contact: some servers drop unknown clients by themselves.
    ``ca`` is PEM text or None for the authorities of the system.
    """
    times = [round(seconds / part, 3) for part in PARTS]
    every = times[0] / 2

    def one(endure: Callable[[sip_client.Flow], None]) -> Ended:
        with register.connect(server, port, transport, domain, ca, time.monotonic() + OPEN_SECONDS) as sock:
            flow = sip_client.Flow(sock, transport, connections.bracketed(domain), account)
            register.log_in(flow, account, password, time.monotonic() + OPEN_SECONDS)
            return _ended(flow, endure)

    def idle_for(idle: float) -> Question:
        return partial(one, lambda flow: _be_idle(flow, idle)), 2 * idle + 3 * OPEN_SECONDS

    def kept_alive() -> Question:
        return partial(one, lambda flow: _keep_alive(flow, seconds, every)), seconds + 3 * OPEN_SECONDS

    questions = {idle: idle_for(idle) for idle in times}
    questions[KEPT] = kept_alive()
    answers: dict[float, Probe[Ended]] = run_all(questions)
    found: dict[float, Ended] = {}
    for name, answer in answers.items():
        if not answer["ok"]:
            raise ProbeError(answer["error"], answer["message"])
        found[name] = answer["data"]
    kept: KeptConnection = {**found.pop(KEPT), "seconds": seconds, "every": every}
    silent: list[IdleConnection] = [{**ended, "seconds": name} for name, ended in found.items()]
    return {
        "transport": transport,
        "account": account,
        "kept": kept,
        "silent": silent,
        "keep_alive_seconds": keep_alive_seconds(kept, silent),
    }


def keep_alive_seconds(kept: KeptConnection, idle: Sequence[IdleConnection]) -> int:
    """The longest idle time that a connection survived, where every longer one was lost and no other reason is seen."""
    alive = [one["seconds"] for one in idle if one["ended"] == "alive"]
    others = idle[len(alive) :]
    if kept["ended"] != "alive" or not alive or not others or any(one["ended"] != "lost" for one in others):
        return 0
    return int(max(alive))


def _ended(flow: sip_client.Flow, endure: Callable[[sip_client.Flow], None]) -> Ended:
    """What became of a flow after it was idle or kept alive."""
    try:
        endure(flow)
    except ProbeError as error:
        return {"ended": "closed" if error.error == "refused" else "lost", "message": str(error)}
    try:
        sip_client.options(flow, time.monotonic() + ANSWER_SECONDS)
    except ProbeError as error:
        return {"ended": "lost", "message": str(error)}
    return {"ended": "alive", "message": ""}


def _be_idle(flow: sip_client.Flow, seconds: float) -> None:
    # chan_pjsip sends a keep-alive every 90 s on every connection: the idle time starts again then, once.
    if flow.listen(time.monotonic() + seconds):
        _listen(flow, time.monotonic() + seconds)


def _keep_alive(flow: sip_client.Flow, seconds: float, every: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        flow.keep_alive()
        _listen(flow, min(end, time.monotonic() + every))


def _listen(flow: sip_client.Flow, until: float) -> None:
    while time.monotonic() < until:
        flow.listen(until)
