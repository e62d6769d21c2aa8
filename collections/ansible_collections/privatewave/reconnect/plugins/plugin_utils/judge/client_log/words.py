# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of client logs in words: names of errors, and four more languages, of which ``words.yml`` has the words."""

from __future__ import annotations

import contextlib
import functools
import re
import unicodedata
from pathlib import Path

from ..tables import load

WORDS = Path(__file__).with_name("words.yml")
#: Where a word begins within a name that a program gave an error.
_JOINT = re.compile(r"(?<=[a-z])(?=[A-Z])|_")
#: A word; a letter with an accent may have become another sign.
_WORD = re.compile(r"(?:[^\W\d_]|\ufffd){2,30}")


def readable(line: str) -> str:
    """A line as signatures of ours match it: in lower case, what are names in it a second time as words, and of a line
    in another language the words that are known, in English.

    ``ERR_CONNECTION_REFUSED`` and ``ConnectionRefused`` are a connection refused, ``Connexion refusée`` is
    ``·connection·refused·``. A typesetter's apostrophe is one.
    """
    with contextlib.suppress(UnicodeError):
        # UTF-8 that was read as something else.
        line = line.encode("cp1252").decode() if "Ã" in line else line
    line = unicodedata.normalize("NFC", line.replace("\u2019", "'"))
    words = _JOINT.sub(" ", line).lower()
    own = [line.lower()] if words == line.lower() else [line.lower(), words]
    found = [english(word) for word in _WORD.findall(own[0])]
    if any(foreign for _word, foreign in found):
        own.append(f"·{'·'.join(word for word, _foreign in found if word)}·")
    return "\n".join(own)


@functools.cache
def _words() -> dict[str, tuple[str, bool]]:
    """The English word for each that is known, and whether English has it not."""
    rows = load(WORDS.read_text(encoding="utf-8")).items()
    # Screens and logs lose accents, or the letters that have them; without that of its ending a word may be another.
    kinds = [(name.replace(" ", "·"), row[kind], kind == "foreign") for name, row in rows for kind in row]
    known = {word: (name, foreign) for name, words, foreign in kinds for word in words}
    spoiled = [(word, meant) for word, meant in known.items() if len(word) > 4 and word.rstrip("*")[-1].isascii()]
    bare = {
        unicodedata.normalize(form, word).encode("ascii", "ignore").decode(): meant
        for word, meant in spoiled
        for form in ("NFC", "NFD")
    }
    return {**bare, **known}


@functools.lru_cache(maxsize=4096)
def english(word: str) -> tuple[str, bool]:
    """The English word for one, and whether English has it not; "" where it is not known.

    German puts words together, and the last one says what it is: ``Serverzertifikat``.
    """
    word = word.replace("\ufffd", "")
    stems = (f"{word[:length]}*" for length in range(len(word), 3, -1))
    ends = (f"{word[first:]}{star}" for first in range(3, len(word) - 6) for star in ("", "*"))
    return next((known for name in (word, *stems, *ends) if (known := _words().get(name)) is not None), ("", False))
