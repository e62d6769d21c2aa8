# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Asterisk counts of the media of a call while it lasts, for each of the accounts that talk."""

from __future__ import annotations

import re
import time

from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk import Asterisk
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

PAUSE = 1.0

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


def watch(settings, accounts, seconds):
    """Look every second for ``seconds``, or until the call that was seen is over.

    Returns ``{account: {received, received_lost, sent, sent_lost}}`` in packets as Asterisk counts them, the last that
    was seen, for those of ``accounts`` that had a call which is not older than this watch. Raises `ProbeError`.
    """
    asterisk, found = Asterisk(settings), {}
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        now = _look(asterisk, settings.get("channel_driver") == "sip")
        age = time.monotonic() - began + 2
        now = {account: one for account, (up, one) in now.items() if account in accounts and up <= age}
        if len(found) == len(accounts) and not now:
            break
        found.update(now)
        time.sleep(PAUSE)
    return found


def answer(settings, accounts, seconds):
    """`watch` as the module ``call_watch`` answers."""
    try:
        return {"call": {"ok": True, "seconds": 0.0, "data": watch(settings, accounts, seconds)}}
    except ProbeError as error:
        return {"call": {"ok": False, "seconds": 0.0, "error": error.error, "message": str(error)}}


def _look(asterisk, is_sip):
    if is_sip:
        return parse_sip(asterisk.command("sip show channelstats"), asterisk.command("sip show channels"))
    return parse_pjsip(asterisk.command("pjsip show channelstats"))


def parse_pjsip(text):
    """``{account: (seconds up, counts)}``; the youngest channel of an account counts."""
    return _youngest((match.group(1), match) for match in _PJSIP.finditer(text))


def parse_sip(statistics, channels):
    """The same of chan_sip, which tells in another table, by the beginning of the call's name, whose call it is."""
    calls = [match.groups() for match in _SIP_CHANNEL.finditer(channels)]
    return _youngest(
        (account, match)
        for match in _SIP.finditer(statistics)
        for account, call in calls
        if account != "(None)" and call.startswith(match.group(1))
    )


def _youngest(channels):
    found = {}
    for account, match in channels:
        hours, minutes, seconds, received, received_lost, sent, sent_lost = map(int, match.groups()[1:])
        up = 3600 * hours + 60 * minutes + seconds
        if account not in found or up < found[account][0]:
            counts = {"received": received, "received_lost": received_lost, "sent": sent, "sent_lost": sent_lost}
            found[account] = (up, counts)
    return found
