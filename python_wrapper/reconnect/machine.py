"""Which machine this is, whose command, and where it keeps things. It loads little: a command starts with it."""

from __future__ import annotations

import contextlib
import functools
import os
import pwd
from pathlib import Path

from reconnect.errors import InputError, StoreError
from reconnect.text import one_line


def expanded(path: Path) -> Path:
    """`path` with the home folder that its `~` stands for. Raises InputError where nobody knows one."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise InputError(f"Cannot find the home folder of '{one_line(path)}'. Set HOME, or an absolute path.") from None


def state_folder(named: Path | None) -> Path:
    """The folder that everything is kept in: the one that the settings name, else `$XDG_STATE_HOME/reconnect`. Raises
    InputError."""
    if named is not None:
        return expanded(named).absolute()
    state_home = os.environ.get("XDG_STATE_HOME", "")
    base = Path(state_home) if Path(state_home).is_absolute() else expanded(Path("~/.local/state"))
    return base / "reconnect"


def warm_folder(state: Path) -> Path:
    """The folder of the sockets of warm processes: `$XDG_RUNTIME_DIR/reconnect`, else in the state folder."""
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    # After `su` or `sudo -E` it is another user's, who could have this one make and change folders anywhere.
    with contextlib.suppress(OSError):
        if runtime.is_absolute() and runtime.stat().st_uid == os.geteuid():
            return runtime / "reconnect"
    return state / "warm"


def make_private(folder: Path) -> None:
    """Makes `folder`, and what is missing above it, for this user alone whatever the umask is. Raises OSError."""
    for missing in [folder, *folder.parents][::-1]:
        # Of a folder that is made with its parents only the last one gets the mode.
        if not missing.is_dir():
            missing.mkdir(mode=0o700, exist_ok=True)
            missing.chmod(0o700)


@functools.cache
def machine(state: Path) -> str:
    """The name of this machine, or rather of its state folder; it stays when the host is renamed. Raises
    StoreError."""
    file = state / "machine"
    try:
        if not file.is_file():
            make_private(state)
            own = state / f"machine.{os.urandom(4).hex()}"
            descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as new:
                new.write(f"{one_line(os.uname().nodename, 80)}-{os.urandom(4).hex()}")
                new.flush()
                os.fsync(new.fileno())
            # The first process names it.
            with contextlib.suppress(FileExistsError):
                os.link(own, file)
            own.unlink()
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise StoreError(f"Cannot store runs in {state}: {error.strerror}.") from None


def worker(state: Path, number: int) -> str:
    """The name of the worker with this number, the same for whoever takes it, and on no other machine."""
    return f"{machine(state)}.{number}"


def of_worker(name: str) -> str:
    """The machine of the worker of that name."""
    return name.rpartition(".")[0]


def number_of(name: str) -> str:
    """The number of the worker of that name on its machine."""
    return name.rpartition(".")[2]


def is_here(state: Path, name: str | None) -> bool:
    """Whether the worker of that name is one of this machine."""
    return name is not None and of_worker(name) == machine(state)


def user() -> str | None:
    """The name of the user whose command this is; None where it has none."""
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(os.getuid()).pw_name
    return None
