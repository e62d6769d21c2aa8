"""The lab's networks: they exist while the lab is up; afterwards nothing meant for them leaves the machine."""

import contextlib
import json
from pathlib import Path

from . import podman
from .errors import LabError
from .hosts import CONTROL_NODE, NETWORKS, Network

# Higher than any other metric: a living network always wins.
LAST = "4294967295"
# Where podman notes for root which container has which address.
ADDRESSES = Path("/run/containers/networks/ipam.db")


def name(network: Network) -> str:
    return f"reconnect-{network.name}"


def create() -> None:
    fence()
    for network in NETWORKS:
        if exists(network):
            continue
        podman.podman(
            *("network", "create", "--internal", "--disable-dns", "--ipv6"),
            *("--subnet", f"{network.ipv4}.0/24", "--gateway", network.address(CONTROL_NODE)),
            *("--subnet", f"{network.ipv6}::/64", "--gateway", network.address6(CONTROL_NODE)),
            name(network),
        )


def remove() -> None:
    for network in NETWORKS:
        if exists(network):
            podman.podman("network", "rm", "--force", name(network))
        # A podman that was killed half-way leaves its bridge behind, and the container's address taken.
        for link in json.loads(podman.call(["ip", "-json", "addr", "show", "to", network.address(CONTROL_NODE)])):
            podman.call(["ip", "link", "delete", link["ifname"]])
    if ADDRESSES.exists() and not podman.podman("ps", "--all", "--quiet").strip():
        ADDRESSES.unlink()
    fence()


def exists(network: Network) -> bool:
    return name(network) in podman.podman("network", "ls", "--format={{.Name}}").split()


def fence() -> None:
    """Unreachable routes for the lab's addresses, used whenever no lab network is there."""
    for network in NETWORKS:
        podman.call(["ip", "route", "replace", "unreachable", f"{network.ipv4}.0/24", "metric", LAST])
        with contextlib.suppress(LabError):  # a machine without IPv6 sends nothing over it either
            podman.call(["ip", "-6", "route", "replace", "unreachable", f"{network.ipv6}::/64", "metric", LAST])
