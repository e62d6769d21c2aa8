"""Masks secrets in text and documents, and counts what it masked.

The evidence is redacted where it is gathered. This is the second redaction, and the only one for log windows,
configuration and the incident's text.
"""

from __future__ import annotations

import functools
import html
import json
import re
import shlex
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from reconnect.runs.request import Request

MASK = "•••"
_DEPTH = 60

# Whole words of a field's name, so that `monkey` and `keep_alive` stay. `md5` names stored digests, `response` and
# `cnonce` what a client answers a challenge with. Incidents are written in the language of their users.
_WORDS = (
    r"pass|pwd|pw|pin|puk|psk|pre[_-]?shared[_-]?key|md5secret|md5_cred|md5|ha1|digest|token|otp|api[_-]?key"
    r"|private[_-]?key|obfuscation[_.-]?key|encryption[_-]?key|licen[cs]e(?:[_-]?(?:code|key))?"
    r"|activation[_ -]?(?:code|key)|authorization|proxy-authorization|cookie|set-cookie|credentials?|cnonce|auth_pass"
    r"|parola(?:[ _-](?:d['’]ordine|chiave|segreta))?|segreto|chiave(?:[ _-]segreta)?"
    r"|codice[ _-](?:pin|segreto|di[ _-](?:attivazione|accesso|sicurezza))"
    r"|kennwort|geheimnis|geheimzahl|zugangs(?:code|daten)|aktivierungs(?:code|schlüssel)|freischaltcode"
    r"|mot[ _-]?de[ _-]?passe|mdp|code[ _-](?:secret|pin|d['’](?:activation|accès))|cl[ée][ _-](?:secrète|privée)"
    r"|contrase(?:ñ|n|ny)a|clave(?:[ _-](?:secreta|de[ _-]acceso))?"
    r"|c[óo]digo[ _-](?:pin|secreto|de[ _-](?:activaci[óo]n|acceso))"
)
# These may be the end of a longer word, too: `userpassword`.
_ENDS = r"passw(?:or)?d|passwort|passphrase|secret"
_SECRET = rf"(?:(?<![A-Za-z0-9])(?:{_WORDS})|{_ENDS})"
_SECRET_NAME = re.compile(rf"{_SECRET}(?:$|[_\-. ])", re.IGNORECASE)
# Asterisk's security event, and the names of its modules: neither holds anything.
_NOT_SECRET = re.compile(r"InvalidPassword|.*\.so")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# Fields that name the thing whose value stands in a field beside them, and how that one may be called.
_NAMING = ("name", "key", "path", "field", "setting", "parameter")
_NAMED = ("value", "found", "expected", "wanted", "was")
# What such a field may say without giving anything away: whether it is set, how it compares, how large it is.
_HARMLESS = (bool, type(None))
_MASKED = re.compile(rf"{MASK}|\**")

# How a value may be quoted: plainly, escaped in a JSON text within another, in a URL, in HTML.
_QUOTE = r"(?:\\+[\"']|%22|%27|&quot;|&#3[49];)"
_QUOTED = (
    r"(?:\"(?:\\[^\n]|\"\"|[^\"\\\n])*\"?|'(?:\\[^\n]|''|[^'\\\n])*'?"
    rf"|(?P<quote>{_QUOTE})(?:(?!(?P=quote))[^\n])*(?P=quote)?)"
)
# Without quotes a value ends where another name begins, or with a sign that nothing follows.
_BARE = (
    r"(?:[^\s\"'<>,;&}\])%\\]|%(?!2[267])"
    r"|[,;&}\])\"'\\](?=[^\s,;&}\])\"'\\<>])(?![\w.-]{1,40}[\"']?\s{0,3}[=:]))+"
)
_NAME = rf"{_SECRET}(?:[_\-.][A-Za-z0-9]{{1,30}}){{0,3}}(?![A-Za-z0-9])"
# What stands where a value could stand and says nothing: whether one is set, and what was masked before.
_NOTHING = rf"(?!\s|{MASK}|(?:true|false|null|none|yes|no|set|unset)\b|(?:\"\"|'')(?![\"']))"


def _rule(kind: str, pattern: str, replacement: str = MASK, flags: int = re.IGNORECASE) -> tuple[str, str, str, int]:
    return kind, pattern, replacement, flags


# By structure first: what a header, a command, a statement, an address says. Names and values are next, and what only
# looks like a secret is last.
_RULES = (
    _rule(
        "private keys",
        r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)",
        f"{MASK} (private key)",
        re.DOTALL,
    ),
    _rule(
        "cookies",
        rf"\b((?:set-)?cookie2?(?:[\"']|{_QUOTE})?\s{{0,3}}[:=]\s{{0,3}}(?:[\"']|{_QUOTE})?)(?!\s|{MASK})[^\"'\\\r\n]+",
        rf"\1{MASK}",
    ),
    # A Digest header's parameters, `username` and `realm` excepted: they say who and where.
    _rule(
        "digests",
        r"\b(response|cnonce|nonce|opaque|expectedresponse|receivedhash)=\\*\"?[0-9A-Za-z+/=._:-]+\\*\"?",
        rf"\1={MASK}",
    ),
    # Any other scheme, to the end of the header: `Basic …`, `NTLM …`, `Negotiate …`, `Token …`.
    _rule(
        "credentials",
        rf"\b((?:proxy-)?authori[sz]ation(?:[\"']|{_QUOTE})?\s{{0,3}}[:=]\s{{0,3}}(?:[\"']|{_QUOTE})?)"
        rf"(?!\s|{MASK}|digest\b)([a-z][a-z0-9-]{{0,30}} +)?[^\"'\\\r\n]+",
        rf"\1\2{MASK}",
    ),
    _rule(
        "credentials",
        r"\b(?:((?i:basic|ntlm|negotiate))\s{1,3}(?=\S{0,80}(?:[0-9=]|[a-z][A-Z]))[A-Za-z0-9+/=]{8,}"
        r"|((?i:bearer|token|apikey))\s{1,3}(?=\S{0,80}[0-9=])[A-Za-z0-9+/=._~-]{6,})",
        rf"\1\2 {MASK}",
        0,
    ),
    _rule("credentials", r"(?<=://)[^\s/@:?#\"'<>]{0,100}:[^\s/?#\"'<>]{1,200}(?=@)"),
    _rule("credentials", r"(?<=%3A%2F%2F)[^\s&%]{0,100}%3A[^\s&]{1,100}?(?=%40)"),
    _rule(
        "credentials",
        r"\b(sips?(?::|%3A)[\w.+-]{1,80}(?::|%3A))[^\s@<>\"']{1,100}?(?=@|%40)",
        rf"\1{MASK}",
    ),
    # `IDENTIFIED BY 'x'`, `WITH PASSWORD 'x'`, `PASSWORD('x')`.
    _rule(
        "passwords",
        rf"\b(identified\s{{1,3}}(?:with\s{{1,3}}\S{{1,80}}\s{{1,3}})?(?:by|as)(?:\s{{1,3}}password)?\s{{0,3}}"
        rf"|password\s{{0,3}}\(?\s{{0,3}}(?=[\"']))(?:{_QUOTED}|[^\s;,]+)",
        rf"\1{MASK}",
    ),
    _rule(
        "passwords",
        rf"(?<![\w-])(--?(?:[a-z0-9]{{1,30}}-){{0,3}}{_SECRET}(?:\s{{1,3}}|=))(?![-\s])(?:{_QUOTED}|\S+)",
        rf"\1{MASK}",
    ),
    _rule(
        "passwords",
        r"\b(sshpass\s{1,3}-p\s{0,3}|(?:mysql|mariadb)[a-z-]{0,20}\s(?:[^\n|;]{0,200}?\s)?-p"
        r"|(?:curl|wget)\s(?:[^\n|;]{0,200}?\s)?(?:-u|--(?:proxy-)?user)[\s=]{0,3}[\"']?(?!https?:)[^\s:\"']{1,80}:)"
        r"(?!\s)[^\s\"']+",
        rf"\1{MASK}",
        0,
    ),
    _rule("media keys", r"(?<=\binline:)[A-Za-z0-9+/=]{16,}"),
    _rule("media keys", r"(?<![^\s\"'])(k=(?:clear|base64|uri):)\S+", rf"\1{MASK}"),
    # `<passwd>x</passwd>`, `<entry name="passwd">x<`.
    _rule("passwords", rf"(<[^<>\n]{{0,80}}?{_NAME}[^<>\n]{{0,80}}>)(?!\s{{0,80}}<|{MASK})[^<\n]+", rf"\1{MASK}"),
    # `password = x`, `"secret": "x"`, `passwd=x`, and the same within another text.
    _rule(
        "passwords",
        rf"(?P<name>{_NAME}(?:[\"']|{_QUOTE})?\s{{0,40}}(?:=>|->|→|=|:|%3D|%3A)\s{{0,40}}){_NOTHING}(?:{_QUOTED}|{_BARE})",
        rf"\g<name>{MASK}",
    ),
    # "The password is x", in the languages of our users: a value has a digit or quotes, a judgement has none.
    _rule(
        "passwords",
        rf"({_NAME}[^\S\n]{{1,3}}(?:is|was|è|e'|era|ist|war|lautet|est|était|es)[^\S\n]{{0,3}}:?[^\S\n]{{1,3}})"
        rf"(?=\S{{0,80}}[0-9\"'])(?:{_QUOTED}|\S+)",
        rf"\1{MASK}",
    ),
    # Forms that only secrets have: JSON Web Tokens, keys of well-known services.
    _rule(
        "tokens",
        r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_\w{20,}|\bglpat-[\w-]{16,}"
        r"|\bxox[abpr]-[\w-]{10,}|\b[sr]k_(?:live|test)_\w{10,}",
        flags=0,
    ),
)


@functools.cache
def _compiled() -> list[tuple[str, re.Pattern[str], str]]:
    """The rules. To compile them takes longer than to load anything else here, and most commands redact nothing."""
    return [(kind, re.compile(pattern, flags), replacement) for kind, pattern, replacement, flags in _RULES]


_URL = re.compile(r"https?://[^\s\"'<>]{1,2000}", re.IGNORECASE)
_LINK = re.compile(r"activ|attiv|aktivier|provision|enrol|invit|onboard|reset|verif|magic|token|otp", re.IGNORECASE)
# What is random in a link: long, of small and capital letters and digits.
_RANDOM = re.compile(r"(?=[\w-]*[a-z])(?=[\w-]*[A-Z])(?=[\w-]*\d)[\w-]{24,}")
# A text without one of these holds nothing that a rule would find.
_HINT = re.compile(
    rf"{_SECRET}|[@%]|://|=|inline:|PRIVATE KEY|authori[sz]ation|basic|ntlm|negotiate|bearer|identified|-p|-u"
    r"|eyJ|[AKS]IA|gh._|glpat|xox|[sr]k_",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?<![\w.:+])\+\d{6,15}(?![\w:])")


class Redaction:
    """One pass over what a report is made of; `taken` counts what was taken out, by kind."""

    def __init__(self, secrets: Iterable[str] = (), numbers: bool = False) -> None:
        """`secrets` are texts that may appear nowhere; `numbers` masks telephone numbers but for their last two
        digits."""
        self.taken: Counter[str] = Counter()
        known = {form for secret in secrets if len(secret) >= 4 for form in _forms(secret)}
        self._secrets = sorted(known, key=len, reverse=True)
        self._numbers = numbers

    def known(self, text: str) -> str:
        """`text` without the secrets that are known."""
        for secret in self._secrets:
            if secret in text:
                self.taken["known secrets"] += text.count(secret)
                text = text.replace(secret, MASK)
        return text

    def text(self, text: str) -> str:
        """`text` without secrets."""
        text = self.known(text)
        if _HINT.search(text):
            for kind, pattern, replacement in _compiled():
                text, count = pattern.subn(replacement, text)
                self.taken[kind] += count
            text = _URL.sub(self._link, text)
        if self._numbers:
            text, count = _NUMBER.subn(lambda match: MASK + match[0][-2:], text)
            self.taken["telephone numbers"] += count
        return text

    def document(self, value: Any, depth: int = 0) -> Any:
        """A JSON document without secrets: what a field of a secret's name holds is masked, texts as in `text`.

        `{"set": true, "matches": false}` stays: it is about a secret and does not hold it.
        """
        if depth > _DEPTH:
            return MASK
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            named = any(is_secret_name(_last(value.get(name))) for name in _NAMING)
            return {
                self.text(str(name)): self._masked(inner, depth)
                if named and name in _NAMED
                else self._field(str(name), inner, depth)
                for name, inner in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.document(inner, depth + 1) for inner in value]
        return value

    def _link(self, url: re.Match[str]) -> str:
        """A link without what makes it a secret: that of an activation is as good as the password that it brings."""
        parts = re.split(r"([/?&=#;])", url[0])
        named = False
        # Scheme and host come first: `https:`, `/`, ``, `/`, `host`.
        for place in range(6, len(parts), 2):
            part = parts[place]
            # A document's name ends in what it is.
            secret = named and len(part) >= 6 and "." not in part and any(map(str.isdigit, part))
            if MASK not in part and (secret or _RANDOM.fullmatch(part)):
                parts[place] = MASK
                self.taken["links"] += 1
            named = named or bool(_LINK.search(part))
        return "".join(parts)

    def _field(self, name: str, value: Any, depth: int) -> Any:
        # `key` alone is often a file's description; as a text it is the thing itself (obfuscation: {mode, key}).
        if not is_secret_name(name) and not (name.lower() == "key" and isinstance(value, str)):
            return self.document(value, depth + 1)
        return self._masked(value, depth)

    def _masked(self, value: Any, depth: int) -> Any:
        if depth > _DEPTH:
            return MASK
        if isinstance(value, _HARMLESS) or (isinstance(value, str) and _MASKED.fullmatch(value)):
            return value
        if isinstance(value, dict):
            return {self.text(str(name)): self._masked(inner, depth + 1) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self._masked(inner, depth + 1) for inner in value]
        self.taken["passwords"] += 1
        return MASK


def is_secret_name(name: str) -> bool:
    """Whether a field of this name holds something secret: `md5_cred`, `sipPassword`, `obfuscation.key`."""
    return not _NOT_SECRET.fullmatch(name) and bool(_SECRET_NAME.search(_CAMEL.sub("_", name)))


def command_of(request: Request) -> list[str]:
    """The command of a run for others than who typed it: variables for Ansible have their names only, since a value may
    be a secret under any name. They are what was parsed, wherever they stand: `-e a=1`, `-ea=1`, `-De a=1`."""
    typed = sorted(request.extra_vars, key=len, reverse=True)

    def shown(word: str) -> str:
        value = next(filter(word.endswith, typed), "")
        return word.removesuffix(value) + names_only(value) if value else word

    return [shown(word) for word in request.command]


def names_only(typed: str) -> str:
    """What was typed as variables for Ansible, without their values; a file of variables stays."""
    if typed.startswith("@"):
        return typed
    try:
        if typed.startswith("{"):
            return json.dumps(dict.fromkeys(json.loads(typed), MASK), ensure_ascii=False)
        return " ".join(f"{part.partition('=')[0]}={MASK}" for part in shlex.split(typed) if "=" in part) or MASK
    except ValueError:
        return MASK


def _last(name: object) -> str:
    """The last part of a dotted path."""
    return name.rpartition(".")[2] if isinstance(name, str) else ""


def _forms(secret: str) -> set[str]:
    """A secret as it stands in a text, in a URL, in JSON and in HTML."""
    return {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], html.escape(secret)}
