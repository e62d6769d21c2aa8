# SPDX-License-Identifier: GPL-3.0-or-later
"""What a client's log says about a call, and arguments that no client would accept."""

from __future__ import annotations

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._net import call
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

LOG = """\
SIP/2.0 401 Unauthorized\r
CSeq: 20 REGISTER\r
\r
SIP/2.0 200 OK\r
CSeq: 21 REGISTER\r
\r
SIP/2.0 100 Trying\r
CSeq: 20 INVITE\r
\r
SIP/2.0 200 OK\r
CSeq: 20 INVITE\r
Content-Type: application/sdp\r
\r
m=audio 15000 RTP/SAVP 0\r
"""


def test_the_last_final_answer_to_a_method_counts() -> None:
    status, reason, text = call.final(LOG, "INVITE")
    assert (status, reason) == (200, "OK")
    assert "RTP/SAVP" in text
    assert call.final(LOG[: LOG.index("SIP/2.0 200")], "REGISTER")[:2] == (401, "Unauthorized")


def test_a_provisional_answer_is_not_final() -> None:
    assert call.final("SIP/2.0 180 Ringing\r\nCSeq: 20 INVITE\r\n\r\n", "INVITE") == (None, "", "")


def test_the_reason_cannot_move_the_cursor() -> None:
    assert call.final("SIP/2.0 486 Busy\x1b[2J\r\nCSeq: 1 INVITE\r\n\r\n", "INVITE")[1] == "Busy\\x1b[2J"


@pytest.mark.parametrize(
    ("domain", "caller"),
    [
        ("pbx.example", ("60 1", "secret")),
        ("pbx.example", ("601", "se cret")),
        ("pbx.example", ("601", "x\nquit")),
        ("pbx example", ("601", "secret")),
        ("pbx\nquit", ("601", "secret")),
    ],
)
def test_invalid_names_and_passwords_reach_no_client(domain: str, caller: tuple[str, str]) -> None:
    with pytest.raises(ProbeError) as raised:
        call.place(domain, 5061, caller, ("602", "secret"), None, 1, 1)
    assert raised.value.error == "invalid"
