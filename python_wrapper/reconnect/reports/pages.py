"""The HTML page of a kept run: reads its documents and evidence, and masks what the site keeps secret."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import SecretStr

from reconnect.result import Result
from reconnect.runs.store import Run
from reconnect.settings import Settings

#: The most servers whose evidence is on the page.
_FEW = 60


def page_of(run: Run, results: Sequence[Result], settings: Settings) -> str:
    """The page of `run`, without any secret of `settings`."""
    # Loading the template engine takes time that only a page needs.
    from reconnect.reports.html import page

    # The evidence of more servers does not fit onto a page.
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
