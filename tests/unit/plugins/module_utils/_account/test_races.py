"""Root writes in a folder of another user, who puts links in its way at every moment: nothing outside is touched."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils import _files
from ansible_collections.privatewave.reconnect.plugins.module_utils._account import client_documents, provision
from ansible_collections.privatewave.reconnect.plugins.module_utils._account.documents import RenderedDocument

NAME = "privategsm.json"
#: `nobody`, who owns the folder.
SERVICE = 65534
#: For how long each race goes, in seconds.
SECONDS = 1.5

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="root works against another user")


@pytest.fixture
def place() -> Iterator[Path]:
    """`theirs`, the other user's folder, beside `ours`, with a file of root's that nobody else may read."""
    # In memory: what the attacker leaves is thousands of folders, which a disk takes long to remove.
    top = Path(tempfile.mkdtemp(prefix="reconnect-race-", dir="/dev/shm"))
    top.chmod(0o755)
    for name in ("theirs", "ours"):
        (top / name).mkdir(mode=0o755)
    os.chown(top / "theirs", SERVICE, SERVICE)
    (top / "ours" / NAME).write_text("root's secret")
    (top / "ours" / NAME).chmod(0o600)
    yield top
    shutil.rmtree(top)


def state(folder: Path) -> dict[str, tuple[object, ...]]:
    """What is in a folder, and whose it is."""
    paths = [folder, *folder.rglob("*")]
    found = {path: path.lstat() for path in paths}
    return {
        str(path): (one.st_uid, one.st_gid, one.st_mode, path.read_bytes() if path.is_file() else None)
        for path, one in found.items()
    }


@contextlib.contextmanager
def attacker(step: Callable[[], None]) -> Iterator[None]:
    """Another user who takes `step` again and again meanwhile."""
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setresgid(SERVICE, SERVICE, SERVICE)
        os.setresuid(SERVICE, SERVICE, SERVICE)
        while True:
            with contextlib.suppress(OSError):
                step()
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def race(work: Callable[[int], None]) -> int:
    """Works until the time is over; how often that succeeded."""
    done, turn, until = 0, 0, time.monotonic() + SECONDS
    while time.monotonic() < until:
        turn += 1
        with contextlib.suppress(OSError, provision.ProvisionError):
            work(turn)
            done += 1
    return done


@pytest.mark.attack("a folder is swapped for a link", harm="execution")
def test_a_folder_that_is_swapped_for_a_link(place: Path) -> None:
    theirs, ours = place / "theirs", place / "ours"
    before = state(ours)

    def swap() -> None:
        for name in ("accounts", "accounts/601", "activations"):
            path = theirs / name
            with contextlib.suppress(OSError):
                path.rename(theirs / f"away-{time.monotonic_ns()}")
            with contextlib.suppress(OSError):
                path.symlink_to(ours)
            with contextlib.suppress(OSError):
                path.unlink()
            with contextlib.suppress(OSError):
                path.mkdir()

    def work(turn: int) -> None:
        document = {"username": "601", "name": NAME, "content": f"turn {turn}"}
        with contextlib.suppress(OSError, provision.ProvisionError):
            provision.put(str(theirs), document, (SERVICE, SERVICE), 0o600)
        with contextlib.suppress(OSError, provision.ProvisionError):
            provision.restore(str(theirs), {"username": "601", "name": NAME})
        provision.activate(str(theirs), "601", NAME, 60, (SERVICE, SERVICE))

    with attacker(swap):
        race(work)
    assert state(ours) == before


@pytest.mark.attack("a new file is swapped for a link", harm="execution")
def test_a_new_file_that_is_swapped_for_a_link(place: Path) -> None:
    theirs, ours = place / "theirs", place / "ours"
    path = theirs / "pjsip.conf"
    path.write_text("old")
    os.chown(path, SERVICE, SERVICE)
    path.chmod(0o666)
    before = state(ours)

    def swap() -> None:
        for name in os.listdir(theirs):
            if name.startswith(".new-"):
                (theirs / name).unlink()
                (theirs / name).symlink_to(ours / NAME)

    with attacker(swap):
        assert race(lambda turn: _files.replace(str(path), f"turn {turn}", keep=True)) > 0
    assert state(ours) == before


@pytest.mark.attack("a link or a pipe in place of a file that is collected", harm="leak")
@pytest.mark.parametrize("what", ["file", "folder", "pipe"])
def test_what_another_user_links_to_is_not_read(place: Path, what: str) -> None:
    home = place / "theirs" / "accounts" / "601"
    home.parent.mkdir()
    if what == "folder":
        home.symlink_to(place / "ours")
    else:
        home.mkdir()
        (home / NAME).symlink_to(place / "ours" / NAME) if what == "file" else os.mkfifo(home / NAME)
    for path in (place / "theirs").rglob("*"):
        os.chown(path, SERVICE, SERVICE, follow_symlinks=False)
    said = "no regular file" if what == "pipe" else "symbolic links"
    with pytest.raises(OSError, match=said), open(home / NAME, opener=_files.opener):
        pass
    wanted: list[RenderedDocument] = [{"username": "601", "name": NAME, "content": "x"}]
    with pytest.raises(Exception, match="cannot read the document") as raised:
        client_documents.compare(str(place / "theirs"), wanted)
    assert "secret" not in str(raised.value)


def test_links_of_root_and_links_to_ones_own_are_followed(place: Path) -> None:
    theirs = place / "theirs"
    (theirs / "by-root").symlink_to(place / "ours")
    with open(theirs / "by-root" / NAME, opener=_files.opener) as file:
        assert file.read() == "root's secret"
    (theirs / "own").write_text("own")
    (theirs / "link").symlink_to("own")
    for name in ("own", "link"):
        os.chown(theirs / name, SERVICE, SERVICE, follow_symlinks=False)
    with open(theirs / "link", opener=_files.opener) as file:
        assert file.read() == "own"


@pytest.mark.attack("a folder of backups that others may write in")
@pytest.mark.parametrize("wrong", ["owner", "mode"])
def test_what_is_kept_is_not_kept_where_another_user_can_write(place: Path, wrong: str) -> None:
    kept = place / "ours" / "kept"
    with _files.private(str(kept)):
        assert kept.stat().st_mode & 0o777 == 0o700
    if wrong == "owner":
        os.chown(kept, SERVICE, SERVICE)
    else:
        kept.chmod(0o777)
    with pytest.raises(OSError, match="another user owns it or may write in it"), _files.private(str(kept)):
        pass
