# SPDX-License-Identifier: GPL-3.0-or-later
"""The patterns that are searched for in logs and answers of servers: hostile text takes them no longer."""

from __future__ import annotations

import re
import time

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk import answers, attempts, log
from ansible_collections.privatewave.reconnect.plugins.module_utils._database import sql

PATTERNS = [
    *(pattern for _kind, pattern in log.KINDS),
    *(pattern for pattern, _code in sql._SENTENCES),
    *(log._FIELD, attempts._USER, answers._SIP_PEERS),
]
LENGTH = 200_000


@pytest.mark.attack("hostile text for the patterns of logs and answers", harm="hang")
@pytest.mark.parametrize("pattern", PATTERNS, ids=range(len(PATTERNS)))
def test_hostile_text_takes_no_longer(pattern: re.Pattern[str]) -> None:
    # What repeats is of nothing but the pattern's own words, digits, letters or blanks.
    own = re.findall(r"[A-Za-z][A-Za-z '=/-]{2,30}", pattern.pattern)
    for piece in ("a", "1", " ", "sip:a", 'a="', *own, *(f"{word}a" for word in own)):
        begun = time.process_time()
        for _found in pattern.finditer(piece * (LENGTH // len(piece))):
            pass
        # One that goes back over everything takes minutes.
        assert time.process_time() - begun < 5, piece
