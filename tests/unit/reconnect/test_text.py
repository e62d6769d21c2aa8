from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils import _common
from hypothesis import given
from hypothesis import strategies as st
from reconnect import common
from reconnect.text import is_storable, one_line, printable, printable_document


@given(st.text())
def test_one_line_is_one_printable_line(text: str) -> None:
    line = one_line(text)
    assert line.isprintable() or max(line, default="a") >= "\u00a0"
    assert len(line.splitlines()) <= 1
    assert len(line) <= 400


@pytest.mark.parametrize(
    "mark",
    ["\x1b", "\x9b", "\u202e", "\u2066", "\u200f", "\x00", "\x7f", "\u061c", "\xad", "\u180e", "\u3164", "\U000e0041"],
)
def test_marks_that_steer_a_terminal_become_visible(mark: str) -> None:
    assert mark not in one_line(f"a{mark}b")
    assert mark not in printable(f"a{mark}b")


def test_what_both_have_in_common_is_one_file() -> None:
    assert Path(common.__file__).samefile(_common.__file__)


def test_lines_survive_where_lines_are_wanted() -> None:
    assert printable("a\n\tb\r") == "a\n\tb\\x0d"


def test_what_is_long_is_cut() -> None:
    assert one_line("x" * 500, 10) == "xxxxxxxxx…"


def test_a_document_is_printable_with_its_names() -> None:
    assert printable_document({"a\u202e": ["b\0", 1, None]}) == {"a\\u202e": ["b\\x00", 1, None]}


@pytest.mark.parametrize("text", ["a\ud800", "\0", "\udfff"])
def test_what_cannot_be_stored_is_found_anywhere(text: str) -> None:
    assert not any(map(is_storable, (text, [text], {text: 1}, {"a": [{"b": text}]})))
    assert is_storable({"a": ["\U0001f600", "\n", 1, None, True]})
