# SPDX-License-Identifier: GPL-3.0-or-later
"""Hostile text, as it is shown."""

from __future__ import annotations

import unicodedata

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils import _text as text
from ansible_collections.privatewave.reconnect.plugins.module_utils._common import escape, plain_json


def test_a_log_line_cannot_move_the_cursor() -> None:
    assert text.printable("a\x1b[2Jb\r\u202ec\td") == "a\\x1b[2Jb\\x0d\\u202ec\td"
    assert len(text.printable("x" * 10000)) == text.TEXT_LIMIT + 1


@pytest.mark.attack("invisible and bidirectional characters")
def test_what_is_not_seen_is_escaped() -> None:
    # Whatever Unicode calls a format character, and fillers and marks that are shown as nothing.
    unseen = [
        chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) in ("Cc", "Cf", "Zl", "Zp", "Cs")
    ]
    # These signs are shown: they stand around the digits that follow.
    shown = {
        "\u0600",
        "\u0601",
        "\u0602",
        "\u0603",
        "\u0604",
        "\u0605",
        "\u06dd",
        "\u070f",
        "\u0890",
        "\u0891",
        "\u08e2",
    }
    shown |= {chr(code) for code in (0x110BD, 0x110CD, *range(0x13430, 0x13440))}
    for character in (
        {*unseen, *"\u034f\u115f\u1160\u180b\u2800\u3164\ufe0f\uffa0\U000e0041"} - shown - {"\t", "\n", "\r"}
    ):
        assert text.one_line(f"a{character}b") == f"a{escape(character)}b", hex(ord(character))
    assert text.printable("a\u061c\xad\u180e\u3164\U000e0041b") == r"a\u061c\xad\u180e\u3164\U000e0041b"
    assert text.one_line("Zoë, 電話, مرحبا, +39 02") == "Zoë, 電話, مرحبا, +39 02"


def test_yes_has_the_spellings_that_asterisk_takes() -> None:
    assert all(text.is_yes(one) for one in ("yes", "True", "y", "T", "1", 1, " on ", True))
    assert not any(text.is_yes(one) for one in ("no", "off", "", "0", 0, None, "yes!", False))


@pytest.mark.attack("JSON with numbers that it does not have", harm="wrong")
@pytest.mark.parametrize("content", ["[1e999]", b"[-1e999]", "[NaN]", '{"a": -Infinity}', "[" * 100_000, "{"])
def test_json_that_is_none_is_refused(content: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"finite|nested|Expecting"):
        plain_json(content)
    assert plain_json(b'[1.5, -2e3, 3, "NaN"]') == [1.5, -2000.0, 3, "NaN"]
