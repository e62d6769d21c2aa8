"""Masks secrets in text and documents, and counts what it masked.

The evidence is redacted where it is gathered. This is the second redaction, and the only one for log windows,
configuration and the incident's text.
"""

from __future__ import annotations

import html
import json
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from reconnect.reports import secret_forms
from reconnect.reports.secret_forms import FILE, MASK, Folded, is_secret_name
from reconnect.text import printable

if TYPE_CHECKING:
    from reconnect.runs.request import Request

_DEPTH = 60

# Fields that name the thing whose value stands in a field beside them, and how that one may be called.
_NAMING = ("name", "key", "path", "field", "setting", "parameter", "param", "id", "option", "variable")
_NAMED = ("value", "found", "expected", "wanted", "was", "val", "content", "default", "current", "old", "new")
# What such a field may say without giving anything away: whether it is set, how it compares, how large it is.
_HARMLESS = (bool, type(None))
_MASKED = re.compile(rf"{MASK}|\**|{FILE}")
_DECODER = json.JSONDecoder(object_pairs_hook=lambda pairs: _each_once(pairs))
_JSON = re.compile(r"[{\[](?=\s{0,99}[\"{\[])")

_URL = re.compile(r"https?://[^\s\"'<>]{1,2000}", re.IGNORECASE)
_LINK = re.compile(
    r"activ|attiv|aktivier|provision|enrol|invit|onboard|reset|verif|magic|token|otp|webhook|^hooks?\b", re.IGNORECASE
)
# What is random in a link: long, of small and capital letters and digits.
_RANDOM = re.compile(r"(?=[\w-]*[a-z])(?=[\w-]*[A-Z])(?=[\w-]*\d)[\w-]{24,}")
_NUMBER = re.compile(r"(?<![\w.:+])\+\d{6,15}(?![\w:])")


class Redaction:
    """One pass over what a report is made of; `taken` counts what was taken out, by kind."""

    def __init__(self, secrets: Iterable[str] = (), numbers: bool = False) -> None:
        """`secrets` are texts that may appear nowhere; `numbers` masks telephone numbers but for their last two
        digits."""
        self.taken: Counter[str] = Counter()
        known = {form for secret in secrets if len(secret) >= 4 for form in _forms(secret)}
        self._secrets = sorted(known, key=len, reverse=True)
        self._folded = [Folded(secret).text for secret in self._secrets]
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
        return self._text(text, 0)

    def _text(self, text: str, depth: int, lines: bool = False) -> str:
        """`text` without secrets, those of the JSON documents in it included; with `lines` it has as many lines after
        it."""
        if depth > _DEPTH:
            return MASK
        done, place = list[str](), 0
        for start, end, document in _documents(text):
            region = text[start:end]
            if lines and "\n" in region:
                continue
            before = text[place:start]
            if secret_forms.NAME_BEFORE.search(before):
                clean = self._masked(document, depth)
            else:
                clean = self.document(document, depth + 1)
            done.append(self._plain(before, lines))
            changed = clean != document
            indent = 2 if "\n" in region else None
            done.append(json.dumps(clean, ensure_ascii=False, indent=indent) if changed else region)
            place = end
        text = "".join(done) + self._plain(text[place:], lines)
        if self._numbers:
            text, count = _NUMBER.subn(lambda match: MASK + match[0][-2:], text)
            self.taken["telephone numbers"] += count
        return text

    def _plain(self, text: str, lines: bool) -> str:
        text = self.known(text)
        done, place = list[str](), 0
        for start, end, kind in sorted(secret_forms.find(text, self._folded), key=lambda found: (found[0], -found[1])):
            secret = text[max(start, place) : end]
            if end <= place or not secret.strip("\"'`\\*• \t\r\n"):
                continue
            if start >= place:
                done.append(text[place:start] + MASK)
                self.taken[kind] += 1
            done.append("\n" * secret.count("\n") if lines else "")
            place = end
        return _URL.sub(self._link, "".join(done) + text[place:])

    def document(self, value: Any, depth: int = 0) -> Any:
        """A JSON document without secrets: what a field of a secret's name holds is masked, texts as in `text`.

        `{"set": true, "matches": false}` stays: it is about a secret and does not hold it.
        """
        if depth > _DEPTH:
            return MASK
        if isinstance(value, str):
            return self._text(value, depth)
        if isinstance(value, dict):
            named = any(is_secret_name(_last(value.get(name))) for name in _NAMING)
            return {
                self.text(str(name)): self._masked(inner, depth)
                if named and name in _NAMED
                else self._field(str(name), inner, depth, any(one in value for one in _NAMED))
                for name, inner in value.items()
            }
        if isinstance(value, list | tuple):
            # A secret may begin on one line and end on another.
            if len(value) > 1 and all(isinstance(inner, str) for inner in value):
                lines = iter(self._text("\n".join(value), depth, lines=True).split("\n"))
                return ["\n".join(next(lines) for _ in range(inner.count("\n") + 1)) for inner in value]
            return [self.document(inner, depth + 1) for inner in value]
        return value

    def _link(self, url: re.Match[str]) -> str:
        """A link without what makes it a secret: that of an activation is as good as the password that it brings."""
        parts = re.split(r"([/?&=#;])", url[0])
        # Scheme and host come first: `https:`, `/`, ``, `/`, `host`.
        named = re.match(r"(?:web)?hooks?\.", parts[4]) is not None if len(parts) > 4 else False
        for place in range(6, len(parts), 2):
            part = parts[place]
            # A document's name ends in what it is.
            secret = named and len(part) >= 6 and "." not in part and any(map(str.isdigit, part))
            if MASK not in part and (secret or _RANDOM.fullmatch(part)):
                parts[place] = MASK
                self.taken["links"] += 1
            named = named or bool(_LINK.search(part))
        return "".join(parts)

    def _field(self, name: str, value: Any, depth: int, names: bool) -> Any:
        # `key` alone is often a file's description, or it names the value beside it; else, as a text, it is the thing
        # itself (obfuscation: {mode, key}).
        if not is_secret_name(name) and (names or name.lower() != "key" or not isinstance(value, str)):
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


def command_of(request: Request) -> list[str]:
    """The command of a run for others than who typed it: variables for Ansible have their names only, since a value may
    be a secret under any name. They are what was parsed, wherever they stand: `-e a=1`, `-ea=1`, `-De a=1`. What is not
    seen is shown."""
    typed = sorted(request.extra_vars, key=len, reverse=True)

    def shown(word: str) -> str:
        value = next(filter(word.endswith, typed), "")
        return word.removesuffix(value) + names_only(value) if value else word

    return [printable(shown(word)) for word in request.command]


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


def _documents(text: str) -> Iterator[tuple[int, int, Any]]:
    """The JSON documents in a text, and where they stand."""
    place, left = 0, 20 * len(text)
    for match in _JSON.finditer(text):
        if match.start() < place or left < 0:
            continue
        try:
            document, place = _DECODER.raw_decode(text, match.start())
        except json.JSONDecodeError as error:
            left -= error.pos - match.start()
        except (ValueError, RecursionError):
            left -= len(text)
        else:
            yield match.start(), place, document


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are there once: of one that is there twice, a value would be lost."""
    if len(document := dict(pairs)) < len(pairs):
        raise ValueError("a name is there twice")
    return document


def _last(name: object) -> str:
    """The last part of a dotted path."""
    return name.rpartition(".")[2] if isinstance(name, str) else ""


def _forms(secret: str) -> set[str]:
    """A secret as it stands in a text, in a URL, in JSON and in HTML."""
    return {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], html.escape(secret)}
