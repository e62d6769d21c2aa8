# SPDX-License-Identifier: GPL-3.0-or-later
"""A plot is one SVG document, with bars as long as what was measured."""

from __future__ import annotations

import xml.etree.ElementTree as Tree

import pytest
from plots import LABELS, SAID, WIDTH, Bar, bars

SVG = "{http://www.w3.org/2000/svg}"


def test_bars_are_as_long_as_their_medians() -> None:
    plot = Tree.fromstring(bars("Seconds", [Bar("one", 1, 0.5, 2, "1 s", own=True), Bar("two", 3, 2, 4, "3 s")], ""))
    one, two = [float(rect.get("width", "0")) for rect in plot.findall(f"{SVG}rect")[1:]]
    assert two == pytest.approx(3 * one)
    # The longest range ends where the numbers begin.
    assert 4 * one == pytest.approx(WIDTH - LABELS - SAID, abs=0.5)


def test_all_that_it_holds_for_is_in_the_picture() -> None:
    plot = Tree.fromstring(bars("Seconds", [Bar("one", 1, 1, 1, "1 s")], ", ".join(["ansible-core 2.19.14"] * 20)))
    last = plot.findall(f"{SVG}text")[3:]
    assert sum((text.text or "").count("ansible") for text in last) == 20
    assert len(last) > 1
    assert all(len(text.text or "") <= 130 for text in last)
    assert float(last[-1].get("y", "0")) < float(plot.get("viewBox", "").split()[-1])


def test_names_are_text() -> None:
    plot = Tree.fromstring(bars("a < b", [Bar("<script>", 1, 1, 1, "1 & 2")], "2 > 1 cores"))
    assert [text.text for text in plot.findall(f"{SVG}text")] == ["a < b", "<script>", "1 & 2", "2 > 1 cores"]
