"""Takes out of text and documents what no report may carry, and counts what it took.

The evidence is redacted where it is gathered; this is the second net, and the only one for log windows, configuration
and what a ticket says.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

MASK = "•••"

_DEPTH = 60

# Whole words of a field's name, so that `monkey` and `keep_alive` stay. `md5` names stored digests, `response` and
# `cnonce` what a client answers a challenge with.
_SECRET = (
    r"password|passwd|passphrase|passwort|pwd|pass|secret|md5secret|md5_cred|md5|ha1|digest|token|api[_-]?key|apikey"
    r"|private[_-]?key|privatekey|obfuscation[_.-]?key|encryption[_-]?key|licen[cs]e|licen[cs]e[_-]?code|licen[cs]e[_-]?key"
    r"|authorization|proxy-authorization|cookie|set-cookie|credential|credentials|cnonce|remotesecret|auth_pass"
)
_SECRET_NAME = re.compile(rf"(?:^|[_\-. ])(?:{_SECRET})(?:$|[_\-. ])", re.IGNORECASE)
# Asterisk's security event, and the names of its modules: neither holds anything.
_NOT_SECRET = re.compile(r"InvalidPassword|.*\.so")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# What such a field may say without giving anything away: whether it is set, how it compares, how large it is.
_HARMLESS = (bool, type(None))

_RULES: tuple[tuple[str, re.Pattern[str], str], ...] = (
    (
        "private keys",
        re.compile(
            r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)",
            re.DOTALL,
        ),
        f"{MASK} (private key)",
    ),
    (
        "digests",
        # A Digest header's parameters, `username` and `realm` excepted: they say who and where.
        re.compile(r"\b(response|cnonce|nonce|opaque)=\"?[0-9A-Za-z+/=._:-]+\"?", re.IGNORECASE),
        rf"\1={MASK}",
    ),
    ("credentials", re.compile(r"\b(Basic|Bearer)\s+[A-Za-z0-9+/=._~-]{6,}"), rf"\1 {MASK}"),
    ("credentials", re.compile(r"(?<=://)[^\s/@:]+:[^\s/@]+(?=@)"), MASK),
    ("media keys", re.compile(r"(?<=\binline:)[A-Za-z0-9+/=]{16,}"), MASK),
    (
        "passwords",
        # `password = x`, `"secret": "x"`, `passwd=x`, `<entry name="passwd">x<`; the value ends where it is closed.
        re.compile(
            rf"(?P<name>(?<![A-Za-z0-9])(?:[A-Za-z0-9]{{1,30}}[_\-.]){{0,4}}(?:{_SECRET})(?:[_\-.][A-Za-z0-9]{{1,30}}){{0,3}})"
            r"(?P<between>\"?'?(?:\s*(?:=>|=|:)\s*|(?:\s[^<>\n]{0,80})?>\s*))"
            rf"(?!\s|{MASK}|(?:true|false|null|none|yes|no)\b)"
            r"(?P<value>\"[^\"\n]*\"|'[^'\n]*'|[^\s\"'<>,;&}\]]+)",
            re.IGNORECASE,
        ),
        rf"\g<name>\g<between>{MASK}",
    ),
)
_NUMBER = re.compile(r"(?<![\w.:+])\+\d{6,15}(?![\w:])")


class Redaction:
    """One pass over what a report is made of; `taken` counts what was taken out, by kind."""

    def __init__(self, secrets: Iterable[str] = (), numbers: bool = False) -> None:
        """`secrets` are texts that may appear nowhere; `numbers` masks telephone numbers but for their last two
        digits."""
        self.taken: Counter[str] = Counter()
        self._secrets = sorted({secret for secret in secrets if len(secret) >= 4}, key=len, reverse=True)
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
        for kind, pattern, replacement in _RULES:
            text, count = pattern.subn(replacement, text)
            self.taken[kind] += count
        if self._numbers:
            text, count = _NUMBER.subn(lambda match: MASK + match[0][-2:], text)
            self.taken["telephone numbers"] += count
        return text

    def document(self, value: Any, depth: int = 0) -> Any:
        """A JSON document without secrets: what a field of a secret's name holds is masked, texts as in `text`.

        `{"set": true, "matches": false}` stays: it tells of a secret without holding it.
        """
        if depth > _DEPTH:
            return MASK
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(str(name)): self._field(str(name), inner, depth) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.document(inner, depth + 1) for inner in value]
        return value

    def _field(self, name: str, value: Any, depth: int) -> Any:
        # `key` alone is often a file's description; as a text it is the thing itself (obfuscation: {mode, key}).
        if not is_secret_name(name) and not (name.lower() == "key" and isinstance(value, str)):
            return self.document(value, depth + 1)
        return self._masked(value, depth)

    def _masked(self, value: Any, depth: int) -> Any:
        if depth > _DEPTH:
            return MASK
        if isinstance(value, _HARMLESS) or value in ("", MASK):
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
