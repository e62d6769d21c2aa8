"""Locks end with whoever holds them, and nobody waits for somebody who waits for them."""

from __future__ import annotations

import re
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from reconnect.engine import locks
from reconnect.engine.locks import Locks, file_of, held
from reconnect.errors import ReconnectError
from reconnect.settings import Settings

from ..conftest import there


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path / "state")


def test_one_holds_what_another_has_to_wait_for(settings: Settings) -> None:
    first, second = Locks(settings), Locks(settings)
    assert first.take("server", "alpha")
    assert not second.take("server", "alpha")
    # Another thing of the same name, and another thing.
    assert second.take("worker", "alpha")
    assert second.take("server", "beta")
    first.release()
    assert second.take("server", "alpha")
    second.release()


@pytest.mark.parametrize("name", ["../../up", "a/b", "..", "\u202e", "x" * 60])
def test_a_name_never_becomes_a_path(settings: Settings, name: str) -> None:
    file = file_of(settings.state, "server", name)
    with held(settings, "server", [name]):
        assert [file] == list((settings.state / "locks" / "server").iterdir())
    for path in (file, file.parent, file.parent.parent, settings.state):
        assert not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO), path


def test_they_are_taken_in_the_same_order(settings: Settings) -> None:
    # Each holds one of the two and would wait for the other for ever.
    ended = []

    def work(names: list[str]) -> None:
        for _ in range(20):
            with held(settings, "server", names):
                pass
        ended.append(names)

    threads = [threading.Thread(target=work, args=(names,), daemon=True) for names in (["a", "b"], ["b", "a"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(ended) == 2


def test_who_gives_up_waits_no_longer(settings: Settings) -> None:
    with held(settings, "server", ["alpha"]), held(settings, "server", ["alpha"], lambda: True):
        assert not Locks(settings).take("server", "alpha")


def test_a_lock_ends_with_its_process(settings: Settings) -> None:
    holds = (
        "import sys, time; from pathlib import Path; from reconnect.engine.locks import Locks; "
        "from reconnect.settings import Settings; locks = Locks(Settings(state_dir=Path(sys.argv[1]))); "
        "print(locks.take('worker', '1'), flush=True); time.sleep(600)"
    )
    words = [sys.executable, "-c", holds, str(settings.state), "-De", "site=secret"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert there(process.stdout).readline() == "True\n"
        assert not Locks(settings).take("worker", "1")
        process.kill()
    assert Locks(settings).take("worker", "1")


def test_a_folder_that_is_in_the_way_is_one_sentence(settings: Settings) -> None:
    file_of(settings.state, "server", "alpha").mkdir(parents=True)
    with pytest.raises(ReconnectError, match="Is a directory"), held(settings, "server", ["alpha"]):
        pass


@pytest.mark.attack("a stopped process holds a lock", harm="hang")
def test_a_stopped_process_is_named_and_not_waited_for(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "STOPPED_SECONDS", 0.5)
    monkeypatch.setattr(locks, "_LOOK_SECONDS", 0.1)
    holds = (
        "import sys, time; from pathlib import Path; from reconnect.engine.locks import Locks; "
        "from reconnect.settings import Settings; locks = Locks(Settings(state_dir=Path(sys.argv[1]))); "
        "print(locks.take('server', 'alpha'), flush=True); time.sleep(600)"
    )
    words = [sys.executable, "-c", holds, str(settings.state), "-De", "site=secret"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert there(process.stdout).readline() == "True\n"
        try:
            # One that works is waited for.
            waited = threading.Event()
            threading.Timer(1.5, waited.set).start()
            with held(settings, "server", ["alpha"], waited.is_set):
                assert waited.is_set()
            process.send_signal(signal.SIGSTOP)
            with (
                pytest.raises(
                    locks.StoppedHolderError, match=rf"process {process.pid} \({re.escape(sys.executable)}\) is stopped"
                ),
                held(settings, "server", ["alpha"]),
            ):
                pass
        finally:
            process.kill()
