"""The HTML page of a run that is kept: its documents and evidence read, the site's wishes and secrets respected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import SecretStr

from reconnect.result import Result
from reconnect.runs import Run
from reconnect.settings import Settings

#: So many servers have their evidence on the page, if it is not too long.
_FEW = 60


def page_of(run: Run, results: Sequence[Result], settings: Settings) -> str:
    """The page of `run`; nothing of what `settings` keeps secret is on it."""
    # Only who wants a page pays for the template engine.
    from reconnect.html import page

    # The evidence of more servers would not fit onto a page.
    few = results if len(results) <= _FEW else ()
    evidence = {result.server: run.evidence(result.server) for result in few}
    return page(run.record, results, evidence, secrets_of(settings), settings.mask_numbers)


def secrets_of(settings: Settings) -> list[str]:
    """Every secret the settings hold."""
    return list(_secrets(settings.model_dump()))


def _secrets(value: Any) -> Iterator[str]:
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _secrets(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _secrets(inner)
