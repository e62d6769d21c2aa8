# SPDX-License-Identifier: GPL-3.0-or-later
"""One word for one thing: what CONTRIBUTING.md's glossary rules out stands nowhere.

Every text that a person reads is looked at: pages, messages, help, templates, comments, docstrings, names.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def word(pattern: str) -> re.Pattern[str]:
    """A whole word, or a whole part of a name such as ``not_mended``."""
    return re.compile(rf"(?<![a-z])(?:{pattern})(?![a-z])", re.IGNORECASE)


THINGS = "server|servers|PBX|host|account|network|client|device|phone|clients|devices|customer|provider"

#: What must not be said, by what to say instead.
GLOSSARY: dict[str, list[re.Pattern[str]]] = {
    "path": [
        word(rf"ways? (?:to|from|towards|between|behind) (?:the |this |that |its |a |every |each )?(?:{THINGS})"),
        word(r"(?:on|along) the (?:whole )?way(?! (?:down|up|home))"),
        word(r"the ways? (?:there|forgets?|is|are|itself|translates?|loses?|needs?|forgives?|of the network)"),
        word(r"ways that|whole way|network ways?"),
    ],
    "fix, remedy": [word(r"mend(?:s|ed|ing|able)?")],
    "verify": [word(r"prov(?:e|es|ed|en|ing)")],
    "again": [word(r"anew")],
    "idle": [
        word(r"(?:connections?|clients?|phones?|devices?|contacts?|keep-alives?)(?: \w+){0,3} silent(?:ly)?"),
        word(r"silent(?: \w+){0,2} (?:connections?|clients?|phones?|devices?)"),
        word(r"silent for"),
    ],
    "slot, worker": [word(r"how-manieth"), word(r"(?:a|its|free|no|the last) places? (?:is free|of a run|to work)")],
    "incident": [word(r"tickets?")],
    "input, invalid": [word(r"can(?:'|’|no)t be used"), word(r"(?:that|which|what) (?:is|are) (?-i:none)")],
    "cannot": [word(r"can(?:'|’)t be \w+")],
    "server, check, option": [
        word(r"(?:its|server's) inside|inside is unseen|what matters|what (?:was|is) asked(?: for)?")
    ],
}

#: A tracker's own name for an incident, and what TLS calls a ticket.
TRACKERS = re.compile(r"RT|Request Tracker|Zammad|[Ss]ession tickets?|rt[.:]|REST/|\"ticket|ticket/|/Ticket/")
TRACKER_FILES = re.compile(r"trackers?/|tests/lab/hosts/tracker/|tests/e2e/(?:rt|test_tracker)\.py")

#: What others wrote: recorded answers, a licence, a program; and the list itself.
NOT_OURS = re.compile(
    r"(?:^|/)(?:COPYING|get_pip\.py|recorded/.*|torture/.*)$|^tests/evidence/|^tests/unit/house/test_words\.py$"
)


def texts() -> list[Path]:
    """Every file of this repository that somebody here wrote."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    names = [name for name in listed.stdout.splitlines() if not NOT_OURS.search(name)]
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def ruled_out(line: str, name: str = "") -> list[str]:
    """What a line says that the glossary rules out: ``say X, not Y``."""
    found = []
    for instead, patterns in GLOSSARY.items():
        if instead == "incident" and (TRACKERS.search(line) or TRACKER_FILES.search(name)):
            continue
        found += [f"say {instead!r}, not {hit[0]!r}" for pattern in patterns for hit in pattern.finditer(line)]
    return found


def test_every_word_is_one_of_the_glossary() -> None:
    found = []
    for path in texts():
        name = str(path.relative_to(ROOT))
        # In the glossary itself the second column is what not to say.
        text = re.sub(r"(?s)<!-- glossary -->.*?<!-- /glossary -->", lambda table: "\n" * table[0].count("\n"),
                      path.read_text(encoding="utf-8", errors="replace"))  # fmt: skip
        for number, line in enumerate(text.splitlines(), 1):
            found += [f"{name}:{number}: {fault}" for fault in ruled_out(line, name)]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "the way to the server",
        "Nothing is wrong with the way to this server.",
        "Something on the way forgets a connection.",
        "ways that forget",
        "the way from the device",
        "Finds, mends and verifies",
        "not_mended",
        "It was mended.",
        "NOT_MENDED",
        "begins anew",
        "The fix was proved.",
        "a connection that is silent for a minute",
        "silent connections",
        "the ticket that asked",
        "open_ticket(",
        "A value that can't be used",
        "Runs can't be kept in /state",
        "The server's inside could not be seen",
        "A name that is none",
        "what matters could not be seen",
        "checks what was asked",
        "the how-manieth place",
    ],
)
def test_a_word_that_is_ruled_out_is_found(line: str) -> None:
    assert ruled_out(line) != []


@pytest.mark.parametrize(
    "line",
    [
        "no way back",
        "by the way",
        "half-way",
        "one way to send the collector",
        "the way rsync does",
        "a run that is under way",
        "recommended amendments",
        "improve, approve, provide, provisioning",
        "an RT ticket",
        "TLS session tickets",
        "in place, instead of replacing",
        "auto_silent",
        "a new one",
        "ask once",
        "the path to the server",
    ],
)
def test_a_word_of_the_glossary_passes(line: str) -> None:
    assert ruled_out(line) == []
