"""`python resident.py SCRIPT FOLDER WORDS NAMES IDLE RUNS ROOM`: the warm process.

It loads modules and listens. It never runs a play: each run is a process that it forks, and that executes the script as
an interpreter would that had just started. What is loaded here knows nothing of a configuration or an inventory: of
Ansible only those modules are loaded that can be without `ansible.constants`, which reads them. Each run reads its own.

A run has two processes. The keeper is its parent, adopts its orphans, passes on signals, and ends everything below it
when the run ends or its launcher is gone. Both carry the environment of the run, also for others that look at them
(/proc/PID/environ), before anything begins: so `RunProcesses` finds them and all that they start.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import fcntl
import gc
import importlib
import io
import json
import os
import platform
import resource
import select
import shutil
import signal
import socket
import stat
import struct
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NoReturn

#: How the run ends, once its script has.
_codes: list[int] = []


def _leave() -> None:
    """Ends a run when nothing is left but to take apart what was loaded."""
    if not _codes:
        return
    for one in gc.get_objects():
        # An interpreter closes them. What is not on a disk may keep whoever writes to it waiting.
        with contextlib.suppress(OSError, ValueError):
            if type(one) in _BUFFERED and stat.S_ISREG(os.fstat(one.fileno()).st_mode):
                one.flush()
    # Where it cannot be flushed, the interpreter says so, and ends as it does then.
    with contextlib.suppress(Exception):
        # Whoever puts others in their places leaves in these what was written before.
        for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
            if stream and not stream.closed:
                stream.flush()
        os._exit(_codes[-1])


_BUFFERED = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)
# What is registered first is called last, after all that the modules register which are loaded below.
atexit.register(_leave)

_PACKAGE = str(Path(__file__).resolve().parents[3])
sys.path[0] = _PACKAGE
from reconnect.ansible.warm import prepared, protocol  # noqa: E402

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_TIOCSCTTY = 0x540E
#: How a keeper ends that found the sources changed.
_CHANGED = 3
#: How long a launcher may take with its request and with the word to begin, in seconds.
_REQUEST_SECONDS = 10.0
#: Seconds between two looks whether the socket is still there: the folder may end with a login session.
_LOOK_SECONDS = 5.0
#: What a run of Ansible loads, besides what it needs for its tasks.
_OF_ANSIBLE = ("ansible.cli.playbook", "ansible.executor.process.worker", "ansible.plugins.strategy.linear")
#: What a run of the command loads.
_OF_THE_COMMAND = (
    *("reconnect.cli.commands.running", "reconnect.cli.commands.runs"),
    *("reconnect.engine.durable", "reconnect.engine.guard", "reconnect.runs.feed", "reconnect.runs.rows"),
    "reconnect.service.work",
)
#: What is read of the collection beforehand.
_READ = {".py", ".yml"}
#: What reads the configuration when it is loaded.
_CONFIGURED = "ansible.constants"


class _Asked(os._Environ):  # type: ignore[type-arg]
    """The environment, which notes what is read of it."""

    names: ClassVar[set[str]] = set()

    def __getitem__(self, key: str) -> str:
        self.names.add(key)
        return str(super().__getitem__(key))


# --- what is loaded


def _in_a_child(work: Callable[[], Any]) -> Any:
    """What `work` gives back in a process of its own, which it may leave in any state; None where it fails."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        with contextlib.suppress(BaseException), open(writing, "w", encoding="utf-8") as file:
            json.dump(work(), file)
        os._exit(0)
    os.close(writing)
    with open(reading, encoding="utf-8") as file:
        content = file.read()
    os.waitpid(pid, 0)
    return json.loads(content or "null")


def _rehearse(modules: Iterable[str]) -> list[str]:
    """The modules that a run loads, in their order."""
    for name in [name for name in os.environ if name.startswith("ANSIBLE_")]:
        del os.environ[name]
    home = tempfile.mkdtemp(prefix="reconnect-warm-")
    empty = Path(home, "ansible.cfg")
    empty.touch()
    os.environ.update(ANSIBLE_HOME=home, ANSIBLE_LOCAL_TEMP=home, ANSIBLE_CONFIG=str(empty))
    try:
        for name in modules:
            importlib.import_module(name)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return [name for name in sys.modules if name != "__main__"]


class _Stop:
    """Ends every import that would read the configuration."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if name == _CONFIGURED:
            raise KeyboardInterrupt


def _loadable(names: Sequence[str]) -> list[str]:
    """Those of the modules that can be loaded without the configuration."""
    sys.meta_path.insert(0, _Stop)
    return [name for name in names if _load(name)]


def _load(name: str) -> bool:
    try:
        importlib.import_module(name)
    except BaseException:
        return False
    return True


def _sources(more: Iterable[Path]) -> dict[str, tuple[int, ...]]:
    """What is loaded, and the folders that a run looks for modules in: when each changed last."""
    files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    found: dict[str, tuple[int, ...]] = {}
    for file in {*filter(None, files), *sys.path, sys.executable, __file__, *map(str, more)}:
        with contextlib.suppress(OSError):
            now = os.stat(file)
            found[file] = (now.st_mtime_ns, now.st_size, now.st_ino)
    return found


class Loaded:
    """What this process has loaded, and what that depended on."""

    def __init__(self, script: str, collection: Path) -> None:
        self.is_command = Path(script).name == "reconnect"
        self._collection = sorted(one for one in collection.rglob("*") if one.suffix in _READ or one.is_dir())
        os.environ.__class__ = _Asked
        names = _in_a_child(lambda: _rehearse(_OF_THE_COMMAND if self.is_command else _OF_ANSIBLE)) or []
        # A library asks for it. The answer stays the same, without a program that gets a copy of the environment.
        platform.architecture = lambda *_: (f"{8 * struct.calcsize('P')}bit", "")
        for name in _in_a_child(lambda: _loadable(names)) or []:
            _load(name)
        prepared.prepare(collection, lambda names: _in_a_child(lambda: _loadable(names)) or [])
        if _CONFIGURED in sys.modules:
            raise protocol.Refused("the configuration was read")
        os.environ.__class__ = os._Environ
        self.variables = {name: os.environ.get(name) for name in _Asked.names}
        self._sources = _sources(self._collection)
        self.script = compile(Path(script).read_bytes(), script, "exec", 0, True)
        self._script = script

    def changed(self) -> bool:
        """Whether something that was loaded is another now."""
        return _sources(self._collection) != self._sources


# --- what others see of a process


def _write_area(first: int, words: Sequence[str]) -> None:
    """Overwrites the words or the environment that the kernel shows of this process. `first`: the number of the field
    in proc_pid_stat(5). Raises Refused where there is no room."""
    with open("/proc/self/stat", encoding="utf-8", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    begin, end = int(fields[first - 3]), int(fields[first - 2])
    content = b"".join(os.fsencode(word) + b"\0" for word in words)
    if len(content) >= end - begin:
        raise protocol.Refused("there is no room for the environment")
    ctypes.memmove(begin, content.ljust(end - begin, b"\0"), end - begin)


def _show(words: Sequence[str], environment: dict[str, str]) -> None:
    """Takes an environment as its own, and lets the kernel show it with `words`."""
    # What libc still had there would be read as something else.
    os.environ.clear()
    os.environ.update(environment)
    _write_area(50, [f"{name}={value}" for name, value in environment.items()])
    _write_area(48, words)


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise protocol.Refused("the kernel refuses")


# --- the warm process


def _serve(loaded: Loaded, listener: socket.socket, path: str, idle: float, runs: int) -> socket.socket | None:
    """Listens, and forks a keeper for each run: gives it its connection. None at the end: after `idle` seconds, `runs`
    runs, or a change of what was loaded."""
    keepers: dict[int, int] = {}
    own = os.stat(path).st_ino
    until, poll = time.monotonic() + idle, select.poll()
    poll.register(listener, select.POLLIN)
    while runs and (left := until - time.monotonic()) > 0:
        for descriptor, _ in poll.poll(min(left, _LOOK_SECONDS) * 1000):
            if descriptor in keepers:
                _, status = os.waitpid(keepers.pop(descriptor), 0)
                poll.unregister(descriptor)
                os.close(descriptor)
                runs = 0 if os.waitstatus_to_exitcode(status) == _CHANGED else runs
                continue
            connection, _ = listener.accept()
            pid = os.fork()
            if not pid:
                listener.close()
                for other in keepers:
                    os.close(other)
                return connection
            connection.close()
            keeper = os.pidfd_open(pid)
            keepers[keeper] = pid
            poll.register(keeper, select.POLLIN)
            runs, until = runs - 1, time.monotonic() + idle
        try:
            if os.stat(path).st_ino != own:
                return None
        except OSError:
            return None
    os.unlink(path)
    return None


# --- a run


class Request:
    """What a launcher asks for. Raises Refused."""

    def __init__(self, message: dict[str, Any], descriptors: list[int], loaded: Loaded, here: dict[str, Any]) -> None:
        self._numbers: list[int] = message["numbers"]
        if len(descriptors) != 1 + len(self._numbers) or message.get("surroundings") != here:
            raise protocol.Refused("the surroundings are others")
        self.words: list[str] = message["words"]
        self.environment: dict[str, str] = message["environment"]
        self.terminal: int | None = message["terminal"]
        self._message = message
        if any(self.environment.get(name) != value for name, value in loaded.variables.items()):
            raise protocol.Refused("what was loaded depends on the environment")
        for number, (soft, hard) in message["limits"]:
            # It could not be raised later.
            if resource.getrlimit(number)[1] != hard:
                raise protocol.Refused("the limits are others")
            resource.setrlimit(number, (soft, hard))
        # Whatever may fail fails here, where the launcher still becomes the script: later nobody would learn of it.
        os.fchdir(descriptors[0])
        self._above = max(self._numbers) + 1
        self._moved = [fcntl.fcntl(one, fcntl.F_DUPFD, self._above) for one in descriptors[1:]]
        for descriptor in descriptors:
            os.close(descriptor)

    def become(self, keeper: socket.socket | None) -> None:
        """Makes this process what the launcher was when it started, but for its connection to the keeper."""
        os.setsid()
        kept = 4096
        if keeper is not None:
            kept = fcntl.fcntl(keeper.fileno(), fcntl.F_DUPFD_CLOEXEC, self._above)
            keeper.close()
            protocol.keeper = socket.socket(fileno=kept)
        os.closerange(0, self._above)
        for number, descriptor in zip(self._numbers, self._moved, strict=True):
            os.dup2(descriptor, number)
        os.closerange(self._above, kept)
        os.closerange(kept + 1, 4096)
        if self.terminal is not None:
            fcntl.ioctl(self.terminal, _TIOCSCTTY, 0)
        os.umask(self._message["umask"])
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            with contextlib.suppress(OSError):
                signal.signal(number, signal.SIG_DFL)
        for number in self._message["ignored"]:
            signal.signal(number, signal.SIG_IGN)
        if signal.SIGINT not in self._message["ignored"]:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._message["blocked"])
        time.tzset()
        tempfile.tempdir = None
        _standard_streams()

    def complain(self, error: Exception) -> None:
        """Says why the run does not begin where the run would say it; its descriptors may be in their places yet."""
        said = protocol.not_begun(self.words[0], getattr(error, "strerror", None) or error)
        for descriptor in (self._moved[self._numbers.index(2)], 2):
            with contextlib.suppress(OSError):
                os.write(descriptor, said)
                return

    @property
    def descriptors(self) -> list[int]:
        """What came with the request, for the run."""
        return self._moved


def _standard_streams() -> None:
    """Standard streams as this interpreter made its own from the same variables."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        own = getattr(sys, f"__{name}__")
        at_once = isinstance(own.buffer, io.FileIO)
        binary: Any = open(number, "wb" if number else "rb", 0 if at_once else -1, closefd=False)  # noqa: SIM115
        lines = not at_once and (binary.isatty() or name == "stderr")
        stream = io.TextIOWrapper(binary, own.encoding, own.errors, "\n", lines, at_once)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _keep(connection: socket.socket, loaded: Loaded, here: dict[str, Any]) -> Request | None:
    """The keeper of a run. It gives the request back in the process of the run alone, and ends otherwise."""
    descriptors: list[int] = []
    connection.settimeout(_REQUEST_SECONDS)
    try:
        protocol.peer(connection)
        if (message := protocol.receive(connection, descriptors)) is None:
            os._exit(0)
        if "start" in message:
            os.closerange(3, 4096)
            os.execve(sys.executable, [sys.executable, __file__, *message["start"]], message["environment"])
        request = Request(message, descriptors, loaded, here)
        if loaded.changed():
            os._exit(_CHANGED)
        os.setsid()
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        _show([sys.executable, *request.words], request.environment)
        protocol.send(connection, {"ready": True})
        # From here on everybody sees whose process this is; before, nothing was begun.
        if protocol.receive(connection) != {"begin": True}:
            os._exit(0)
    except (protocol.Refused, OSError, KeyError, TypeError, ValueError):
        os._exit(1)
    return _begin(connection, request, loaded.is_command)


def _begin(connection: socket.socket, request: Request, asks: bool) -> Request:
    """Forks the process of the run, which `asks` a person sometimes, and gives the request back there alone."""
    keeper = os.getpid()
    try:
        ours, its = socket.socketpair() if asks else (None, None)
        if pid := os.fork():
            _look_after(pid, connection, request, ours)
        connection.close()
        if ours is not None:
            ours.close()
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != keeper:
            os._exit(1)
        request.become(its)
    except Exception as error:
        # The launcher has given its terminal away: it cannot become the script any more.
        request.complain(error)
        with contextlib.suppress(OSError):
            protocol.send(connection, {"code": 1})
        os._exit(1)
    return request


def _look_after(pid: int, connection: socket.socket, request: Request, run: socket.socket | None) -> NoReturn:
    """Passes on signals, and what is said of the terminal, until the run ends or its launcher is gone; then nothing of
    it runs any more."""
    for descriptor in request.descriptors:
        os.close(descriptor)
    connection.settimeout(None)
    with contextlib.suppress(OSError):
        protocol.send(connection, {"begun": True})
    ended = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(connection, select.POLLIN)
    if run is not None:
        poll.register(run, select.POLLIN)
    status: int | None = None
    try:
        while status is None:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if ended in ready:
                _, status = os.waitpid(pid, 0)
            elif connection.fileno() in ready:
                if (message := protocol.receive(connection)) is None:
                    break
                if run is not None and "read" in message:
                    protocol.send(run, message)
                else:
                    os.kill(pid, message["signal"])
                    if message["signal"] == signal.SIGSTOP:
                        # Until then it may read what is meant for whoever has the terminal next.
                        found = os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
                        if found is not None and found.si_code == os.CLD_STOPPED:
                            protocol.send(connection, {"stopped": True})
            elif run is not None:
                if (message := protocol.receive(run)) is None:
                    poll.unregister(run)
                else:
                    protocol.send(connection, {"reads": bool(message["reads"])})
    except (protocol.Refused, OSError, KeyError, TypeError):
        pass
    _end_all()
    if status is not None:
        code = os.waitstatus_to_exitcode(status)
        with contextlib.suppress(OSError):
            protocol.send(connection, {"signal": -code} if code < 0 else {"code": code})
    os._exit(0)


def _end_all() -> None:
    """Kills everything below this process; whoever loses its parent becomes its child, and is killed next."""
    itself = os.getpid()
    while _has_children():
        for name in os.listdir("/proc"):
            if name.isdigit() and protocol.parent_of(int(name)) == itself:
                with contextlib.suppress(OSError):
                    os.kill(int(name), signal.SIGKILL)
        os.waitpid(-1, 0)


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


# --- the start


def _go_into_the_background() -> None:
    """Becomes nobody's child, without a terminal and standard streams. Ends where somebody adopts it: that one might
    end everything below it one day."""
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    while protocol.parent_of(os.getpid()) not in (0, 1):
        with open(f"/proc/{os.getppid()}/comm", encoding="utf-8", errors="replace") as file:
            if file.read().strip() == "systemd":
                break
        # The process between may not have ended yet.
        time.sleep(0.01)
        if time.monotonic() > _STARTED + 1:
            os._exit(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    os.closerange(3, 4096)
    os.chdir("/")


def main(words: list[str]) -> Loaded | None:
    """Gives back in the process of a run alone; see the head of this module."""
    script, folder, collection, idle, runs, _ = words
    _go_into_the_background()
    here = protocol.surroundings(os.environ, script)
    name = protocol.name_of(here)
    # For the socket and its lock.
    os.umask(0o177)
    with protocol.private_folder(folder) as path:
        lock = os.open(f"{path}/{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os._exit(0)
        sys.path[0] = os.path.dirname(script)
        loaded = Loaded(script, Path(collection))
        # Nothing of the one that started it stays to be read.
        _show([sys.executable, __file__, script, folder], {})
        if len(os.listdir("/proc/self/task")) != 1:
            raise protocol.Refused("a thread runs")
        gc.collect()
        gc.freeze()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{path}/{name}.new")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(f"{path}/{name}.new")
            listener.listen(64)
            # Who sees it can connect.
            os.rename(f"{path}/{name}.new", f"{path}/{name}")
            connection = _serve(loaded, listener, f"{path}/{name}", float(idle), int(runs))
        if connection is None:
            # The folder may be gone.
            with contextlib.suppress(OSError):
                os.unlink(f"{path}/{name}.lock")
            os._exit(0)
    os.close(lock)
    request = _keep(connection, loaded, here)
    assert request is not None
    sys.argv = list(request.words)
    sys.orig_argv = [sys.executable, *request.words]
    if loaded.is_command:
        protocol.forked_by = folder, name
        return loaded
    for module in [module for module in sys.modules if module.partition(".")[0] == "reconnect"]:
        del sys.modules[module]
    return loaded


def _carry_out(script: types.CodeType, names: dict[str, Any]) -> None:
    """Executes the script, and ends as an interpreter does, except that nothing that was loaded is taken apart: that
    takes longer than all the rest of an end."""
    try:
        exec(script, names)
    except SystemExit as end:
        _codes.append(end.code if isinstance(end.code, int) else int(end.code is not None))
        raise
    except KeyboardInterrupt:
        # An interpreter ends by the signal.
        raise
    except BaseException:
        _codes.append(1)
        raise
    _codes.append(0)


_STARTED = time.monotonic()

if __name__ == "__main__" and (_run := main(sys.argv[1:])) is not None:
    _main = types.ModuleType("__main__")
    _main.__file__ = sys.argv[0]
    _this, sys.modules["__main__"] = sys.modules["__main__"], _main
    _carry_out(_run.script, _main.__dict__)
