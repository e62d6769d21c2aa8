"""A run in a process that the warm process forks is what it would be in one that was started."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ansible
import psutil
import pytest
from reconnect.ansible.processes import MARK, any_runs, wait_until
from reconnect.ansible.warm import launcher, protocol, starting
from reconnect.ansible.warm.starting import Warm

from ...conftest import on_a_terminal

#: What a program finds when it starts, and then what a test asks of it.
PROGRAM = """\
import json, locale, os, resource, signal, subprocess, sys, tempfile, time
from pathlib import Path

def tried(ask):
    try:
        return ask()
    except OSError as error:
        return type(error).__name__

def main():
    with open('/proc/self/environ') as file:
        shown = sorted(filter(None, file.read().split('\\0')))
    with open('/proc/self/cmdline') as file:
        words = file.read().rstrip('\\0').split('\\0')
    streams = (sys.stdin, sys.stdout, sys.stderr)
    streams = [[s.fileno(), s.encoding, s.errors, s.line_buffering, s.isatty(), hasattr(s.buffer, 'raw')]
               for s in streams]
    return {
        'environment': sorted(os.environ.items()), 'shown': shown, 'words': words[1:], 'argv': sys.argv,
        'folder': os.getcwd(), 'umask': os.umask(0o22), 'path': sys.path, 'flags': list(sys.flags), 'name': __name__,
        'file': __file__, 'limits': [resource.getrlimit(n) for n in range(16)], 'streams': streams,
        'ignored': [n for n in signal.valid_signals() if signal.getsignal(n) is signal.SIG_IGN],
        'interrupt': signal.getsignal(signal.SIGINT) is signal.default_int_handler,
        'blocked': sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        'leads': [os.getsid(0) == os.getpid(), os.getpgrp() == os.getpid()],
        'terminal': [tried(lambda: os.tcgetpgrp(n) == os.getpid()) for n in range(3)],
        'dev_tty': tried(lambda: os.close(os.open('/dev/tty', os.O_RDWR))),
        'open': sorted(os.listdir('/proc/self/fd')), 'temporary': tempfile.gettempdir(), 'zone': time.tzname,
        'locale': locale.setlocale(locale.LC_CTYPE), 'nice': os.getpriority(os.PRIO_PROCESS, 0),
        'asked': sys.stdin.readline(), 'reconnect': sorted(n for n in sys.modules if n.startswith('reconnect')),
    }

print(json.dumps({'pid': os.getpid(), 'found': main()}), flush=True)
action, *rest = sys.argv[1:]
if action == 'exit':
    sys.exit(int(rest[0]))
if action == 'raise':
    raise RuntimeError('as asked')
if action == 'say':
    sys.exit('as said')
if action == 'interrupt':
    raise KeyboardInterrupt
if action == 'later':
    import atexit, threading
    started = threading.Event()
    atexit.register(lambda: print('last', end=''))
    threading.Thread(target=lambda: (started.wait(0.2), print('in a thread', end=' '))).start()
    sys.exit(4)
if action == 'replace':
    import io
    print('kept back', end='')
    sys.stdout = io.StringIO()
if action == 'close':
    sys.stdout.close()
if action == 'fill':
    os.dup2(os.open('/dev/full', os.O_WRONLY), 1)
    print('nobody can write it')
if action == 'die':
    os.kill(os.getpid(), int(rest[0]))
if action == 'write':
    os.write(int(rest[0]), b'written')
if action == 'start':
    from reconnect.ansible.warm.starting import Warm
    Warm(*map(Path, rest)).begin('program', os.environ)
if action == 'ask':
    from reconnect.cli import terminal
    if rest:
        print('waits', flush=True)
        while not os.path.exists(rest[0]):
            time.sleep(0.01)
    print('answered', terminal.ask('Sure?'), flush=True)
if action == 'wait':
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)
    print('waits', flush=True)
    time.sleep(60)
"""
MARKED = f"20990101T000000Z-warm{os.getpid()}"


@dataclass(frozen=True)
class Place:
    """A folder with an interpreter, a program, and the sockets."""

    warm: Warm
    environment: dict[str, str]

    def words(self, *words: str, warm: bool = True) -> list[str]:
        """The command for the program."""
        return self.warm.command(["program", *words]) if warm else [str(self.warm.programs / "program"), *words]

    def begin(self) -> psutil.Process:
        """The warm process, which listens. On a busy machine a start may give up, and a command tries again."""
        for _ in range(4):
            self.warm.begin("program", self.environment)
            if wait_until(self.socket().exists, 5):
                break
        return self.listening()

    def socket(self) -> Path:
        """Where it listens for such an environment."""
        found = protocol.surroundings(self.environment, str(self.warm.programs / "program"))
        return self.warm.folder / protocol.name_of(found)

    def listening(self) -> psutil.Process:
        """Whoever listens."""
        assert wait_until(self.socket().exists, 20)
        with socket.socket(socket.AF_UNIX) as connection, protocol.private_folder(str(self.warm.folder)) as path:
            connection.connect(f"{path}/{self.socket().name}")
            return psutil.Process(protocol.peer(connection))

    def run(self, *words: str, warm: bool = True, **more: object) -> subprocess.CompletedProcess[str]:
        """The program's end."""
        found: subprocess.CompletedProcess[str] = subprocess.run(
            self.words(*words, warm=warm),
            env=self.environment,
            input="a line\r\n",
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            **more,  # type: ignore[call-overload]
        )
        return found

    def is_warm(self) -> bool:
        """Whether a run of the program takes place in a process that the warm process forked."""
        with subprocess.Popen(
            self.words("exit", "0"), env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            return bool(json.loads(process.stdout.read())["pid"] != process.pid)


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Place]]:
    """Makes a place; every warm process in it ends with the tests."""
    made = []

    def one(program: str = PROGRAM, idle: float = 60.0, runs: int = 100, **environment: str) -> Place:
        folder = tmp_path_factory.mktemp("warm")
        programs = folder / "bin"
        programs.mkdir()
        (programs / "python").symlink_to(sys.executable)
        file = programs / "program"
        file.write_text(f"#!{programs}/python\n{program}")
        file.chmod(0o755)
        sockets = folder / "sockets"
        sockets.mkdir(mode=0o700)
        kept = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ}
        marked = {MARK: MARKED, "LC_ALL": "C.UTF-8", "TZ": "Asia/Tokyo", "TMPDIR": str(folder), "EMPTY": ""}
        (folder / "collection").mkdir()
        place = Place(Warm(sockets, folder / "collection", programs, idle, runs), {**kept, **marked, **environment})
        made.append(place)
        return place

    yield one
    for place in made:
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if str(place.warm.folder) in process.cmdline():
                    process.kill()


@pytest.fixture(scope="module")
def place(make: Callable[..., Place]) -> Place:
    """A place with a warm process, for all tests that leave it as it is."""
    place = make()
    place.begin()
    return place


def found(stdout: str) -> dict[str, object]:
    return dict(json.loads(stdout.splitlines()[0])["found"])


def in_a_terminal(words: Sequence[str], environment: dict[str, str]) -> tuple[int, str]:
    """How a program ends that a terminal of its own was given to, and what it printed."""
    program, terminal = on_a_terminal(words, environment)
    os.write(terminal, b"a line\n")
    printed = b""
    with contextlib.suppress(OSError):
        while more := os.read(terminal, 65536):
            printed += more
    os.close(terminal)
    return program.wait(), printed.decode().replace("a line\r\n", "", 1)


def once_it_waits(process: subprocess.Popen[str]) -> str:
    """The first line of a program that waits, as soon as it waits."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert process.stdout.readline() == "waits\n"
    return line


@pytest.fixture
def waiting(place: Place) -> Iterator[subprocess.Popen[str]]:
    """The launcher of a program that waits and has a child in another session."""
    with subprocess.Popen(
        place.words("wait"), env=place.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def of_the_run() -> list[int]:
    """What runs of the run, for whoever looks at the environment that the kernel shows."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == MARKED and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


def end_the_run() -> None:
    """Ends it as another process does that resumes it."""
    program = f"from reconnect.ansible.processes import RunProcesses; print(RunProcesses('{MARKED}').kill_all(10))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"


def test_it_finds_what_it_would_find_when_it_is_started(place: Place, tmp_path: Path) -> None:
    def prepare() -> None:
        os.umask(0o27)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
        os.setsid()

    cold = place.run("exit", "0", "ü {{ x }}", warm=False, cwd=tmp_path, preexec_fn=prepare)
    warm = place.run("exit", "0", "ü {{ x }}", cwd=tmp_path, preexec_fn=prepare)
    assert place.is_warm()
    assert found(warm.stdout) == found(cold.stdout)
    assert warm.stderr == cold.stderr == ""


@pytest.mark.parametrize(
    "variables",
    [{"PYTHONIOENCODING": "latin-1:replace"}, {"PYTHONUNBUFFERED": "1"}, {"LC_ALL": "C"}, {"LC_ALL": "POSIX"}],
)
def test_its_streams_are_those_of_an_interpreter(make: Callable[..., Place], variables: dict[str, str]) -> None:
    place = make(**variables)
    place.begin()
    cold, warm = place.run("exit", "0", warm=False), place.run("exit", "0")
    assert place.is_warm()
    assert found(warm.stdout)["streams"] == found(cold.stdout)["streams"]
    assert found(warm.stdout)["asked"] == found(cold.stdout)["asked"] == "a line\r\n"


def test_it_has_the_terminal_that_it_would_have(place: Place) -> None:
    cold = in_a_terminal(place.words("exit", "3", warm=False), place.environment)
    warm = in_a_terminal(place.words("exit", "3"), place.environment)
    assert found(warm[1]) == found(cold[1])
    assert found(warm[1])["terminal"] == [True] * 3
    assert warm[0] == cold[0] == 3


@pytest.mark.parametrize(
    "words",
    [
        *(("exit", "0"), ("exit", "250"), ("raise",), ("die", "9"), ("die", "15"), ("die", "6")),
        *(("say",), ("interrupt",), ("later",), ("replace",), ("close",), ("fill",), ()),
    ],
)
def test_it_ends_as_it_would_end(place: Place, words: tuple[str, ...]) -> None:
    cold, warm = place.run(*words or ("",), warm=False), place.run(*words or ("",))
    assert warm.returncode == cold.returncode
    assert warm.stdout.splitlines()[1:] == cold.stdout.splitlines()[1:]
    assert warm.stderr.splitlines()[-1:] == cold.stderr.splitlines()[-1:]


def test_a_signal_is_passed_on(waiting: subprocess.Popen[str]) -> None:
    once_it_waits(waiting)
    waiting.terminate()
    assert waiting.wait(60) == 7
    # Also the child that went into a session of its own.
    assert of_the_run() == []


@pytest.mark.attack("the launcher of a run is killed")
def test_nothing_runs_without_its_launcher(waiting: subprocess.Popen[str]) -> None:
    once_it_waits(waiting)
    assert len(of_the_run()) >= 4
    waiting.kill()
    assert wait_until(lambda: of_the_run() == [], 60)


@pytest.mark.attack("the keeper of a run is killed")
def test_a_run_ends_with_its_keeper(waiting: subprocess.Popen[str]) -> None:
    run: Any = psutil.Process(json.loads(once_it_waits(waiting))["pid"])
    keeper = run.parent()
    assert keeper is not None
    keeper.kill()
    assert waiting.wait(60) == -signal.SIGKILL
    assert wait_until(lambda: not any_runs([run]), 60)
    end_the_run()
    assert of_the_run() == []


def test_who_ends_a_run_finds_all_of_it(waiting: subprocess.Popen[str], place: Place) -> None:
    once_it_waits(waiting)
    end_the_run()
    assert of_the_run() == []
    assert waiting.wait(60) == -signal.SIGKILL
    assert place.is_warm()


def test_a_request_that_is_given_up_begins_nothing(place: Place, tmp_path: Path) -> None:
    with subprocess.Popen(
        place.words("exit", "0"), env=place.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as process:
        process.kill()
    assert wait_until(lambda: of_the_run() == [], 60)
    assert place.is_warm()


def test_a_run_that_cannot_begin_says_why(place: Place) -> None:
    read, write = os.pipe()
    nothing, here = os.open(os.devnull, os.O_RDWR), os.open("/", os.O_PATH)
    script = str(place.warm.programs / "program")
    limits = {getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")}
    with socket.socket(socket.AF_UNIX) as connection, protocol.private_folder(str(place.warm.folder)) as path:
        connection.connect(f"{path}/{place.socket().name}")
        request = {
            "surroundings": protocol.surroundings(place.environment, script),
            "words": [script],
            "environment": place.environment,
            "umask": 0o22,
            "limits": sorted((number, resource.getrlimit(number)) for number in limits),
            "ignored": [],
            "blocked": [],
            # It is none.
            "terminal": 0,
            "numbers": [0, 1, 2],
        }
        protocol.send(connection, request, [here, nothing, nothing, write])
        assert protocol.receive(connection) == {"ready": True}
        protocol.send(connection, {"begin": True})
        assert [protocol.receive(connection), protocol.receive(connection)] == [{"begun": True}, {"code": 1}]
    for descriptor in (write, nothing, here):
        os.close(descriptor)
    with open(read, encoding="utf-8") as said:
        assert said.read() == "[ERROR]: Cannot begin: Inappropriate ioctl for device. Try again.\n"


@pytest.mark.attack("the keeper of a run is killed")
def test_a_run_whose_keeper_is_gone_before_it_began_is_one_sentence() -> None:
    program = (
        "import socket; from reconnect.ansible.warm import launcher; here, there = socket.socketpair(); there.close(); "
        "launcher._stand_for(here, None, '/x/reconnect')"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (
        1,
        "reconnect: Cannot begin: the process that was to carry it out is gone. Try again.\n",
    )


def test_it_has_every_descriptor_that_it_would_have(place: Place) -> None:
    read, write = os.pipe()
    process = subprocess.run(
        place.words("write", str(write)),
        env=place.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        pass_fds=[write],
        check=True,
    )
    os.close(write)
    with open(read, encoding="utf-8") as file:
        assert file.read() == "written"
    assert {"0", "1", "2", str(write)} <= set(found(process.stdout.decode())["open"])  # type: ignore[call-overload]


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_a_closed_standard_stream_goes_with_a_start_only(place: Place, tmp_path: Path, closed: int) -> None:
    with subprocess.Popen(
        ["sh", "-c", f'"$@" {closed}>&-; echo $?', "sh", *place.words("exit", "3")],
        env=place.environment,
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        # A start says what an interpreter does without it.
        cold = place.words("exit", "3", warm=False)
        said = process.stdout.read()
    again = subprocess.run(
        ["sh", "-c", f'"$@" {closed}>&-; echo $?', "sh", *cold], env=place.environment, capture_output=True, check=True
    )
    assert said.splitlines()[-1] == again.stdout.splitlines()[-1]


#: Starts a program in the foreground, as a shell does; where it stops, a line says how it goes on.
SHELL = """\
import os, signal, subprocess, sys
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
def lead():
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
process = subprocess.Popen(sys.argv[1:], preexec_fn=lead)
_, status = os.waitpid(process.pid, os.WUNTRACED)
while os.WIFSTOPPED(status):
    os.tcsetpgrp(0, os.getpgrp())
    print('stopped by', signal.Signals(os.WSTOPSIG(status)).name, flush=True)
    typed = sys.stdin.readline().strip()
    if typed in ('fg', 'end'):
        os.tcsetpgrp(0, process.pid)
    if typed == 'kill':
        os.kill(process.pid, signal.SIGTERM)
    os.kill(process.pid, signal.SIGCONT)
    if typed == 'end':
        os.kill(process.pid, signal.SIGTERM)
    _, status = os.waitpid(process.pid, os.WUNTRACED)
sys.exit(os.waitstatus_to_exitcode(status))
"""
#: What the command does in its own process.
STANDS = """\
import sys
from reconnect.ansible.warm import launcher
launcher.stand_for(*sys.argv[1:3], sys.argv[3:], in_a_shell=True)
sys.exit('it came back')
"""


class Typed:
    """A shell on a terminal, and the person who sits there."""

    def __init__(self, words: Sequence[str], environment: dict[str, str]) -> None:
        self.shell, self._terminal = on_a_terminal(words, environment)
        self.printed = b""

    def __enter__(self) -> Typed:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._terminal)
        self.shell.kill()
        self.shell.wait()

    def until(self, said: bytes) -> None:
        """Reads until that was printed."""
        while said not in self.printed:
            self.printed += os.read(self._terminal, 65536)

    def writes(self, typed: bytes, said: bytes = b"") -> None:
        """Types, and reads until that was printed after it."""
        before, self.printed = self.printed, b""
        os.write(self._terminal, typed)
        self.until(said)
        self.printed = before + self.printed


def in_a_shell(place: Place, *words: str, program: str = "program") -> tuple[list[str], dict[str, str]]:
    """The words and the environment of a shell that has the program run in its foreground."""
    script = place.warm.programs / program
    stands = [sys.executable, "-c", STANDS, str(script), str(place.warm.folder), *words]
    found = protocol.surroundings(place.environment, str(script))
    assert (place.warm.folder / protocol.name_of(found)).exists()
    return [sys.executable, "-c", SHELL, *stands], place.environment


def test_a_run_in_a_shell_uses_its_terminal(make: Callable[..., Place]) -> None:
    place = make(PYTHONPATH=os.pathsep.join(sys.path))
    place.begin()
    ended, printed = in_a_terminal(*in_a_shell(place, "exit", "3"))
    assert ended == 3
    assert [found(printed)["asked"], found(printed)["leads"]] == ["a line\n", [True, True]]
    assert all(stream[4] for stream in found(printed)["streams"])  # type: ignore[attr-defined]


def test_a_run_in_a_shell_stops_and_goes_on_with_it(make: Callable[..., Place]) -> None:
    place = make(PYTHONPATH=os.pathsep.join(sys.path))
    place.begin()
    with Typed(*in_a_shell(place, "wait")) as typed:
        typed.writes(b"a line\n", b"waits")
        run: Any = psutil.Process(json.loads(typed.printed.split(b"\r\n")[1])["pid"])
        typed.writes(b"\x1a", b"stopped by SIGSTOP")
        assert wait_until(lambda: run.status() == psutil.STATUS_STOPPED, 10)
        typed.writes(b"end\n")
        assert typed.shell.wait(60) == 7


def of_the_command(make: Callable[..., Place]) -> Place:
    """A place whose program is the command, which may ask a person."""
    place = make(PYTHONPATH=os.pathsep.join(sys.path))
    command = place.warm.programs / "reconnect"
    command.write_text((place.warm.programs / "program").read_text())
    command.chmod(0o755)
    place.warm.begin("reconnect", place.environment)
    name = protocol.name_of(protocol.surroundings(place.environment, str(command)))
    assert wait_until((place.warm.folder / name).exists, 60)
    return place


@pytest.fixture(scope="module")
def asking(make: Callable[..., Place]) -> Place:
    return of_the_command(make)


@pytest.mark.parametrize("signals", [[b"\x1a"], [b"\x1a", b"bg\n"], [b"\x1a", b"bg\n", b"bg\n"]])
def test_a_question_is_not_answered_from_the_background(asking: Place, signals: list[bytes]) -> None:
    with Typed(*in_a_shell(asking, "ask", program="reconnect")) as typed:
        typed.writes(b"a line\n", b"Sure? [y/N]: ")
        for sent, stopped in zip(signals, [b"stopped by SIGSTOP", *[b"stopped by SIGTTIN"] * 2], strict=False):
            typed.writes(sent, stopped)
        # The shell reads this, and the next line is the answer.
        typed.writes(b"fg\n")
        typed.writes(b"y\n", b"answered True")
        assert typed.shell.wait(60) == 0


def test_a_question_that_comes_in_the_background_waits(asking: Place, tmp_path: Path) -> None:
    with Typed(*in_a_shell(asking, "ask", str(tmp_path / "go"), program="reconnect")) as typed:
        typed.writes(b"a line\n", b"waits")
        typed.writes(b"\x1a", b"stopped by SIGSTOP")
        typed.writes(b"bg\n")
        (tmp_path / "go").touch()
        typed.until(b"stopped by SIGTTIN")
        assert b"Sure?" not in typed.printed
        typed.writes(b"fg\n", b"Sure? [y/N]: ")
        typed.writes(b"n\n", b"answered False")
        assert typed.shell.wait(60) == 0


@pytest.mark.parametrize("more", [[], [b"bg\n"]])
def test_who_is_ended_in_the_background_waits_for_no_answer(asking: Place, more: list[bytes]) -> None:
    with Typed(*in_a_shell(asking, "ask", program="reconnect")) as typed:
        typed.writes(b"a line\n", b"Sure? [y/N]: ")
        typed.writes(b"\x1a", b"stopped by SIGSTOP")
        for sent in more:
            typed.writes(sent, b"stopped by SIGTTIN")
        typed.writes(b"kill\n")
        assert typed.shell.wait(60) == 256 - signal.SIGTERM


def test_without_a_shell_nobody_waits_to_ask(asking: Place) -> None:
    with Typed(asking.warm.command(["reconnect", "ask"]), asking.environment) as typed:
        typed.writes(b"a line\n", b"Sure? [y/N]: ")
        typed.writes(b"y\n", b"answered True")
        assert typed.shell.wait(60) == 0


def test_a_run_has_another_warm_process_started(make: Callable[..., Place]) -> None:
    place = of_the_command(make)
    words = ["start", str(place.warm.folder), str(place.warm.collection), str(place.warm.programs)]
    run = subprocess.run(
        place.warm.command(["reconnect", *words]),
        env=place.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    # It has kept what the warm process had loaded, and is gone; the other one stays.
    assert "reconnect.engine.durable" in found(run.stdout)["reconnect"]  # type: ignore[operator]
    assert place.listening().ppid() in (1, *(p.pid for p in psutil.process_iter() if p.name() == "systemd"))


@pytest.mark.parametrize("name", ["PYTHONWARNINGS", "LC_ALL"])
def test_what_is_read_at_the_start_must_be_the_same(place: Place, name: str) -> None:
    other = replace(place, environment={**place.environment, name: "C" if name == "LC_ALL" else "ignore"})
    assert not other.is_warm()


@pytest.mark.attack("the folder in which a command is typed holds modules")
@pytest.mark.parametrize("path", [".", ":/x", "/x:lib"])
def test_a_path_of_the_working_folder_goes_with_a_start_only(path: str) -> None:
    with pytest.raises(protocol.Refused, match="relative"):
        protocol.surroundings({"PYTHONPATH": path}, "/bin/program")


def test_a_signal_for_a_run_that_has_just_ended_changes_no_end() -> None:
    (launched, kept), (signals, wake) = socket.socketpair(), socket.socketpair()

    def end() -> None:
        assert protocol.receive(kept) == {"begin": True}
        kept.shutdown(socket.SHUT_RD)
        wake.send(bytes([signal.SIGWINCH]))
        protocol.send(kept, {"code": 3})

    with launched, kept, signals, wake, ThreadPoolExecutor(1) as beside:
        ended = beside.submit(end)
        assert launcher._wait(launched, signals) == {"code": 3}
        ended.result()


def test_limits_that_it_could_not_have_go_with_a_start_only(place: Place) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512))

    with subprocess.Popen(
        place.words("exit", "0"),
        env=place.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        preexec_fn=limit,
    ) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.read())["pid"] == process.pid


@pytest.mark.parametrize("numbers", [48, 1024])
def test_a_soft_limit_is_that_of_the_run(place: Place, numbers: int) -> None:
    limits = numbers, resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    ended = place.run("exit", "3", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limits))
    assert ended.returncode == 3
    assert found(ended.stdout)["limits"][resource.RLIMIT_NOFILE] == list(limits)  # type: ignore[index]


def test_a_folder_that_it_may_not_enter_is_one_of_a_start(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "another's"
    folder.mkdir()
    ended = place.run("exit", "3", cwd=folder, preexec_fn=lambda: folder.chmod(0))
    assert [ended.returncode, found(ended.stdout)["folder"]] == [3, str(folder)]


@pytest.mark.attack("another user may write to the folder of the socket")
def test_a_folder_that_others_may_use_is_not_used(place: Place) -> None:
    place.warm.folder.chmod(0o755)
    try:
        assert not place.is_warm()
    finally:
        place.warm.folder.chmod(0o700)
    assert place.is_warm()


@pytest.mark.attack("another user listens on the socket")
def test_the_other_end_must_be_the_same_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    one, other = socket.socketpair()
    with one, other, pytest.raises(protocol.Refused):
        protocol.peer(one)


def test_its_socket_is_private(place: Place) -> None:
    assert place.socket().stat().st_mode & 0o777 == 0o600


@pytest.mark.attack("nonsense is sent to the socket")
def test_nonsense_ends_nothing_but_itself(place: Place) -> None:
    for content in (b"\xff" * 64, b"\0\0\0\x02[]", b"\0\0\0\x02{}", b"\0"):
        with socket.socket(socket.AF_UNIX) as connection, protocol.private_folder(str(place.warm.folder)) as path:
            connection.connect(f"{path}/{place.socket().name}")
            connection.sendall(content)
    assert place.is_warm()


def test_after_its_death_runs_are_started_and_another_one_begins(make: Callable[..., Place]) -> None:
    place = make()
    first = place.begin()
    first.kill()
    assert wait_until(lambda: not any_runs([first]), 10)
    assert not place.is_warm()
    place.warm.begin("program", place.environment)
    assert wait_until(place.is_warm, 20)


def test_a_second_one_does_not_begin(place: Place) -> None:
    first = place.listening()
    place.warm.begin("program", place.environment)
    assert place.listening() == first


def test_it_ends_when_nobody_needs_it(make: Callable[..., Place]) -> None:
    place = make(idle=0.5)
    place.warm.begin("program", place.environment)
    assert wait_until(place.socket().exists, 20)
    assert wait_until(lambda: not place.socket().exists(), 10)


def test_it_ends_with_its_folder(make: Callable[..., Place]) -> None:
    place = make()
    process = place.begin()
    shutil.rmtree(place.warm.folder)
    assert wait_until(lambda: not any_runs([process]), 20)


@pytest.mark.attack("a scheduler logs in every minute and leaves two warm processes each time", harm="outage")
def test_one_user_has_only_so_many(make: Callable[..., Place], monkeypatch: pytest.MonkeyPatch) -> None:
    place = make()
    first = place.begin()
    monkeypatch.setattr(starting, "MOST", 1)
    other = replace(place, environment={**place.environment, "PYTHONHASHSEED": "1"})
    other.warm.begin("program", other.environment)
    assert not other.socket().exists()
    first.kill()
    assert wait_until(lambda: not any_runs([first]), 10)
    # The lock that it left is nobody's.
    other.begin()


def test_it_ends_after_so_many_runs(make: Callable[..., Place]) -> None:
    # The question who listens is one, too.
    place = make(runs=2)
    process = place.begin()
    assert place.is_warm()
    assert wait_until(lambda: not any_runs([process]), 10)
    assert not place.is_warm()


@pytest.mark.parametrize("name", ["one.py", "one.yml"])
def test_it_ends_when_what_it_loaded_changes(make: Callable[..., Place], name: str) -> None:
    place = make()
    collection = place.warm.collection / name
    collection.write_text("before: 1\n")
    process = place.begin()
    collection.write_text("after: 22\n")
    assert not place.is_warm()
    assert wait_until(lambda: not any_runs([process]), 10)


FAKE = {
    "constants.py": "import os\nWORD = os.environ.get('ANSIBLE_WORD')\n",
    "plain.py": "import os\nDISTRIBUTION = os.environ.get('UNIXCONFDIR')\n",
    "cli/playbook.py": "from ansible import constants, plain\n",
    "executor/process/worker.py": "",
    "plugins/strategy/linear.py": "",
}
LOADED = """\
import json, os, sys
before = sorted(name for name in sys.modules if name.partition('.')[0] == 'ansible')
from ansible.cli import playbook
print(json.dumps({'pid': os.getpid(), 'before': before, 'word': playbook.constants.WORD}))
"""


def fake_ansible(folder: Path) -> None:
    for name, content in FAKE.items():
        file = folder / "ansible" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)


ENDS = """\
import sys
print('ansible.plain' in sys.modules)
import logging.handlers
import ansible.plain
logging.getLogger().addHandler(logging.handlers.MemoryHandler(9, target=logging.FileHandler(sys.argv[1] + '.log')))
logging.warning('logged')
file = open(sys.argv[1], sys.argv[2])
file.write(b'written' if 'b' in sys.argv[2] else 'written')
"""


@pytest.mark.parametrize("mode", ["w", "wb", "w+b"])
def test_it_ends_after_what_was_registered_and_written(make: Callable[..., Place], tmp_path: Path, mode: str) -> None:
    fake_ansible(tmp_path)
    (tmp_path / "ansible/plain.py").write_text("import atexit, logging\natexit.register(print, 'registered')\n")
    place = make(ENDS, PYTHONPATH=str(tmp_path))
    place.begin()
    for warm in (False, True):
        file = place.warm.folder / f"file-{warm}"
        ended = place.run(str(file), mode, warm=warm)
        assert (ended.returncode, ended.stdout.split("\n")) == (0, [str(warm), "registered", ""])
        assert (file.read_text(), Path(f"{file}.log").read_text()) == ("written", "logged\n")


def test_it_never_reads_a_configuration(make: Callable[..., Place], tmp_path: Path) -> None:
    fake_ansible(tmp_path)
    place = make(LOADED, PYTHONPATH=str(tmp_path), ANSIBLE_WORD="of the first")
    place.begin()
    for word in ("of the first", "of another"):
        told = json.loads(replace(place, environment={**place.environment, "ANSIBLE_WORD": word}).run().stdout)
        assert told["word"] == word
        assert "ansible.plain" in told["before"]
        assert "ansible.constants" not in told["before"]
    assert place.is_warm()
    # A module that was loaded had read this one.
    assert not replace(place, environment={**place.environment, "UNIXCONFDIR": "/elsewhere"}).is_warm()


PACKS = """\
import json, os
from ansible.executor import module_common
from ansible.utils.collection_loader import _collection_finder
found = [vars(one).get(name) for one, name in (
    (module_common, 'compile'), (_collection_finder, 'compile'), (_collection_finder, '_meta_yml_to_dict'))]
print(json.dumps({'pid': os.getpid(), 'from': [getattr(one, '__module__', None) for one in found]}))
"""


def test_a_run_has_what_was_worked_out_before(make: Callable[..., Place]) -> None:
    place = make(PACKS, PYTHONPATH=str(Path(ansible.__path__[0]).parent))
    place.begin()
    assert json.loads(place.run().stdout)["from"] == ["reconnect.ansible.warm.prepared"] * 3
    assert json.loads(place.run(warm=False).stdout)["from"][0] is None


COLLECTION = {
    "plugin_utils/plain.py": "import os\nMADE_BY, WORD = os.getpid(), {word!r}\n",
    "plugin_utils/room/__init__.py": "",
    "plugin_utils/room/deep.py": """
from ansible_collections.acme.phones.plugins.plugin_utils import plain
from ansible_collections.acme.phones.plugins.plugin_utils.plain import MADE_BY
SAME = plain.MADE_BY
""",
    "plugin_utils/configured.py": """
import os
from ansible import constants
from ansible_collections.acme.phones.plugins.plugin_utils.room import deep
MADE_BY = os.getpid()
""",
    "plugin_utils/broken.py": "raise RuntimeError\n",
}
TAKES = """\
import json, os, sys
from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder
before = sorted(name for name in sys.modules if name.startswith('ansible_collections'))
_AnsibleCollectionFinder(paths=[sys.argv[1]])._install()
from ansible_collections.acme.phones.plugins.plugin_utils import configured, plain
from ansible_collections.acme.phones.plugins.plugin_utils.room import deep
try:
    from ansible_collections.acme.phones.plugins.plugin_utils import broken
except RuntimeError:
    print(json.dumps({
        'pid': os.getpid(), 'before': before, 'word': plain.WORD, 'file': plain.__file__, 'deep': deep.__package__,
        'made': [one in (os.getpid(),) for one in (configured.MADE_BY, plain.MADE_BY, deep.MADE_BY, deep.SAME)],
    }))
"""


def a_collection(root: Path, word: str) -> Path:
    """A collection whose modules say the word."""
    collection = root / "ansible_collections" / "acme" / "phones"
    for name, content in COLLECTION.items():
        file = collection / "plugins" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content.replace("{word!r}", repr(word)))
    return collection


def test_a_run_takes_modules_that_were_made_before_of_the_same_files_alone(
    make: Callable[..., Place], tmp_path: Path
) -> None:
    own, other = a_collection(tmp_path / "own", "own"), a_collection(tmp_path / "other", "other")
    place = make(TAKES, PYTHONPATH=str(Path(ansible.__path__[0]).parent))
    place = replace(place, warm=replace(place.warm, collection=own))
    place.begin()
    told = {word: json.loads(place.run(str(tmp_path / word)).stdout) for word in ("own", "other")}
    for word, collection in (("own", own), ("other", other)):
        assert told[word]["before"] == []
        assert told[word]["word"] == word
        assert told[word]["file"] == str(collection / "plugins" / "plugin_utils" / "plain.py")
        assert told[word]["deep"] == "ansible_collections.acme.phones.plugins.plugin_utils.room"
    assert told["own"]["made"] == [True, False, False, False]
    assert told["other"]["made"] == [True] * 4
    assert not list(own.rglob("__pycache__"))
