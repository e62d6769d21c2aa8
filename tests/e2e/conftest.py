"""What the end-to-end tests share: the lab and the command, both as a person would call them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from trials import tools
from trials.tools import Ended, Lab


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--record`` keeps the evidence of the healthy servers under tests/evidence, ``--moments`` kills more often."""
    parser.addoption("--record", action="store_true", help="keep the evidence of healthy servers under tests/evidence")
    parser.addoption("--moments", type=int, default=2, help="kill the command at so many random moments of a fix")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes a ``moment`` runs for as many as were asked for."""
    if "moment" in metafunc.fixturenames:
        metafunc.parametrize("moment", range(metafunc.config.getoption("--moments")))


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


@pytest.fixture
def broken(lab):
    """Faults in effect, healed afterwards in the opposite order."""

    @contextlib.contextmanager
    def make(server: str, *faults: str) -> Iterator[None]:
        lab.run(server, "rm", "-f", "/var/lib/reconnect/state.json")
        begun: list[str] = []
        try:
            for fault in faults:
                begun.append(fault)
                lab("break", fault, "--host", server)
            yield
        finally:
            for fault in reversed(begun):
                lab("heal", fault, "--host", server)

    return make
