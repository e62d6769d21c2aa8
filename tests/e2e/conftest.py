"""What the end-to-end tests share: the lab and the command, both as a person would call them."""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from trials import tools
from trials.cases import SERVERS
from trials.tools import LOCK_ORDER, Ended, Lab, locked


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--record`` keeps the evidence of the healthy servers under tests/evidence, ``--moments`` kills more often,
    ``--once`` takes each test on one of its servers."""
    parser.addoption("--record", action="store_true", help="keep the evidence of healthy servers under tests/evidence")
    parser.addoption("--once", action="store_true", help="run each test on one of its servers, as CI does")
    parser.addoption("--moments", type=int, default=2, help="kill the command at so many random moments of a fix")


def pytest_configure(config: pytest.Config) -> None:
    """The mark that says whose turn a test waits for."""
    # What a test starts by itself, to kill or interrupt it, has all that it starts below it.
    os.environ.setdefault("RECONNECT_WARM", "0")
    config.addinivalue_line("markers", "hosts(*names): the hosts a test needs for itself, beside its own `server`")


def pytest_sessionstart(session: pytest.Session) -> None:
    """The lab is up before any test begins: nobody could wait for that beside a test that breaks a host."""
    if not hasattr(session.config, "workerinput") and not session.config.option.collectonly:
        with locked(LOCK_ORDER):
            Lab()("up", limit=900)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes a ``moment`` runs for as many as were asked for, on either server in turn."""
    if "moment" in metafunc.fixturenames:
        moments = [(moment, ("pbx22", "pbx16")[moment % 2]) for moment in range(metafunc.config.getoption("--moments"))]
        metafunc.parametrize(("moment", "server"), moments)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """At the end come the tests for which several servers have to wait."""
    if config.option.once:
        chosen = on_one_server(items)
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen
    items.sort(key=lambda item: len(hosts(item).intersection(SERVERS)) > 1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Of several processes each takes the tests of a server, one those of pages, one all others."""
    from xdist.scheduler import LoadScopeScheduling

    class ByServer(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return next((scope for scope in (*SERVERS, "test_page.py") if scope in nodeid), "others")

    return ByServer(config, log)


def on_one_server(items: list[pytest.Item]) -> list[pytest.Item]:
    """Of each test, and of each of its other parameters, the one on one server; which one, its name alone decides."""
    groups: dict[str, list[pytest.Item]] = {}
    for item in items:
        server = item.callspec.params.get("server") if hasattr(item, "callspec") else None
        groups.setdefault(item.nodeid.replace(server, "") if server else item.nodeid, []).append(item)
    return [group[zlib.crc32(name.encode()) % len(group)] for name, group in groups.items()]


def hosts(item: pytest.Item) -> frozenset[str]:
    """The hosts that nobody else may change meanwhile: those of the mark and the server that the test is for, every
    one where there is neither."""
    mark = item.get_closest_marker("hosts")
    server = item.callspec.params.get("server") if hasattr(item, "callspec") else None
    if mark is None and server is None:
        return frozenset(LOCK_ORDER)
    return frozenset([*(mark.args if mark else ()), *([server] if server else ())])


@pytest.fixture(autouse=True)
def alone(request: pytest.FixtureRequest) -> Iterator[None]:
    """The test has its hosts for itself: other processes wait, those of `make faults` too."""
    with locked(hosts(request.node)):
        yield


@pytest.fixture(scope="session")
def lab() -> Lab:
    """The lab, which is up."""
    return Lab()


@pytest.fixture
def reconnect(tmp_path: Path) -> Callable[..., Ended]:
    """Call the command with a state directory of its own; ``--json`` unless told otherwise."""

    def run(*words: str, json_output: bool = True, limit: float = 180) -> Ended:
        return tools.reconnect(tmp_path, *words, json_output=json_output, limit=limit)

    return run


@pytest.fixture
def broken(lab: Lab) -> Callable[..., AbstractContextManager[None]]:
    """Faults in effect, healed afterwards in the opposite order."""

    @contextlib.contextmanager
    def make(server: str, *faults: str) -> Iterator[None]:
        # No run has fixed it lately, and what clients tried before is another test's.
        log = "/var/log/asterisk/security.log"
        lab.run(server, "sh", "-c", f"rm -f /var/lib/reconnect/state.json; truncate --no-create --size=0 {log}")
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
