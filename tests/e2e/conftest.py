"""What the end-to-end tests share: the lab and the command, both as a person would call them."""

from __future__ import annotations

from pathlib import Path

import pytest
from trials import tools
from trials.tools import Ended, Lab


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--record`` keeps the evidence of the healthy servers under tests/evidence."""
    parser.addoption("--record", action="store_true", help="keep the evidence of healthy servers under tests/evidence")


@pytest.fixture(scope="session")
def lab() -> Lab:
    """The lab, up."""
    here = Lab()
    here("up", limit=900)
    return here


@pytest.fixture
def reconnect(tmp_path: Path):
    """Call the command with a state directory of its own; ``--json`` unless told otherwise."""

    def run(*words: str, json_output: bool = True, limit: float = 180) -> Ended:
        return tools.reconnect(tmp_path, *words, json_output=json_output, limit=limit)

    return run
