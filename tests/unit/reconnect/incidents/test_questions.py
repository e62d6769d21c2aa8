from __future__ import annotations

from reconnect.incidents import questions


def test_the_same_problems_are_the_same_question() -> None:
    first, second = questions.question(["a", "b"]), questions.question(["b", "a"])
    assert first == second
    assert "  - a\n  - b\n" in first.text
    assert questions.question(["a"]).marker != first.marker
