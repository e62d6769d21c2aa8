"""Hours of the day, in the local time of this machine, as a site writes them: `22:00-06:00`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import time
from typing import Annotated

from pydantic import AfterValidator

_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


def _checked(value: str) -> str:
    if not _HOURS.fullmatch(value):
        raise ValueError("write hours as 22:00-06:00")
    return value


Hours = Annotated[str, AfterValidator(_checked)]


def within(hours: Sequence[str], at: time) -> bool:
    """Whether `at` is within any of these hours; without any it is."""
    return not hours or any(_within(one, at) for one in hours)


def _within(hours: str, at: time) -> bool:
    begin, end = (time.fromisoformat(part) for part in hours.split("-"))
    return begin <= at < end if begin <= end else at >= begin or at < end
