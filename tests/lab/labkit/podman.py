"""Call podman, on a cgroup2 machine as it is and on a v1 or hybrid one through a private mount namespace."""

import functools
import os
import shutil
import subprocess
from pathlib import Path

from .errors import LabError

CANNOT_RUN = 3
RUN_DIRECTORY = Path("/run/reconnect-lab")


def is_root() -> bool:
    return os.geteuid() == 0


def cgroup2_is_mounted() -> bool:
    return Path("/sys/fs/cgroup/cgroup.controllers").exists()


@functools.lru_cache(maxsize=1)
def prefix() -> tuple[str, ...]:
    """The words before every podman call; a LabError says in a sentence why there can be none."""
    if shutil.which("podman") is None:
        raise LabError("podman is not installed: apt-get install $(cat tests/lab/packages.txt).", CANNOT_RUN)
    if cgroup2_is_mounted():
        return ("podman",)
    if not is_root():
        raise LabError(
            "This machine mounts cgroup v1 at /sys/fs/cgroup, where podman needs root for the lab: run it as root "
            "or boot with systemd.unified_cgroup_hierarchy=1.",
            CANNOT_RUN,
        )
    return ("nsenter", f"--wd={os.getcwd()}", f"--mount={namespace_file()}", "podman")


def namespace_file() -> Path:
    """A mount namespace in which /sys/fs/cgroup is cgroup2: crun refuses a v1 or hybrid hierarchy."""
    file = RUN_DIRECTORY / "mnt"
    RUN_DIRECTORY.mkdir(exist_ok=True)
    try:
        if not is_mounted(RUN_DIRECTORY):
            # A namespace can only be kept on a mount that is private.
            call(["mount", "--bind", str(RUN_DIRECTORY), str(RUN_DIRECTORY)])
            call(["mount", "--make-private", str(RUN_DIRECTORY)])
        if not is_mounted(file):
            file.touch()
            script = "umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup"
            call(["unshare", f"--mount={file}", "sh", "-c", script])
    except LabError as error:
        raise LabError(f"podman can't run here, no cgroup2 can be mounted: {error}", CANNOT_RUN) from None
    return file


def is_mounted(path: Path) -> bool:
    """Whether something is mounted at `path`; a bind mount too, which os.path.ismount does not see."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return any(line.split()[4] == str(path) for line in lines)


def call(command: list[str], timeout: float = 60, stdin: bytes | None = None) -> str:
    """Run a command and give its standard output; LabError with its words when it fails or takes too long."""
    try:
        # No input at all is an empty one, so that no command waits for a terminal.
        done = subprocess.run(command, capture_output=True, timeout=timeout, check=False, input=stdin or b"")
    except subprocess.TimeoutExpired:
        raise LabError(f"{command[0]} gave no answer in {timeout:.0f} s: {' '.join(command)}") from None
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise LabError(f"{' '.join(command)} failed: {said or f'exit code {done.returncode}'}")
    return done.stdout.decode(errors="replace")


def podman(*arguments: str, timeout: float = 180, stdin: bytes | None = None) -> str:
    return call([*prefix(), *arguments], timeout, stdin)


def check() -> None:
    """Raise LabError unless podman can run containers here."""
    try:
        podman("info", timeout=30)
    except LabError as error:
        if error.code == CANNOT_RUN:
            raise
        raise LabError(f"podman can't run here: {str(error).splitlines()[-1]}", CANNOT_RUN) from None


def replace_lost_namespaces() -> list[str]:
    """Give each container whose network namespace is gone an empty one; the files of those namespaces.

    When everything is killed at once, podman keeps a container as running, and each of its commands fails, even `ps`
    and `rm`, because it enters the namespace first.
    """
    directory = Path("/run") if is_root() else Path(f"/run/user/{os.getuid()}")
    script = """
    for file in "$1"/netns/netns-*; do
        if [ -e "$file" ] && [ "$(stat --file-system --format=%T "$file")" != nsfs ]; then
            unshare --net="$file" true && echo "$file"
        fi
    done
    """
    return call([*prefix()[:-1], "sh", "-euc", script, "sh", str(directory)]).split()


def drop_namespaces(files: list[str]) -> None:
    """Remove those that no container took along."""
    for file in filter(os.path.exists, files):
        call([*prefix()[:-1], "umount", file])
        os.unlink(file)


def run_script(host: str, script: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run a shell script as root on a host; LabError when it takes longer than `timeout` seconds."""
    command = [*prefix(), "exec", "-i", container(host), "bash", "-eu", "-s"]
    try:
        return subprocess.run(command, input=script, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        raise LabError(f"a script on {host} did not end in {timeout:.0f} s") from None


def container(host: str) -> str:
    return f"reconnect-{host}"
