# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a line of a client's log is about: `subjects.yml` has what no registration needs."""

from __future__ import annotations

import fnmatch
import functools
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..tables import load
from .words import english

SUBJECTS = Path(__file__).with_name("subjects.yml")
#: `words` or `doubtful`, and whether the subject has registrations of its own.
_Kind = tuple[str, bool]
#: Where a word begins within a name: ``AudioRecord``, ``GCMService``, ``XML-RPC``.
_JOINT = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
#: A word; a letter with an accent may have become another sign. A parameter of a contact is none.
_WORD = re.compile(r"(?<![;=])(?:[^\W\d_]|\ufffd)(?:[^\W_]|\ufffd){0,29}(?!=)|[;=]\w{1,80}")
#: Which program of the device wrote a line, as its log tags it; Asterisk writes `NOTICE[412]:`.
_PROGRAM = re.compile(
    r"(?<![\w.])(?!(?:NOTICE|WARNING|ERROR|DEBUG|VERBOSE|SECURITY|DTMF)\[)([\w.-]{1,60})(?:\[\d{1,7}\]:|\.exe\b)"
)
#: What makes a doubtful word one of SIP.
_OF_SIP = re.compile(
    r"(?i)regist|anmeld|certif|zertif|config|konfig|provision|\bca\b|\bsips?\b|\btls\b|\b506[01]\b|pbx|transport|proxy|odbc|realtime|asterisk"
)
#: Lines of a trace: where a program was, and what was thrown, which goes on with the line before.
_FRAME = re.compile(r"(?:[^\n]{0,100}:)?\s{0,40}(?:at [\w$.<>/]{3,200}\(|#\d{1,3}\s|\.\.\. \d{1,4} more\b|Caused by: )")
_THROWN = re.compile(r"(?:[a-z]\w{0,40}\.){1,9}[A-Z]\w{0,80}(?:Exception|Error)\b")
_FAILED = re.compile(r"(?i)fail|err|exception|could|cannot|can't|unable|not |:\s{0,3}$")
#: A program that may be the client: the others of a log of the whole device are none.
_CLIENT = re.compile(r"(?i)sip|phone|voip|gsm|bria|zoiper|acrobits|groundwire|3cx|dialer|twinkle|jami|blink|pbx|aster")
#: Programs with which somebody looked for the fault.
_TOOL = re.compile(r"ping6?|dig|host|nslookup|getent|traceroute6?|tracepath|mtr|openssl|curl|wget|nc|ncat|nmap|tcpdump")
#: The tag and the process of a line of Android, in its two forms.
_PROCESS = re.compile(
    r"[VDIWEF]/([^\s(][^(]{0,60}?)\s{0,20}\(\s{0,6}(\d{1,7})\):"
    r"|\d\d-\d\d \d\d:\S{5,12}\s{1,6}(\d{1,7})\s{1,6}\d{1,7} [VDIWEF] ([^:]{1,60}):"
)
#: A tag before a line, and one that may be of the connection, whatever the client calls it.
_TAG = re.compile(
    r"[\W\d]{0,40}(?:[VDIWEF]/|(?:DEBUG|INFO|WARN(?:ING)?|ERROR|FATAL)\W{1,3})?\[?([A-Za-z][\w.-]{2,40})(?:\(\s{0,5}\d{1,7}\))?\]?:\s"
)
_CONNECTS = re.compile(
    r"(?i)sock|transport|tls|ssl|tcp|udp|net|dns|resolv|addr|conn|chan|stream|re(?:cv|ad)|write|send|handshake|err|warn"
    r"|except|fail|alert|cert|reg|core|stack|engine|sys|openssl|schannel|account|login|call|client|keep|ping|icmp|os$|io$|ua$"
)
#: A host that the client registers at, and one that a line names; names of classes look like one.
_SIP_HOST = re.compile(
    r"(?i)\bsips?:(?:[^\s@<>;]{1,80}@)?([a-z0-9][a-z0-9.-]{2,200})|\b(?:tls|tcp|udp)://([a-z][a-z0-9.-]{2,200})"
    r"|([a-z0-9][a-z0-9.-]{2,200}):506[01]\b"
    r"|\b(?:proxy|registrar|domain|outbound|server)\W{1,3}(?!proxy|server)([a-z0-9][a-z0-9.-]{2,200})"
)
_HOST = re.compile(
    r"(?<![\w.@/$=-])(?<!://)(?:https?://|wss?://)?((?:[a-z0-9-]{1,63}\.){1,6}(?:com|net|org|io|de|it|fr|es|at|ch|eu|uk|us|info|biz|cloud|co"
    r"|example|edu|gov|nl|be|pl|pt))(?![\w(-]|\.\w)"
)
_SRV = re.compile(r"(?i)\bsrv\b|\bnaptr\b|_sips?\._")
_PACKAGE = re.compile(r"(?:com|org|net|io|de|it|fr|es|at|ch|java|javax|android|socket|libcore)\.")
#: What names others in a line of SIP: a certificate, a name server, a redirection.
_OF_SIP_HOST = re.compile(
    r"(?i)\bsips?\b|regist|\b506[01]\b|\bsrv\b|\bcn\b|\bdns:|subject|issuer|alt ?name|host ?name|identity"
    r"|certificate .{0,40}(?:not |other)"
)
_STACK = re.compile(r"\bsip\b|[Ss]ip(?=[A-Z.])|linphone|pjsip|pjsua")
#: The signatures that blame a password, an account or an address.
BLAMING = frozenset({"unauthorized", "not_found", "method_refused"})
#: What tells that a line is of a registration, by the words for it and by the names of clients.
_REGISTERS = re.compile(
    r"(?i)regist|\bon_?reg|anmeld|enregistr|inscription|\bsips?\b|sip[A-Z_]|credential|account|extension|identification|\w@\w"
    r"|^[\W\d]{0,40}\b40[1357]\b|log ?(?:in|on)\b|http ?digest|pjsip|pjsua|linphone|belle-sip|zoiper|bria|microsip"
    r"|jitsi|jssip|baresip|groundwire|acrobits|privategsm|\bua\b|pbx|asterisk|anlage|centralino|centralita"
)


def is_plain(line: str) -> bool:
    """Whether a line is of a registration, or names nothing that anything else could be: ``Password not valid``."""
    return bool(_REGISTERS.search(line)) or all(
        len(word) < 3 or word in _fillers() or english(word)[0]
        for word in map(str.lower, _WORD.findall(_JOINT.sub(" ", line)))
    )


@functools.cache
def _fillers() -> frozenset[str]:
    """Words that name nothing."""
    return frozenset(word for row in _subjects() for word in row.get("fillers", ()))


def others(lines: Sequence[str]) -> set[int]:
    """The numbers of the lines of other programs, where a line says which one is the client, and of traces that are
    about something else: a line of a trace says so."""
    tags = [_PROGRAM.search(line) for line in lines]
    clients = any(tag is not None and _CLIENT.search(tag[1]) for tag in tags)
    found = {
        number
        for number, tag in enumerate(tags)
        if clients and tag is not None and not (_CLIENT.search(tag[1]) or _TOOL.fullmatch(tag[1]))
    }
    found |= _of_other_processes(lines) | _of_other_hosts(lines)
    trace: list[int] = []
    for number, line in enumerate([*lines, ""]):
        if trace and (_FRAME.match(line) or (_THROWN.match(line) and _FAILED.search(lines[trace[0]]))):
            trace.append(number)
            continue
        shown = [lines[one] for one in trace]
        if len(shown) > 1 and any(map(is_another, shown)) and not any(map(_STACK.search, shown)):
            found.update(trace)
        trace = [number]
    return found


def of_unknown_parts(lines: Sequence[str], registered: int) -> set[int]:
    """The numbers of the lines that a part of the program wrote which the log never shows at SIP, by its tag.

    Only what comes after a registration: whoever is registered speaks of SIP by names that are known by then.
    """
    if registered < 0:
        return set()
    tags = [_TAG.match(line) for line in lines]
    own = {tag[1] for number, tag in enumerate(tags) if tag is not None and _REGISTERS.search(lines[number])}
    return {
        number
        for number, tag in enumerate(tags)
        if number > registered
        and tag is not None
        and tag[1] not in own
        and not (_CONNECTS.search(tag[1]) or _CLIENT.search(tag[1]) or _REGISTERS.search(lines[number]))
        and not english(tag[1].lower())[0]
    }


def _of_other_processes(lines: Sequence[str]) -> set[int]:
    """The numbers of the lines of a log of Android that other processes wrote than the client's, where one is known."""
    processes = [_PROCESS.match(line) for line in lines]
    shown = {(one[1] or one[4], one[2] or one[3]) for one in processes if one is not None}
    clients = {process for tag, process in shown if _CLIENT.search(tag)}
    return {
        number
        for number, one in enumerate(processes)
        if clients and one is not None and (one[2] or one[3]) not in clients
    }


def _of_other_hosts(lines: Sequence[str]) -> set[int]:
    """The numbers of the lines about hosts of others, where the log shows the domains that the client registers at."""
    own = {_domain(host) for line in lines for found in _SIP_HOST.findall(line) for host in found}
    # An SRV record may lead to another domain.
    own |= {_domain(host) for line in lines if _SRV.search(line) for host in _HOST.findall(line)}
    own.discard("")
    return {
        number
        for number, line in enumerate(lines)
        if own
        and not _OF_SIP_HOST.search(line)
        and (named := {_domain(host) for host in _HOST.findall(line) if not _PACKAGE.match(host)})
        and not named & own
    }


def _domain(host: str) -> str:
    """The last two labels of a host's name; "" for an address."""
    labels = host.lower().rstrip(".").split(".")
    return ".".join(labels[-2:]) if len(labels) > 1 and not labels[-1].isdigit() else ""


def is_another(line: str) -> bool:
    """Whether a line is about something that no registration needs, whatever failed in it."""
    if any(fnmatch.fnmatchcase(one.lower(), name) for one in _PROGRAM.findall(line) for name in _programs()):
        return True
    kinds = {kind for kind, _registers in _named(line)}
    return "words" in kinds or ("doubtful" in kinds and not _OF_SIP.search(line))


def has_registrations(line: str) -> bool:
    """Whether a line is about something else that has registrations of its own: a push service, a chat."""
    return any(registers for _kind, registers in _named(line))


def _named(line: str) -> set[_Kind]:
    """What phrases are in a line, also where names run together."""
    split = _JOINT.sub(" ", line)
    return _found(line) | (_found(split) if split != line else set())


def _found(line: str) -> set[_Kind]:
    """Of the phrases in a line whether they are sure of their subject, and whether that has registrations."""
    words = [word.lower() for word in _WORD.findall(line)]
    return {
        kind
        for number, word in enumerate(words)
        for rest, kind in _phrases(word)
        if all(
            number + place < len(words) and _is(words[number + place], wanted) for place, wanted in enumerate(rest, 1)
        )
    }


def _is(word: str, wanted: str) -> bool:
    return word.startswith(wanted[:-1]) if wanted.endswith("*") else word == wanted


@functools.lru_cache(maxsize=4096)
def _phrases(word: str) -> tuple[tuple[tuple[str, ...], _Kind], ...]:
    """What may follow a word in the phrases that it begins, and of which kind those are."""
    word = word.replace("\ufffd", "")
    names = (word, *(f"{word[:length]}*" for length in range(3, len(word) + 1)))
    return tuple(one for name in names for one in _table().get(name, ()))


@functools.cache
def _table() -> dict[str, list[tuple[tuple[str, ...], _Kind]]]:
    """The phrases by the word that they begin with."""
    table: dict[str, list[tuple[tuple[str, ...], _Kind]]] = {}
    for row in _subjects():
        for kind in ("words", "doubtful"):
            for phrase in (spelled for one in row.get(kind, ()) for spelled in _spellings(one)):
                first, *rest = phrase.split()
                table.setdefault(first, []).append((tuple(rest), (kind, bool(row.get("registers")))))
    return table


@functools.cache
def _programs() -> tuple[str, ...]:
    """The names of other programs."""
    return tuple(name for row in _subjects() for name in row.get("programs", ()))


@functools.cache
def _subjects() -> tuple[Mapping[str, Any], ...]:
    return tuple(load(SUBJECTS.read_text(encoding="utf-8")).values())


def _spellings(phrase: str) -> Iterator[str]:
    """A phrase with its accents, without them, and without the letters that have them, as screens and logs show it."""
    bare = (unicodedata.normalize(form, phrase).encode("ascii", "ignore").decode() for form in ("NFC", "NFD"))
    yield from dict.fromkeys((phrase, *bare))
