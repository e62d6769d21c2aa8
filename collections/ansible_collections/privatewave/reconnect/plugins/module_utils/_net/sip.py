# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build and parse SIP messages (RFC 3261), and answer digest challenges (RFC 7616, RFC 8760).

A message comes from the network, so it is hostile input: sizes are limited, and whatever the grammar does not allow
raises `SIPError`. Header fields that are not used here are kept as text, and their grammar is not checked.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Optional, TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Headers = list[tuple[str, str]]
    Parameters = dict[str, Optional[str]]

MESSAGE_LIMIT = 65536
LINE_LIMIT = 8192
HEADER_LIMIT = 200

COMPACT = {
    "a": "Accept-Contact",
    "b": "Referred-By",
    "c": "Content-Type",
    "e": "Content-Encoding",
    "f": "From",
    "i": "Call-ID",
    "k": "Supported",
    "l": "Content-Length",
    "m": "Contact",
    "o": "Event",
    "r": "Refer-To",
    "s": "Subject",
    "t": "To",
    "u": "Allow-Events",
    "v": "Via",
}
SINGLE = ("Call-ID", "Content-Length", "CSeq", "Date", "Expires", "From", "Max-Forwards", "To")
REQUIRED = ("Call-ID", "CSeq", "From", "To", "Via")
ALGORITHMS = ("SHA-256", "MD5")

_TOKEN = r"[A-Za-z0-9.!%*_+`'~-]+"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9.])?|\[[0-9A-Fa-f:.]+\])"
_ESCAPED = r"%[0-9A-Fa-f]{2}"

_REQUEST_LINE = re.compile(r"({0}) (\S+) SIP/2\.0\Z".format(_TOKEN), re.ASCII | re.IGNORECASE)
_STATUS_LINE = re.compile(r"SIP/2\.0 ([1-6][0-9]{2}) (.*)\Z", re.ASCII | re.IGNORECASE | re.DOTALL)
_HEADER = re.compile(r"({0})[ \t]*:(.*)\Z".format(_TOKEN), re.ASCII | re.DOTALL)
_TOKENS = re.compile(r"(?:{0}(?:\s+{0})*)?\Z".format(_TOKEN), re.ASCII)
_QUOTED_STRING = re.compile(_QUOTED, re.DOTALL)
_PARAMETER = re.compile(
    r"\s*;\s*({0})(?:\s*=\s*({1}|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*|{0}|\[[0-9A-Fa-f:.]+\]))?\s*".format(_TOKEN, _QUOTED),
    re.ASCII | re.DOTALL,
)
_SENT_BY = re.compile(
    r"SIP\s*/\s*2\.0\s*/\s*({0})\s+({1})(?:\s*:\s*([0-9]{{1,5}}))?".format(_TOKEN, _HOST), re.ASCII | re.IGNORECASE
)
_CALL_ID = re.compile(r"""[A-Za-z0-9.!%*_+`'~()<>:\\"/\[\]?{}-]+(?:@[A-Za-z0-9.!%*_+`'~()<>:\\"/\[\]?{}-]+)?\Z""")
_CSEQ = re.compile(r"([0-9]{{1,32}})\s+({0})\Z".format(_TOKEN), re.ASCII)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.+)\Z", re.ASCII)
_OPAQUE = re.compile(r"(?:[A-Za-z0-9;/?:@&=+$,_.!~*'()\[\]-]|{0})+\Z".format(_ESCAPED))
_USER = re.compile(r"(?:[A-Za-z0-9_.!~*'()&=+$,;?/-]|{0})+\Z".format(_ESCAPED))
_PASSWORD = re.compile(r"(?:[A-Za-z0-9_.!~*'()&=+$,-]|{0})*\Z".format(_ESCAPED))
_HOST_PORT = re.compile(r"({0})(?::([0-9]{{1,5}}))?\Z".format(_HOST))
_URI_PARAMETER = re.compile(r"(?:[A-Za-z0-9_.!~*'()\[\]/:&+$-]|{0})+\Z".format(_ESCAPED))
_URI_HEADER = re.compile(r"(?:[A-Za-z0-9_.!~*'()\[\]/?:+$=&-]|{0})+\Z".format(_ESCAPED))
_CHALLENGE = re.compile(r"\s*({0})\s*=\s*({1}|{0})\s*(?:,|\Z)".format(_TOKEN, _QUOTED), re.ASCII | re.DOTALL)
_DATE = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [0-9]{4}"
    r" [0-9]{2}:[0-9]{2}:[0-9]{2} GMT\Z"
)
_USER_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!~*'()&=+$,/")


class SIPError(ValueError):
    """What was received is not a SIP message, or what should be sent cannot be one."""


class Address(TypedDict):
    """A name-addr or addr-spec (RFC 3261, 20.10)."""

    display: str
    uri: str
    parameters: Parameters


class Via(TypedDict):
    """One element of a Via header field (RFC 3261, 20.42)."""

    transport: str
    host: str
    port: int | None
    parameters: Parameters


class Uri(TypedDict, total=False):
    """A URI; of schemes other than sip and sips only ``scheme`` and ``opaque``."""

    scheme: str
    opaque: str
    user: str | None
    password: str | None
    host: str
    port: int | None
    parameters: Parameters
    headers: str


class Message:
    """A request (``method``, ``uri``) or a response (``status``, ``reason``), with its ``headers`` and its ``body``.

    ``headers`` is a list of (name, value) in the order of the message: compact names in their long form, folded lines
    joined. ``status`` is 0 in a request.
    """

    def __init__(
        self,
        method: str | None = None,
        uri: str | None = None,
        status: int = 0,
        reason: str = "",
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> None:
        self.method = method
        self.uri = uri
        self.status = status
        self.reason = reason
        self.headers = list(headers)
        self.body = body

    def all(self, name: str) -> list[str]:
        """Every value of a header field, in order."""
        return [value for found, value in self.headers if found.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        """The first value of a header field, or None."""
        values = self.all(name)
        return values[0] if values else None

    def listed(self, name: str) -> list[str]:
        """Every element of a header field whose values are comma-separated lists (Via, Contact, Route)."""
        return [element for value in self.all(name) for element in split_list(value)]

    @property
    def branch(self) -> str | None:
        """The branch of the first Via: it names the transaction of the message."""
        return parse_via(self.listed("Via")[0])["parameters"].get("branch")

    @property
    def server(self) -> str:
        """What the station calls itself that sent the response, empty where it does not say."""
        return self.get("Server") or self.get("User-Agent") or ""

    @property
    def cseq(self) -> tuple[int, str]:
        """Number and method of CSeq. Raises `SIPError`."""
        match = _CSEQ.match(self.get("CSeq") or "")
        if not match:
            raise SIPError("{0} is not a CSeq".format(_shown(self.get("CSeq") or "")))
        return int(match.group(1)), match.group(2)

    def __bytes__(self) -> bytes:
        """The message as on the wire, with its Content-Length. Raises `SIPError`."""
        if self.method is not None:
            lines = ["{0} {1} SIP/2.0".format(self.method, self.uri)]
        else:
            lines = ["SIP/2.0 {0} {1}".format(self.status, self.reason)]
        lines += ["{0}: {1}".format(name, value) for name, value in self.headers if name != "Content-Length"]
        lines.append("Content-Length: {0}".format(len(self.body)))
        if any(c in line for line in lines for c in "\r\n\0"):
            raise SIPError("a line break inside a header field")
        return "\r\n".join([*lines, "", ""]).encode("utf-8") + self.body


def parse(data: bytes) -> Message:
    """The message of one datagram; bytes after Content-Length are dropped (RFC 3261, 18.3). Raises `SIPError`."""
    if len(data) > MESSAGE_LIMIT:
        raise SIPError("a message of more than {0} bytes".format(MESSAGE_LIMIT))
    head, blank, body = data.lstrip(b"\r\n").partition(b"\r\n\r\n")
    if not blank:
        raise SIPError("no empty line after the header fields")
    message = parse_head(head)
    length = content_length(message)
    if length is not None and length > len(body):
        raise SIPError("Content-Length says {0}, the body has {1} bytes".format(length, len(body)))
    message.body = body if length is None else body[:length]
    return message


def parse_head(head: bytes) -> Message:
    """A `Message` without body from its start line and header fields. Raises `SIPError`."""
    text = head.decode("utf-8", "backslashreplace")
    lines = re.sub(r"\r\n[ \t]+", " ", text).split("\r\n")
    if len(lines) > HEADER_LIMIT:
        raise SIPError("more than {0} header fields".format(HEADER_LIMIT))
    if any(len(line) > LINE_LIMIT for line in lines):
        raise SIPError("a header field of more than {0} characters".format(LINE_LIMIT))
    if any("\r" in line or "\n" in line for line in lines):
        raise SIPError("a line that does not end in CR LF")
    message = _start(lines[0])
    for line in lines[1:]:
        match = _HEADER.match(line)
        if not match:
            raise SIPError("{0} is not a header field".format(_shown(line)))
        name = match.group(1)
        message.headers.append((COMPACT.get(name.lower(), name), match.group(2).strip(" \t")))
    _check(message)
    return message


def content_length(message: Message) -> int | None:
    """Content-Length as a number, or None. Raises `SIPError`."""
    value = message.get("Content-Length")
    return None if value is None else _number("Content-Length", value, MESSAGE_LIMIT)


def split_list(value: str) -> list[str]:
    """The elements of a comma-separated list; commas in quotes and angle brackets do not separate."""
    elements: list[str] = []
    start, at, inside = 0, 0, False
    while at < len(value):
        character = value[at]
        if character == '"' and not inside:
            match = _QUOTED_STRING.match(value, at)
            if not match:
                raise SIPError("a quoted string without an end in {0}".format(_shown(value)))
            at = match.end()
            continue
        if character in "<>":
            inside = character == "<"
        elif character == "," and not inside:
            elements.append(value[start:at].strip())
            start = at + 1
        at += 1
    return [*elements, value[start:].strip()]


def parse_address(value: str) -> Address:
    """A name-addr or addr-spec (From, To, Contact). Raises `SIPError`."""
    value = value.strip()
    display = ""
    rest = value
    if value.startswith('"'):
        match = _QUOTED_STRING.match(value)
        rest = value[match.end() :].lstrip() if match else ""
        if not match or not rest.startswith("<"):
            raise SIPError("{0} is not an address".format(_shown(value)))
        display = unquote(match.group())
    elif "<" in value:
        display, _bracket, rest = value.partition("<")
        display, rest = display.strip(), "<" + rest
        if not _TOKENS.match(display):
            raise SIPError("{0} is not an address: its display name needs quotes".format(_shown(value)))
    if rest.startswith("<"):
        uri, closing, rest = rest[1:].partition(">")
        if not closing:
            raise SIPError("{0} is not an address: '>' is missing".format(_shown(value)))
    else:
        # Without brackets, parameters belong to the header field; '?' and ',' are ambiguous (RFC 3261, 20).
        uri = re.split(r"[\s;]", rest, maxsplit=1)[0]
        rest = rest[len(uri) :]
        if "?" in uri or "," in uri:
            raise SIPError("{0} is not an address: its URI needs angle brackets".format(_shown(value)))
    parse_uri(uri)
    return {"display": display, "uri": uri, "parameters": parse_parameters(rest)}


def parse_parameters(text: str) -> Parameters:
    """The ``;name=value`` pairs: names in lower case, a missing value is None. Raises `SIPError`."""
    parameters: Parameters = {}
    at = 0
    while at < len(text) and text[at:].strip():
        match = _PARAMETER.match(text, at)
        if not match:
            raise SIPError("{0} are not parameters".format(_shown(text)))
        value = match.group(2)
        parameters[match.group(1).lower()] = unquote(value) if value and value.startswith('"') else value
        at = match.end()
    return parameters


def parse_via(value: str) -> Via:
    """One element of Via. Raises `SIPError`."""
    match = _SENT_BY.match(value.strip())
    if not match:
        raise SIPError("{0} is not a Via".format(_shown(value)))
    port = match.group(3)
    return {
        "transport": match.group(1).upper(),
        "host": match.group(2),
        "port": _number("port", port, 65535) if port else None,
        "parameters": parse_parameters(value.strip()[match.end() :]),
    }


def parse_uri(text: str) -> Uri:
    """A URI. Raises `SIPError`."""
    match = _SCHEME.match(text)
    if not match:
        raise SIPError("{0} is not a URI".format(_shown(text)))
    scheme, rest = match.group(1).lower(), match.group(2)
    if scheme not in ("sip", "sips"):
        if not _OPAQUE.match(rest):
            raise SIPError("{0} is not a URI".format(_shown(text)))
        return {"scheme": scheme, "opaque": rest}
    user: str | None = None
    password: str | None = None
    if "@" in rest:
        user, _at, rest = rest.partition("@")
        user, colon, password = user.partition(":")
        password = password if colon else None
        if not _USER.match(user) or not _PASSWORD.match(password or ""):
            raise SIPError("{0} is not a SIP URI: its user part".format(_shown(text)))
    rest, question, headers = rest.partition("?")
    if question and not _URI_HEADER.match(headers):
        raise SIPError("{0} is not a SIP URI: its header fields".format(_shown(text)))
    host_port, *parameters = rest.split(";")
    match = _HOST_PORT.match(host_port)
    if not match:
        raise SIPError("{0} is not a SIP URI: its host".format(_shown(text)))
    pairs: Parameters = {}
    for parameter in parameters:
        name, equals, value = parameter.partition("=")
        if not _URI_PARAMETER.match(name) or (equals and not _URI_PARAMETER.match(value)):
            raise SIPError("{0} is not a SIP URI: its parameters".format(_shown(text)))
        pairs[name.lower()] = value if equals else None
    return {
        "scheme": scheme,
        "user": user,
        "password": password,
        "host": match.group(1),
        "port": _number("port", match.group(2), 65535) if match.group(2) else None,
        "parameters": pairs,
        "headers": headers,
    }


def escape_user(name: str) -> str:
    """A name as the user part of a SIP URI: a character that the grammar does not allow becomes ``%XX``."""
    return "".join(chr(o) if o in _USER_SAFE else "%{0:02X}".format(o) for o in name.encode("utf-8"))


def quote(text: str) -> str:
    """A quoted-string."""
    return '"{0}"'.format(text.replace("\\", "\\\\").replace('"', '\\"'))


def unquote(text: str) -> str:
    """The text of a quoted-string."""
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)


def parse_challenge(value: str) -> tuple[str, dict[str, str]]:
    """WWW-Authenticate or Proxy-Authenticate as (scheme in lower case, parameters). Raises `SIPError`."""
    scheme, _space, rest = value.strip().partition(" ")
    parameters: dict[str, str] = {}
    at = 0
    while at < len(rest):
        match = _CHALLENGE.match(rest, at)
        if not match:
            raise SIPError("{0} is not a challenge".format(_shown(value)))
        text = match.group(2)
        parameters[match.group(1).lower()] = unquote(text) if text.startswith('"') else text
        at = match.end()
    return scheme.lower(), parameters


def choose_challenge(response: Message) -> dict[str, str] | None:
    """The strongest digest challenge of a 401 or 407 that can be answered: its parameters, or None."""
    name = "Proxy-Authenticate" if response.status == 407 else "WWW-Authenticate"
    best: dict[str, str] | None = None
    for value in response.all(name):
        scheme, parameters = parse_challenge(value)
        algorithm = parameters.get("algorithm", "MD5").upper()
        qops = [qop.strip().lower() for qop in parameters.get("qop", "auth").split(",")]
        if scheme != "digest" or algorithm not in ALGORITHMS or "auth" not in qops:
            continue
        if "realm" not in parameters or "nonce" not in parameters:
            continue
        if best is None or ALGORITHMS.index(algorithm) < ALGORITHMS.index(best.get("algorithm", "MD5").upper()):
            best = parameters
    return best


def digest_answer(
    challenge: Mapping[str, str], method: str, uri: str, username: str, password: str, cnonce: str, count: int = 1
) -> str:
    """The value of Authorization for the parameters of a challenge (RFC 7616, 3.4); ``count`` is the nonce count."""
    algorithm = challenge.get("algorithm", "MD5")
    digest = _DIGESTS[algorithm.upper()]
    secret = digest(":".join((username, challenge["realm"], password)))
    action = digest("{0}:{1}".format(method, uri))
    fields = [
        ("username", quote(username)),
        ("realm", quote(challenge["realm"])),
        ("nonce", quote(challenge["nonce"])),
        ("uri", quote(uri)),
        ("algorithm", algorithm),
    ]
    if "qop" in challenge:
        number = "{0:08x}".format(count)
        response = digest(":".join((secret, challenge["nonce"], number, cnonce, "auth", action)))
        fields += [("qop", "auth"), ("nc", number), ("cnonce", quote(cnonce))]
    else:
        response = digest(":".join((secret, challenge["nonce"], action)))
    fields.append(("response", quote(response)))
    if "opaque" in challenge:
        fields.append(("opaque", quote(challenge["opaque"])))
    return "Digest " + ", ".join("{0}={1}".format(name, value) for name, value in fields)


def _md5(text: str) -> str:
    return hashlib.new("md5", text.encode("utf-8")).hexdigest()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


_DIGESTS = {"MD5": _md5, "SHA-256": _sha256}


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:80] + "…")


def _number(name: str, text: str, most: int) -> int:
    if not re.match(r"[0-9]{1,40}\Z", text, re.ASCII) or int(text) > most:
        raise SIPError("{0} {1} is not a number up to {2}".format(name, _shown(text), most))
    return int(text)


def _start(line: str) -> Message:
    match = _STATUS_LINE.match(line)
    if match:
        return Message(status=int(match.group(1)), reason=match.group(2))
    match = _REQUEST_LINE.match(line)
    if not match:
        raise SIPError("{0} is not a start line of SIP 2.0".format(_shown(line)))
    if parse_uri(match.group(2)).get("headers"):
        raise SIPError("header fields in the Request-URI {0}".format(_shown(match.group(2))))
    return Message(method=match.group(1), uri=match.group(2))


def _check(message: Message) -> None:
    """Check the header fields that every message must have, or may have once (RFC 3261, 8.1.1, 20)."""
    names = [name.lower() for name, _value in message.headers]
    for name in REQUIRED:
        if name.lower() not in names:
            raise SIPError("{0} is missing".format(name))
    for name in SINGLE:
        if names.count(name.lower()) > 1:
            raise SIPError("{0} is repeated".format(name))
    call_id = message.get("Call-ID") or ""
    if not _CALL_ID.match(call_id):
        raise SIPError("{0} is not a Call-ID".format(_shown(call_id)))
    number, method = message.cseq
    if number >= 2**31:
        raise SIPError("{0} is not a CSeq".format(_shown(message.get("CSeq") or "")))
    if message.method is not None and method != message.method:
        raise SIPError("CSeq is of {0}, the request is {1}".format(method, message.method))
    for name in ("From", "To"):
        parse_address(message.get(name) or "")
    for value in message.listed("Via"):
        parse_via(value)
    if message.all("Contact") != ["*"]:
        for value in message.listed("Contact"):
            # chan_sip answers "<>" for an account that has no contact.
            if message.method is not None or not value.startswith("<>"):
                parse_address(value)
    for name, most in (("Max-Forwards", 255), ("Expires", 2**32 - 1), ("Content-Length", MESSAGE_LIMIT)):
        found = message.get(name)
        if found is not None:
            _number(name, found, most)
    date = message.get("Date")
    if date is not None and not _DATE.match(date):
        raise SIPError("{0} is not a Date".format(_shown(date)))
