"""Texts by their ids, in English and Italian: for the user of the phone, and for the comment and the page.

The wording is in locale/LANGUAGE/LC_MESSAGES/reconnect.po. Arguments may be hostile: they are put in as they are and
never read as a template.
"""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Literal

from reconnect.result import Message

Language = Literal["en", "it"]

#: An entry of a .po file: its id and its text, in quotes, each of which may go on in the next lines.
_ENTRY = re.compile(r'^msgid (".*"(?:\n".*")*)\nmsgstr (".*"(?:\n".*")*)$', re.MULTILINE)


def text(identifier: str, language: Language = "en", **arguments: object) -> str:
    """The text with this id; the id itself where no catalogue has it, as one that another release wrote."""
    template = catalogue(language).get(identifier) or catalogue("en").get(identifier)
    return identifier if template is None else template.format(**arguments)


def message(said: Message | str | None, language: Language = "en") -> str:
    """The message for the user, in the user's language; a sentence that is not an id stays as it is."""
    if isinstance(said, Message):
        return text(said.id, language, **said.arguments)
    return text(said, language) if said else ""


def title(cause: str, english: str, language: Language = "en") -> str:
    """The title of a cause; the `english` one, as the judge wrote it, where the catalogue has no other."""
    return catalogue(language).get(f"cause.{cause}", english)


def sentence(english: str, language: Language = "en") -> str:
    """What the code said in English, in another language; the English where the catalogue does not have it."""
    for pattern, template in _sentences(language):
        if match := pattern.fullmatch(english):
            return template.format(**match.groupdict())
    return english


def state(word: str, language: Language = "en") -> str:
    """How a step of a run stands; the word itself where the catalogue does not have it."""
    return catalogue(language).get(f"state.{word}", word)


def seen(outcome: str, language: Language = "en") -> str:
    """What became of a client's attempt to register; the outcome itself where the catalogue does not have it."""
    return catalogue(language).get(f"seen.{outcome}", outcome)


@functools.cache
def _sentences(language: Language) -> list[tuple[re.Pattern[str], str]]:
    """The sentences that are their own ids: how the English one is known, and what it is in this language."""
    return [
        (re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+?)", re.escape(english))), template)
        for english, template in catalogue(language).items()
        if " " in english
    ]


@functools.cache
def catalogue(language: Language) -> dict[str, str]:
    """Every text of a language by its id."""
    # Ours have neither plurals nor contexts, so this reads them, and nobody waits for Babel to load.
    file = Path(__file__).with_name("locale") / language / "LC_MESSAGES" / "reconnect.po"
    entries = _ENTRY.findall(file.read_text(encoding="utf-8"))
    texts = {_unquoted(identifier): _unquoted(said) for identifier, said in entries}
    # That without an id is the head of the file.
    return {identifier: said for identifier, said in texts.items() if identifier}


def _unquoted(lines: str) -> str:
    """What the quoted strings of consecutive lines say; their escapes are those of JSON."""
    return "".join(json.loads(line) for line in lines.splitlines())
