# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The media of a call as Asterisk counts it while the call lasts, for each account that talks."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Dict, Match, Tuple

from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk.probes import Asterisk
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import probe
from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import filled

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk.documents import MediaCounts
    from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import Probe
    from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import Settings

#: Seconds between two looks.
PAUSE = 1.0

#: By account: for how many seconds its channel has been up, and its counts.
Channels = Dict[str, Tuple[int, "MediaCounts"]]

#: ``BridgeId ChannelId UpTime Codec Count Lost Pct Jitter Count Lost …``; without a bridge its column is empty.
_PJSIP = re.compile(
    r"\s(\S+)-[0-9a-f]{8}\s+(\d+):(\d\d):(\d\d)\s+\S+\s+(\d+)\s+(\d+)\s+\d+\s+[\d.]+\s+(\d+)\s+(\d+)\s", re.MULTILINE
)
#: ``Peer CallID Duration RecvPackets Lost ( %) Jitter SendPackets Lost …``
_SIP = re.compile(
    r"^\S+\s+(\S+)\s+(\d+):(\d\d):(\d\d)\s+(\d+)\s+(\d+)\s+\(\s*[\d.]+%\)\s+[\d.]+\s+(\d+)\s+(\d+)\s", re.MULTILINE
)
#: ``Peer User CallID Format…``
_SIP_CHANNEL = re.compile(r"^\S+\s+(\S+)\s+(\S+)\s+\(", re.MULTILINE)


def watch(settings: Settings, accounts: Collection[str], seconds: float) -> dict[str, MediaCounts]:
    """Look every second for ``seconds``, or until the call that was seen is over.

    Returns the last counts seen, by account, for those of ``accounts`` that had a call which began during this watch.
    Raises `ProbeError`.
    """
    asterisk = Asterisk(settings)
    found: dict[str, MediaCounts] = {}
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        age = time.monotonic() - began + 2
        seen = _look(asterisk, settings["channel_driver"] == "sip")
        now = {account: one for account, (up, one) in seen.items() if account in accounts and up <= age}
        if len(found) == len(accounts) and not now:
            break
        found.update(now)
        time.sleep(PAUSE)
    return found


def answer(settings: Mapping[str, Any], accounts: Collection[str], seconds: float) -> dict[str, Probe[Any]]:
    """The answer of the module ``call_watch``: `watch` as a probe."""
    return {"call": probe(lambda: watch(filled(settings), accounts, seconds))}


def _look(asterisk: Asterisk, is_sip: bool) -> Channels:
    if is_sip:
        return parse_sip(asterisk.command("sip show channelstats"), asterisk.command("sip show channels"))
    return parse_pjsip(asterisk.command("pjsip show channelstats"))


def parse_pjsip(text: str) -> Channels:
    """``pjsip show channelstats``; the youngest channel of an account counts."""
    return _youngest((match.group(1), match) for match in _PJSIP.finditer(text))


def parse_sip(statistics: str, channels: str) -> Channels:
    """``sip show channelstats``; another table, ``sip show channels``, has the account of each call's id."""
    calls = [match.groups() for match in _SIP_CHANNEL.finditer(channels)]
    return _youngest(
        (account, match)
        for match in _SIP.finditer(statistics)
        for account, call in calls
        if account != "(None)" and call.startswith(match.group(1))
    )


def _youngest(channels: Iterable[tuple[str, Match[str]]]) -> Channels:
    found: Channels = {}
    for account, match in channels:
        hours, minutes, seconds, received, received_lost, sent, sent_lost = map(int, match.groups()[1:])
        up = 3600 * hours + 60 * minutes + seconds
        if account not in found or up < found[account][0]:
            counts: MediaCounts = {
                "received": received,
                "received_lost": received_lost,
                "sent": sent,
                "sent_lost": sent_lost,
            }
            found[account] = (up, counts)
    return found
