"""Start and end the hosts' containers."""

import json
from pathlib import Path
from typing import Any

from . import images, network, podman
from .errors import LabError
from .hosts import Host

LIMITS = ("--pids-limit=0", "--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096")


def start(host: Host) -> None:
    """Boot a host from its image; whatever ran in its place is gone."""
    remove(host)
    networks = [
        f"--network={network.name(place)}:ip={place.address(number)},ip6={place.address6(number)}"
        f",mac={place.mac(number)},interface_name=eth{index}"
        for index, (place, number) in enumerate(host.places.items())
    ]
    resolvers = [f"--dns={address}" for address in host.resolvers]
    podman.podman(
        *("run", "--detach", f"--name={podman.container(host.name)}", f"--hostname={host.name}"),
        *("--systemd=always", "--privileged", *LIMITS, *networks, *resolvers, "--dns-search=reconnect.test"),
        *(images.tag(host), "/lib/systemd/systemd"),
    )


def remove(host: Host) -> None:
    words = ("rm", "--force", "--ignore", "--time=0", podman.container(host.name))
    try:
        podman.podman(*words)
    except LabError:
        # It fails once when it finds that the container was killed behind its back.
        podman.podman(*words)


def states() -> dict[str, tuple[str, str]]:
    """Each existing container's state and image tag, by host name; `killed` is a state, too."""
    listed = json.loads(podman.podman("ps", "--all", "--filter=name=^reconnect-", "--format=json") or "[]")
    return {entry["Names"][0].removeprefix("reconnect-"): (state(entry), entry["Image"]) for entry in listed}


def state(entry: dict[str, Any]) -> str:
    killed = entry["State"] == "running" and not Path(f"/proc/{entry['Pid']}").exists()
    return "killed" if killed else str(entry["State"])


def running(host: Host, known: dict[str, tuple[str, str]]) -> bool:
    """Whether the host runs, from the image its recipe makes today."""
    return known.get(host.name) == ("running", images.tag(host))


def require(host: Host) -> None:
    if states().get(host.name, ("absent", ""))[0] != "running":
        raise LabError(f"{host.name} is not running: tests/lab/lab up {host.name}", 2)
