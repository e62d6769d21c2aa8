"""What an incident is asked where its input is missing or invalid."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from reconnect import texts
from reconnect.incidents.trackers.tracker import Comment
from reconnect.texts import Language


def question(problems: Iterable[str], language: Language = "en", executed: bool = False) -> Comment:
    """The comment that asks about `problems`; `executed`: the run did without. The same problems, the same question."""
    told = sorted(problems)
    marker = hashlib.sha256("\n".join(told).encode(errors="replace")).hexdigest()[:16]
    lines = [
        texts.text("question.open" if executed else "question.begin", language),
        "",
        *(f"  - {problem}" for problem in told),
        "",
        texts.text("question.answer" if executed else "question.end", language),
    ]
    return Comment(f"reconnect-question-{marker}", "\n".join(lines))
