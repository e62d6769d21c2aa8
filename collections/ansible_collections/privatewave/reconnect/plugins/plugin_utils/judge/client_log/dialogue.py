# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SIP dialogues in a client's log: requests by their method, and the final answer to each.

A challenge (401, 407) that the client answers is no failure, and what the server answers to SUBSCRIBE, PUBLISH or
OPTIONS keeps nobody from registering. An answer without a method is taken for one to REGISTER. Read are raw messages
(RFC 3261, 7.1 to 7.3), whatever stands before them in a line, the summaries of pjsip, belle-sip, reSIProcate, baresip
and Wireshark, those with arrows, and what any client says in words: that it was challenged, that it is registered.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from . import subjects
from .signatures import LINE_LIMIT
from .words import readable

#: Lines that the head of a message may have.
HEAD_LIMIT = 60
CHALLENGES = (401, 407)
#: What pjsip and belle-sip say themselves where no answer came: these are no answers in their summaries.
OWN = ("408", "502", "503")
_METHODS = "REGISTER|INVITE|ACK|BYE|CANCEL|OPTIONS|SUBSCRIBE|NOTIFY|PUBLISH|MESSAGE|INFO|UPDATE|REFER|PRACK"
_REQUEST = re.compile(
    rf"\b({_METHODS}) (?:sips?|tel):\S{{1,300}} SIP/2\.0"
    # What else stands in such a line may be the answer.
    r"|^(?!.{0,300}(?i:fail|err|refus|time|reject|->|→|(?<![\w.:,])[1-6]\d\d\b(?!@)))"
    r".{0,60}\b(REGISTER|INVITE) sips?:\S{1,300}(?:$|\s(?!SIP/))"
    r"|^(?!.{0,200}(?i:fail))"
    rf".{{0,200}}\b(?:Sip)?Req(?:uest)?(?: msg|:)?\s{{1,2}}({_METHODS})\b"
    rf"|(?:->|<-|→|←)\s{{0,3}}\S{{1,60}}\s{{1,3}}({_METHODS})\b"
)
_ANSWER = re.compile(
    r"SIP/2\.0 (?P<raw>\d{3})\b ?(?P<raw_reason>.{0,80})"
    r"|\bResp(?:onse msg)? (?P<code>\d{3})/(?:cseq=\d{1,10}/)?(?P<method>[A-Z]{3,9})\b"
    r"|\bSipResp: (?P<resip>\d{3}) .{0,150}?\bcseq=(?:\d{1,10}[ /])?(?P<resip_method>[A-Z]{3,9})\b"
    r"|\b(?P<kind>Register|Publish|Subscribe) refresher \[(?P<belle>\d{3})\] reason \[(?P<belle_reason>[^\]]{0,80})"
    r"|\bStatus: (?P<shark>\d{3})\b ?(?P<shark_reason>.{0,80})"
    r"|(?i:registration (?:success|failed), status)=(?P<pjsua>\d{3})\b(?: \((?P<pjsua_reason>[^)]{0,80}))?"
    r"|(?:->|<-|→|←)\s{0,3}\S{1,60}\s{1,3}(?P<ladder>[1-6]\d\d)\s(?P<ladder_reason>[A-Z].{0,79})"
    r"|\(prio \d{1,3}\): (?:\{\S{1,20}\} )?(?P<baresip>\d{3}) (?P<baresip_reason>.{0,80})"
)
#: A request and what came back, in one line: "REGISTER 1005 -> 401 -> 200 OK".
_CHAIN = re.compile(
    r"(?i)\b(?P<method>REGISTER|INVITE|SUBSCRIBE|PUBLISH|OPTIONS|NOTIFY|BYE|REFER|reg)\b"
    r"(?P<asked>[^>→]{0,200}?)(?P<steps>(?:-|=)>|→)\s?(?=[1-6]\d\d\b|no (?:response|answer|reply)\b)"
)
_STEP = re.compile(r"(?:(?:-|=)>|→|^)\s{0,2}([1-6]\d\d)\b ?([^->→=,;]{0,80})")
#: An answer alone, to the request before it.
_ALONE = re.compile(
    r"(?:^[\W\d]{0,40}|[:\]]\s)(?<![\w.:,])([1-6]\d\d) (Unauthorized|Forbidden|Not Found|OK|Proxy Authentication)\b"
    r"(.{0,80})"
)
#: A request that answers a challenge, where its headers are not shown as such.
_LOGIN = re.compile(r"(?i)\bauthorization\b|\(?\bwith (?:credentials|auth\w{0,9})|\(auth\)")
#: Forms that carry a reason.
_NAMED = ("belle", "shark", "ladder", "pjsua", "baresip")
_HEADER = re.compile(
    r"(?i:\bcseq\s{0,3}:\s{0,3}\d{1,10}\s{1,3})(?P<method>[A-Z]{3,9})\b|(?P<login>\b(?i:(?:proxy-)?authorization)\s{0,3}:)"
    r"|(?P<end>\b(?i:expires)\s{0,3}[:=]\s{0,3}0(?!\d))"
    # Why it was refused.
    r"|(?i:\b(?:warning|reason|[px]-[a-z-]{0,40}error|error-info)\s{0,3}:)(?P<why>.{1,200})"
    r"|(?i:\b(?:via|from|to|call-id|contact|expires|max-forwards|(?:record-|service-)?route|path|allow(?:-events)?"
    r"|supported|require|accept|event|user-agent|server|date|warning|reason|retry-after|min-expires"
    r"|(?:www|proxy)-authenticate|content-(?:length|type)|[px]-[a-z-]{1,40})\s{0,3}:)"
)
#: A line about another method than REGISTER, and a status in it.
_ELSEWHERE = re.compile(
    r"(?i)\b(?:subscri\w{1,6}|publish\w{0,3}|options|notify|mwi|presence|message-summary)\b"
    # A call; what codecs it lacks is told of it (`media_not_acceptable`).
    r"|^(?!.{0,300}\b(?:488|606)\b).{0,200}\b(?:(?:incoming|outgoing|missed) call"
    r"|calls?\b(?!-id)|calling\b|(?-i:INVITE|REFER|BYE|PRACK)\b"
    r"|(?-i:MESSAGE|INFO|UPDATE) (?:to|for|from|request|sip:)|transfer\b|hold\b|conference|anruf"
    r"|chiamata|appel |llamada)"
)
_STATUS = re.compile(r"\b[3-6]\d\d\b")
#: A line about a page, or about nothing that failed.
_PAGE = re.compile(
    r"(?i)\b(?-i:GET|POST|PUT|DELETE|HEAD|PATCH) /\S|\w\.(?:ico|png|jpe?g|gif|svg|css|wav|mp3|ogg|webp|woff2?)\b"
    r"|\b(?:http (?:get|post|put|head|status|[345]\d\d)|http/\d)\b"
    r"|(?<![=\w.])(?<!depth )0 (?:fail\w{0,4}|errors?|timed out|time-?outs?)\b"
)
#: A line with an answer to a page, unless it tells of SIP, too, or of what keeps the client from anything.
_URL = re.compile(r"https?://\S{1,300}.{0,20}(?<![\w.:,])[3-5]\d\d\b")
_OF_A_URL = re.compile(r"(?i)\bsips?:|\bsip\b|pbx|proxy authentication|\bREGISTER\b.{0,40}\bsip")
#: A call that lacks a codec or its encryption is told of it, though that is no matter of registering.
_CODEC = re.compile(r"(?<![\w.:,])(?:488|606)\b|\bcodec", re.IGNORECASE)
#: What is set, or has a name that sounds like a failure, where nothing in the line failed.
_SETTING = re.compile(
    r"(?i)time-?out\w{0,9}(?: (?:value|is|set|to|of|in)){0,3}\s?[=:]?\s?(?!408\b)\d"
    r"|time-?out ?(?:handler|timer|task|thread|manager|policy|listener)"
    r"|time-?out\b.{0,40}\b(?:set to|is now|will be) \d"
    r"|\b(?:verif|check|reject|allow|accept|enable|validat|ignor|requir|use|trust)\w{0,7}\b.{0,60}[:=]\s?(?:yes|no|true|false|on|off|[01])$"
    r"|\w_(?:check|verify|verification|enabled?|timeout|interval|retry|retries)\s?[=:]\s?\w"
)
_FAILS = re.compile(r"(?i)fail|err|exception|refused|unreach|timed|cannot|unable")
#: What such a line may tell beside that: its parts, a registration over SIP, and that something failed.
_PARTS = re.compile(
    r"[;|]|\. | [-–—] "
    r"|(?:(?<=ok)|(?<=wrong)|(?<=invalid)|(?<=falsch)|(?<=errat[oa])|(?<=incorrect)|(?<=incorrect[eoa])): ",
    re.IGNORECASE,
)
_REQUESTED = re.compile(r"\bREGISTER\b|\bSIP/2\.0\b")
_REGISTERING = r"(?:registration|registrierung|anmeldung|registrazione|enregistrement|registro)"
_REGISTERS = re.compile(rf"{_REQUESTED.pattern}|(?i:\b{_REGISTERING}\b|\bsips?\b)")
#: A registration that is a telephone's, whatever else the line names: "video phone registration failed".
_OF_A_PHONE = re.compile(
    r"(?i)\b(?:sip|voip|\w{0,10}phone|\w{0,5}telefon\w{0,3}|t.l.phone|tel.fono|\w{0,5}citofono|videoportero|account|extension|interno|poste|nebenstelle"
    rf"|pbx)\W{{1,3}}{_REGISTERING}\b|\b{_REGISTERING} (?:\w{{2,5}} ){{1,2}}(?:sip|\w{{0,10}}phone|account|extension"
    r"|interno|poste|nebenstelle|pbx)\b"
)
_ASIDE = re.compile(r"\([^()]{0,80}\)")
_FAILED = re.compile(
    rf"{_FAILS.pattern}|time-?out\b(?!\s?[=:]?\s?\d|.{{0,40}}\bset to\b)|forbidden|denied|reject|unauthori|expired"
    r"|fehl(?:er|ge?schl)|non riuscit|impossib|unm.glich|nicht m.glich|fallit|rifiut|negat|refus|.chou|.chec|fallid"
    r"|fall.\b|denegad|rechaz|abgelehn|verweiger"
    r"|(?<![\w.:,])[3-6]\d\d\b(?![.:]\d)"
)
#: A client that says in words that it is registered …
_REGISTERED = re.compile(
    r"\bregist(?:ration|er)\b\W{0,4}(?:is |was |state|status|result|attempt|response)?\W{0,4}"
    r"(?:success|succeeded|completed?\b|ok\b|200\b)"
    r"|\b(?:successfully|now|is|state|status|account)\W{1,3}registered\b(?!\W{0,3}(?:no|false|0)\b)"
    r"|^[\W\d]{0,40}registered\W{0,3}$|:\s{0,3}registered\W{0,3}(?:$|\(?expires)"
    r"|registrationok\b|\bregistered successfully"
    r"|registrazione (?:riuscita|completata|effettuata)|registrato (?:correttamente|con successo)"
    r"|(?:registrierung|anmeldung) (?:war )?erfolgreich|erfolgreich (?:registriert|angemeldet)"
    r"|\b(?:stato|status|.tat|estado)\W{1,3}(?:registrato|registriert|angemeldet|enregistr.{1,2}|registrado)\W{0,3}$"
    r"|enregistrement (?:r.{1,2}ussi|effectu)|enregistr.{1,2} avec succ|registro (?:correcto|exitoso|completado)"
    r"|registrado (?:correctamente|con .{1,2}xito)",
    re.IGNORECASE,
)
#: … unless something else stands in the line, too. What follows a dot or a colon is a part of the time.
_UNSURE = re.compile(
    r"(?i)\b(?:not?|non|nicht|pas|if|whether|check|until|before|was|un\w{0,4}regist\w{1,7}|no longer)\b"
    r"|fail|error|lost|expired|(?<![\w.:,])(?:[45]\d\d|60[346])\b"
)
#: What such a line says of the time before.
_PAST = re.compile(
    r"\((?:first|previous|before|earlier|was|after)\b[^()]{0,120}\)"
    r"|,? (?:the )?(?:previous|earlier|former) (?:error|failure)\b.{0,120}",
    re.IGNORECASE,
)
#: A challenge in words, one that the client says it answers, and the answer to that.
_CHALLENGE = re.compile(r"(?<![\w.:,])40[17]\b")
_ANSWERS_IT = re.compile(
    r"(?i)(?<![\w.:,])40[17]\b.{0,80}(?:challenge|resend|with (?:credentials|authori[sz]ation)|sending auth)"
)
_OK = re.compile(r"(?i)\b200\b.{0,3}\bok\b")
_OF_HTTP = re.compile(r"(?i)http|\bwss?://")
_OF_ANOTHER = re.compile(r"(?i)http|\b(?:invite|bye|message|info|refer)\b")
#: Networks of a client: where a line stands under one, and a change to one.
_NETWORKS = {
    "wifi": ("wifi", "wi-fi", "wlan", "hotspot"),
    "mobile": ("mobile", "cellular", "lte", "3g", "4g", "5g"),
    "vpn": ("vpn",),
    "ethernet": ("ethernet", "lan"),
}
_NAMES = "|".join(name for names in _NETWORKS.values() for name in names)
_NETWORK = re.compile(
    rf"(?i)^\s{{0,9}}\[({_NAMES})\b[^\]]{{0,60}}\]"
    rf"|\b(?:switch\w{{0,3}}|chang\w{{1,3}}|moved|handover) to (?:the )?({_NAMES})\b"
)
#: Lines between a challenge and the answer to what the client sent then.
_NEAR = 20


@dataclass
class Message:
    """A request (``code`` 0) or an answer; ``lines`` are the numbers of its lines, ``raw`` says that it has headers."""

    lines: list[int]
    raw: bool
    code: int = 0
    method: str = ""
    reason: str = ""
    login: bool | None = None
    """Whether the request has credentials; None where its headers are not shown."""
    ends: bool = False
    """Whether it asks for the end of the registration."""
    why: str = ""
    """What headers of an answer say of its reason."""


@dataclass(frozen=True)
class Answer:
    """The final answer to a method, and the number of its line."""

    method: str
    code: int
    reason: str
    line: int
    challenged: bool = False
    """Whether it is a challenge, and the client sent no credentials."""
    login: bool = False
    """Whether the client had sent its credentials."""
    why: str = ""
    """What headers say of the reason."""

    def __str__(self) -> str:
        """As the status line has it."""
        return f"SIP/2.0 {self.code} {self.reason}".strip()


@dataclass(frozen=True)
class Dialogues:
    """What the dialogues of a log came to.

    ``registered``: the line of the last registration that was accepted, -1 without one. ``refused``: the final answer
    to a later REGISTER. ``call``: that to the last INVITE, where it is no success. ``unanswered``: the line of a
    REGISTER that nobody answered. ``lines``: the lines of all messages. ``refusals``: how many logins were refused
    since.
    """

    registered: int = -1
    refused: Answer | None = None
    call: Answer | None = None
    unanswered: int | None = None
    lines: frozenset[int] = frozenset()
    refusals: int = 0

    def is_open(self, number: int) -> bool:
        """Whether a line is none of a message, and none from before a registration that was accepted."""
        return number > self.registered and number not in self.lines

    def left(self, lines: Sequence[str]) -> list[str]:
        """The lines to be read one by one, `readable`; the others are empty.

        What came before a registration that was accepted is over, the messages are told by the dialogues, and some
        lines are of no registration at all.
        """
        others = subjects.others(lines) | subjects.of_unknown_parts(lines, self.registered)
        return [
            readable(_of_sip(line)) if self.is_open(number) and number not in others else ""
            for number, line in enumerate(lines)
        ]


def read(lines: Sequence[str]) -> Dialogues:
    """The dialogues in the lines of a log; an empty one where there are none."""
    lines = [line[:LINE_LIMIT] for line in lines]
    registered, refusals, unanswered = -1, 0, None
    refused: Answer | None = None
    call: Answer | None = None
    own = {number for number, line in enumerate(lines) if _is_elsewhere(line) or _ANSWERS_IT.search(line)}
    request = Message([], False)
    for message in _messages(lines):
        own.update(message.lines)
        first, about = message.lines[0], message.method or request.method or "REGISTER"
        if not message.code:
            request = message
            unanswered = first if about == "REGISTER" else unanswered
        elif about == "INVITE" and message.code >= 200 and message.code not in CHALLENGES:
            call = None if message.code < 300 else Answer(about, message.code, message.reason, first, why=message.why)
        elif about == "REGISTER":
            unanswered = None
            if message.code >= 300:
                sent = request.login if request.method == "REGISTER" else None
                challenged = message.code in CHALLENGES and sent is False
                refused = Answer(about, message.code, message.reason, first, challenged, bool(sent), message.why)
                refusals += bool(sent) and message.code in (*CHALLENGES, 403)
            elif message.code >= 200:
                registered, refused, refusals = (registered if request.ends else first), None, 0
    if (told := _told(lines, own)) > registered:
        registered, refusals = told, 0
        refused = refused if refused is not None and refused.line > told else None
        unanswered = unanswered if unanswered is not None and unanswered > told else None
    return Dialogues(registered, refused, call, unanswered, frozenset(own), refusals)


def networks(lines: Sequence[str]) -> list[list[str]]:
    """The lines by the network that the client was on, where the log says so."""
    parts: dict[str, list[str]] = {}
    network = ""
    for line in lines:
        if (found := _NETWORK.search(line)) is not None:
            network = next(kind for kind, names in _NETWORKS.items() if (found[1] or found[2]).lower() in names)
        parts.setdefault(network, []).append(line)
    return list(parts.values())


def _told(lines: Sequence[str], own: Collection[int]) -> int:
    """The last line beside the messages in which the client says that it is registered; -1 without one."""
    told, challenged = -1, -_NEAR
    for number, line in enumerate(_PAST.sub("", line) for line in lines):
        if _CHALLENGE.search(line) and (number not in own or _ANSWERS_IT.search(line)):
            challenged = number
        elif number in own or _UNSURE.search(line) or subjects.is_another(line):
            continue
        elif _REGISTERED.search(line) or (number - challenged < _NEAR and _is_ok(line)):
            told = number
    return told


def _is_ok(line: str) -> bool:
    """Whether a line says 200 OK, and not of something else than a registration."""
    return bool(_OK.search(line)) and not (_ELSEWHERE.search(line) or _OF_ANOTHER.search(line))


def _is_elsewhere(line: str) -> bool:
    """Whether a line is about a status of a method that no registration needs."""
    return bool(_STATUS.search(line) and _ELSEWHERE.search(line)) and "regist" not in line.lower()


def _of_sip(line: str) -> str:
    """A line that tells of a registration or a call; of one about another service, what says that SIP failed."""
    if not _is_harmless(line):
        return line
    line = _ASIDE.sub(lambda aside: "" if subjects.is_another(aside[0]) else aside[0], line)
    parts = (", ".join(one for one in part.split(", ") if _is_own(one)) for part in _PARTS.split(line))
    return "; ".join(part for part in parts if _REGISTERS.search(part) and _FAILED.search(part))


def _is_harmless(line: str) -> bool:
    """Whether a line is about something that no registration needs, whatever failed in it."""
    if (
        _PAGE.search(line)
        or (_URL.search(line) and not _OF_A_URL.search(line))
        or (_SETTING.search(line) and not _FAILS.search(line))
    ):
        return True
    return subjects.is_another(line) and not _CODEC.search(line)


def _is_of_another(line: str) -> bool:
    """Whether a line that has an answer is about another protocol."""
    return bool(_OF_HTTP.search(line)) or _is_harmless(line)


def _is_own(part: str) -> bool:
    """Whether a part of such a line is about something else, or about both."""
    if not _is_harmless(part):
        return True
    told = _REQUESTED.search(part) or (_OF_A_PHONE.search(part) and not subjects.has_registrations(part))
    return bool(told and _FAILED.search(part))


def _messages(lines: Sequence[str]) -> Iterator[Message]:
    """The messages in the order of the lines."""
    message: Message | None = None
    for number, line in enumerate(lines):
        if (chain := _CHAIN.search(line)) is not None and not (chain["method"] != "REGISTER" and _is_of_another(line)):
            yield from [message] if message is not None else []
            *before, message = _chained(number, line, chain)
            yield from before
        elif (begun := _begun(number, line, message)) is not None:
            if message is not None:
                yield message
            message = begun
        elif message is None or not message.raw:
            continue
        elif not line.strip(" .|\r\t") or number - message.lines[0] > HEAD_LIMIT:
            message.raw = False
        elif (header := _HEADER.search(line)) is not None:
            message.lines.append(number)
            message.method = header["method"] or message.method
            # Headers are shown: without one of these there are no credentials.
            message.login = bool(message.login or header["login"])
            message.ends = message.ends or bool(header["end"])
            message.why = " ".join(filter(None, (message.why, (header["why"] or "").strip())))
    if message is not None:
        yield message


def _chained(number: int, line: str, chain: re.Match[str]) -> Iterator[Message]:
    """The messages that stand in one line. After a challenge the client sends its credentials."""
    method = "REGISTER" if chain["method"].lower() == "reg" else chain["method"].upper()
    login = True if _LOGIN.search(chain["asked"]) else None
    yield Message([number], False, method=method, login=login)
    for step in _STEP.finditer(line[chain.start("steps") :]):
        code = int(step[1])
        yield Message([number], False, code, method, step[2].strip())
        if code in CHALLENGES and not login:
            login = True
            yield Message([number], False, method=method, login=login)


def _begun(number: int, line: str, before: Message | None) -> Message | None:
    """The message that begins in a line."""
    if (found := _REQUEST.search(line)) is not None:
        method = next(filter(None, found.groups()))
        login = True if _LOGIN.search(line, found.end()) else None
        return Message([number], bool(found[1]), method=method, login=login)
    alone = _ALONE.search(line) if before is not None and not before.code else None
    if before is not None and (found := alone) is not None and not _is_of_another(line):
        return Message([number], False, int(found[1]), before.method, f"{found[2]}{found[3]}".strip())
    if (found := _ANSWER.search(line)) is None or (found["ladder"] and _is_of_another(line)):
        return None
    if (found["belle"] or found["pjsua"]) in OWN:
        return None
    code = next(found[name] for name in ("raw", "code", "resip", *_NAMED) if found[name])
    reasons = (found[f"{name}_reason"] for name in ("raw", *_NAMED))
    registers = "REGISTER" if found["pjsua"] or found["baresip"] else ""
    method = found["method"] or found["resip_method"] or (found["kind"] or registers).upper()
    return Message([number], bool(found["raw"]), int(code), method, next(filter(None, reasons), "").rstrip(" .|\r"))
