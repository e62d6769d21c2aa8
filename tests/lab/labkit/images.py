"""Make the hosts' images: Debian packages first, then the recipe's files, the lab's state and the set-up script.

Both steps are cached in podman's image store under a hash of what they are made of.
"""

import contextlib
import hashlib
import json
import re
import shutil
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import podman, state
from .errors import LabError
from .hosts import HOSTS, Host
from .paths import CACHE, RECIPES

BUILD_SECONDS = 900
SETUP_SECONDS = 120
# Raise when the way an image is made changes in a manner that its recipe does not show.
BUILDER = "1"
#: Who makes the base of a host; others that share it wait.
BASES = {name: threading.Lock() for name in HOSTS}
DPKG_OPTIONS = [f"path-exclude=/usr/share/{directory}/*" for directory in ("man", "locale", "info", "help")]


def suite(host: Host) -> str:
    return (RECIPES / (host.debian_of or host.name) / "suite").read_text().strip()


def packages(host: Host) -> list[str]:
    of = HOSTS[host.debian_of or host.name]
    files = [RECIPES / recipe / "packages" for recipe in of.recipes]
    return sorted({word for file in files if file.exists() for word in file.read_text().split()})


def base_tag(host: Host) -> str:
    made_of = "\n".join([BUILDER, suite(host), *packages(host), *DPKG_OPTIONS])
    return f"localhost/reconnect-lab/base:{hashlib.sha256(made_of.encode()).hexdigest()[:16]}"


def contents(host: Host) -> dict[str, tuple[bytes, int]]:
    """Every file that goes on top of the packages, by its path on the host, with its mode."""
    found: dict[str, tuple[bytes, int]] = {}
    values = placeholders(host)
    for recipe in host.recipes:
        top = RECIPES / recipe / "files"
        for file in sorted(top.rglob("*")):
            # What Python made of a module when a test imported it belongs to no host.
            if not file.is_file() or file.parent.name == "__pycache__":
                continue
            path = str(file.relative_to(top))
            data, mode = file.read_bytes(), file.stat().st_mode & 0o777
            if path.endswith(".in"):
                path = path.removesuffix(".in")
                data = fill(data, values)
            found[path] = (data, 0o755 if mode & 0o100 else 0o644)
    for path, data in state.files_for(host).items():
        found[path] = (data, 0o600)
    setups = [RECIPES / recipe / "setup" for recipe in host.recipes]
    script = "set -eu\n" + "".join(setup.read_text() for setup in setups if setup.exists())
    found["opt/lab/setup"] = (script.encode(), 0o755)
    return found


def placeholders(host: Host) -> dict[str, str]:
    """Values for the @names@ in files that end in .in: those that its recipes know, and its secrets."""
    found = {name: value for recipe in host.recipes for name, value in values_of(recipe).items()}
    if host.is_pbx:
        own = state.read_secrets()["servers"][host.name]
        found |= {name: own[name] for name in ("database_password", "ami_secret")}
    if host.is_stranger:
        own = state.read_secrets()["servers"][host.name]
        found |= {f"password_{name}": secret for name, secret in state.accounts_of(host).items()}
        found["database_password"] = own["database_password"]
    return found


def values_of(recipe: str) -> dict[str, str]:
    """What a recipe's values.json has to say in the files of the others."""
    file = RECIPES / recipe / "values.json"
    return json.loads(file.read_text()) if file.exists() else {}


def fill(data: bytes, values: dict[str, str]) -> bytes:
    """A file that ends in .in, with the values in the place of their @names@."""
    return re.sub(rb"@(\w+)@", lambda match: values[match[1].decode()].encode(), data)


def tag(host: Host) -> str:
    digest = hashlib.sha256(base_tag(host).encode())
    for path, (data, mode) in sorted(contents(host).items()):
        digest.update(f"{path} {mode:o} {len(data)}\n".encode())
        digest.update(data)
    return f"localhost/reconnect-lab/{host.name}:{digest.hexdigest()[:16]}"


def exists(name: str) -> bool:
    return bool(podman.podman("image", "ls", "--quiet", name).strip())


def provide(hosts: list[Host], say: Callable[[str], None] = print) -> None:
    """Make the images that are missing, two at a time."""
    if shutil.which("mmdebstrap") is None and any(not exists(base_tag(host)) for host in hosts):
        raise LabError("mmdebstrap is not installed: apt-get install $(cat tests/lab/packages.txt).", podman.CANNOT_RUN)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda host: provide_one(host, say), hosts))


def provide_one(host: Host, say: Callable[[str], None]) -> None:
    name = tag(host)
    if exists(name):
        return
    with BASES[host.debian_of or host.name]:
        if not exists(base_tag(host)):
            say(f"{host.name}: installing Debian {suite(host)} with {len(packages(host))} packages (about a minute)")
            build_base(host)
    say(f"{host.name}: setting up")
    build(host, name)
    remove_older(host, name)


def build_base(host: Host) -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as directory:
        tar = Path(directory) / "root.tar"
        command = ["mmdebstrap", "--quiet", "--variant=minbase", '--aptopt=Acquire::Check-Valid-Until "false"']
        command += [f"--dpkgopt={option}" for option in DPKG_OPTIONS]
        command += [f"--include={','.join(packages(host))}", suite(host), str(tar)]
        podman.call(command, BUILD_SECONDS)
        podman.podman("import", "--quiet", str(tar), base_tag(host), timeout=BUILD_SECONDS)


def build(host: Host, name: str) -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as directory:
        root = Path(directory) / "root"
        for path, (data, mode) in contents(host).items():
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
            file.chmod(mode)
        (Path(directory) / "Containerfile").write_text(
            f"FROM {base_tag(host)}\nCOPY root/ /\nRUN timeout {SETUP_SECONDS} bash /opt/lab/setup\n"
        )
        build = [
            "build",
            "--quiet",
            "--pull-never",
            "--layers=false",
            "--isolation=chroot",
            "--network=host",
        ]
        podman.podman(*build, f"--tag={name}", directory, timeout=BUILD_SECONDS)


def remove_older(host: Host, name: str) -> None:
    """Keep one image per host: the state makes a new one whenever it is created again."""
    listed = podman.podman("image", "ls", "--format={{.Repository}}:{{.Tag}}", f"localhost/reconnect-lab/{host.name}")
    others = {other for other in listed.split() if other.startswith(f"localhost/reconnect-lab/{host.name}:")}
    for other in others - {name}:
        with contextlib.suppress(LabError):  # one that a running container still uses stays until the next time
            podman.podman("image", "rm", other)
