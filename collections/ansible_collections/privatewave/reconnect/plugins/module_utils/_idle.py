# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a connection may be silent before something on the way forgets it.

Connections are opened side by side and each is silent for another time; one more is kept alive all the while (RFC 5626,
3.5.1). What only the silent ones suffer is due to their silence.
"""

from __future__ import annotations

import time

from ansible_collections.privatewave.reconnect.plugins.module_utils import _net, _register, _sip_client
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError, run_all

#: The silences, as parts of the longest one.
PARTS = (8, 4, 2, 1)
OPEN_SECONDS = 8.0
ANSWER_SECONDS = 3.0


def measure(account, password, server, port, transport, domain, ca, seconds):
    """Be silent for up to ``seconds``. Raises `ProbeError` when the connections can't be opened.

    ``account`` logs in on each of them without registering a contact: some servers turn strangers away by themselves.
    Returns ``transport``, ``account``, ``kept`` (``{seconds, every, ended, message}``), ``silent`` (a list of
    ``{seconds, ended, message}``, the shortest silence first) and ``keep_alive_seconds``. ``ended`` is ``alive``,
    ``closed`` (the other side said goodbye while nobody spoke) or ``lost`` (nobody answers any more).
    ``keep_alive_seconds`` is how often something has to be said, an integer; 0 where silence loses no connection, or
    nobody can tell.
    """
    silences = [round(seconds / part, 3) for part in PARTS]
    every = silences[0] / 2

    def one(endure, *how):
        with _register.connect(server, port, transport, domain, ca, time.monotonic() + OPEN_SECONDS) as sock:
            flow = _sip_client.Flow(sock, transport, _net.bracketed(domain), account)
            _register.log_in(flow, account, password, time.monotonic() + OPEN_SECONDS)
            return _ended(flow, endure, *how)

    questions = {
        silence: (lambda silence=silence: one(_be_silent, silence), 2 * silence + 3 * OPEN_SECONDS)
        for silence in silences
    }
    questions["kept"] = (lambda: one(_keep_alive, seconds, every), seconds + 3 * OPEN_SECONDS)
    answers = run_all(questions)
    for answer in answers.values():
        if not answer["ok"]:
            raise ProbeError(answer["error"], answer["message"])
    found = {
        name: dict(answer["data"], seconds=seconds if name == "kept" else name) for name, answer in answers.items()
    }
    kept, silent = dict(found.pop("kept"), every=every), list(found.values())
    return {
        "transport": transport,
        "account": account,
        "kept": kept,
        "silent": silent,
        "keep_alive_seconds": keep_alive_seconds(kept, silent),
    }


def keep_alive_seconds(kept, silent):
    """The longest silence that a connection survived, where every longer one lost it and no other reason is seen."""
    alive = [one["seconds"] for one in silent if one["ended"] == "alive"]
    others = silent[len(alive) :]
    if kept["ended"] != "alive" or not alive or not others or any(one["ended"] != "lost" for one in others):
        return 0
    return int(max(alive))


def _ended(flow, endure, *how):
    """What becomes of a flow that has to endure something."""
    try:
        endure(flow, *how)
    except ProbeError as error:
        return {"ended": "closed" if error.error == "refused" else "lost", "message": str(error)}
    try:
        _sip_client.options(flow, time.monotonic() + ANSWER_SECONDS)
    except ProbeError as error:
        return {"ended": "lost", "message": str(error)}
    return {"ended": "alive", "message": ""}


def _be_silent(flow, seconds):
    # chan_pjsip says something by itself every 90 s, on every connection: the silence begins anew then, once.
    if flow.listen(time.monotonic() + seconds):
        _listen(flow, time.monotonic() + seconds)


def _keep_alive(flow, seconds, every):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        flow.keep_alive()
        _listen(flow, min(end, time.monotonic() + every))


def _listen(flow, until):
    while time.monotonic() < until:
        flow.listen(until)
