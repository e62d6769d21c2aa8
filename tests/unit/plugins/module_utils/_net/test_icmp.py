# SPDX-License-Identifier: GPL-3.0-or-later
"""Loss and path MTU through real network namespaces, and the output of the ping command."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._net import icmp

COLLECTIONS = Path(__file__).parents[5] / "collections"
#: The names of namespaces are global: each process uses its own.
CLIENT, ROUTER, SERVER = NAMES = tuple(f"rc{os.getpid()}-{name}" for name in ("client", "router", "server"))
LINKS = f"""
ip link add c0 netns {CLIENT} type veth peer name r0 netns {ROUTER}
ip link add r1 netns {ROUTER} type veth peer name s0 netns {SERVER}
ip -n {CLIENT} addr add 198.19.1.2/24 dev c0
ip -n {CLIENT} addr add fd19:1::2/64 dev c0 nodad
ip -n {ROUTER} addr add 198.19.1.1/24 dev r0
ip -n {ROUTER} addr add fd19:1::1/64 dev r0 nodad
ip -n {ROUTER} addr add 198.19.2.1/24 dev r1
ip -n {ROUTER} addr add fd19:2::1/64 dev r1 nodad
ip -n {SERVER} addr add 198.19.2.2/24 dev s0
ip -n {SERVER} addr add fd19:2::2/64 dev s0 nodad
ip -n {CLIENT} link set c0 up
ip -n {ROUTER} link set r0 up
ip -n {ROUTER} link set r1 up
ip -n {SERVER} link set s0 up
ip -n {CLIENT} route add default via 198.19.1.1
ip -n {CLIENT} route add default via fd19:1::1
ip -n {SERVER} route add default via 198.19.2.1
ip -n {SERVER} route add default via fd19:2::1
ip netns exec {ROUTER} sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
"""
SERVERS = ("198.19.2.2", "fd19:2::2")


def run(command: str) -> None:
    subprocess.run(command.split(), check=True, stdin=subprocess.DEVNULL, timeout=20)


@pytest.fixture(scope="module")
def namespaces() -> Iterator[None]:
    """A client, a router and a server, each in its own network namespace."""
    if os.geteuid() or not (shutil.which("ip") and shutil.which("nft")):
        pytest.skip("network namespaces need root, iproute2 and nftables")
    for name in NAMES:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True, timeout=20)
    try:
        for name in NAMES:
            run(f"ip netns add {name}")
            run(f"ip -n {name} link set lo up")
            # There is no other host: skip duplicate address detection.
            run(f"ip netns exec {name} sysctl -qw net.ipv6.conf.default.accept_dad=0")
        for command in LINKS.strip().splitlines():
            run(command)
        # The first neighbour solicitation on a new link can get lost; it is sent again after a second.
        assert any(ask("path_mtu", SERVERS[1])["ok"] for _attempt in range(8))
        yield
    finally:
        for name in NAMES:
            run(f"ip netns del {name}")


@pytest.fixture
def network(namespaces: Any) -> Iterator[None]:
    """The three, healthy again after the test: a test can narrow the link and drop packets."""
    yield
    for name in NAMES:
        run(f"ip netns exec {name} nft flush ruleset")
    for name, link in ((ROUTER, "r1"), (SERVER, "s0")):
        run(f"ip -n {name} link set {link} mtu 1500")
    for version in ("-4", "-6"):
        # What the kernel of the client learnt about the path.
        run(f"ip -n {CLIENT} {version} route flush cache")


def ask(question: str, address: str, privileged: bool = True) -> dict[str, Any]:
    """The answer of a function of `icmp` in the namespace of the client, with or without CAP_NET_RAW."""
    code = (
        "import json, sys; sys.path.insert(0, sys.argv[1])\n"
        "from ansible_collections.privatewave.reconnect.plugins.module_utils import _probe\n"
        "from ansible_collections.privatewave.reconnect.plugins.module_utils._net import icmp\n"
        f"print(json.dumps(_probe.probe(lambda: icmp.{question}(sys.argv[2]))))"
    )
    command = ["ip", "netns", "exec", CLIENT]
    if not privileged:
        command += ["setpriv", "--bounding-set", "-net_raw"]
    answer = subprocess.run(
        [*command, sys.executable, "-c", code, str(COLLECTIONS), address],
        check=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=20,
    )
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def narrow() -> None:
    run(f"ip -n {ROUTER} link set r1 mtu 1400")
    run(f"ip -n {SERVER} link set s0 mtu 1400")


def rules(namespace: str, *lines: str) -> None:
    subprocess.run(
        ["ip", "netns", "exec", namespace, "nft", "-f", "-"],
        check=True,
        timeout=20,
        text=True,
        input="\n".join(
            [
                "add table inet t",
                "add chain inet t c { type filter hook output priority 0; }",
                "add chain inet t i { type filter hook input priority 0; }",
                *lines,
                "",
            ]
        ),
    )


@pytest.mark.parametrize("address", SERVERS)
def test_a_wide_path_and_a_narrow_one_that_reports_its_mtu(network: Any, address: str) -> None:
    assert ask("path_mtu", address)["data"] == {
        "mtu": 1500,
        "black_hole": False,
        "largest_ok": 1500,
        "local_mtu": 1500,
        "reported_mtu": None,
    }
    narrow()
    assert ask("path_mtu", address)["data"] == {
        "mtu": 1400,
        "black_hole": False,
        "largest_ok": 1400,
        "local_mtu": 1500,
        "reported_mtu": 1400,
    }


@pytest.mark.parametrize("address", SERVERS)
def test_a_black_hole_is_found_and_measured(network: Any, address: str) -> None:
    narrow()
    rules(
        ROUTER,
        "add rule inet t c icmp type destination-unreachable drop",
        "add rule inet t c icmpv6 type packet-too-big drop",
    )
    answer = ask("path_mtu", address)
    assert answer["data"] == {
        "mtu": 1400,
        "black_hole": True,
        "largest_ok": 1400,
        "local_mtu": 1500,
        "reported_mtu": None,
    }


@pytest.mark.parametrize("address", SERVERS)
def test_no_reply_at_all_is_not_a_black_hole(network: Any, address: str) -> None:
    rules(SERVER, "add rule inet t i icmp type echo-request drop", "add rule inet t i icmpv6 type echo-request drop")
    assert ask("path_mtu", address)["error"] == "timed_out"
    assert ask("ping", address)["error"] == "timed_out"


def test_loss_is_counted(network: Any) -> None:
    rules(SERVER, "add rule inet t i icmp type echo-request numgen inc mod 5 < 2 drop")
    found = ask("ping", SERVERS[0])["data"]
    # More packets are sent than on a path without loss.
    assert (found["sent"], found["received"], found["loss"]) == (20, 12, 0.4)
    assert ask("ping", SERVERS[1])["data"]["sent"] == 5


def test_a_router_that_reports_unreachable(network: Any) -> None:
    run(f"ip -n {ROUTER} route add unreachable 198.19.9.9")
    assert ask("ping", "198.19.9.9")["error"] == "unreachable"


def test_no_privilege_is_needed_where_ping_sockets_are_allowed(network: Any) -> None:
    allow = "echo 0 2147483647 > /proc/sys/net/ipv4/ping_group_range"
    subprocess.run(["ip", "netns", "exec", CLIENT, "sh", "-c", allow], check=True, timeout=20)
    for address in SERVERS:
        assert ask("ping", address, privileged=False)["data"]["received"] == 5
        assert ask("path_mtu", address, privileged=False)["data"]["mtu"] == 1500


def test_without_any_privilege_it_is_denied_and_not_timed_out(network: Any) -> None:
    forbid = "echo 1 0 > /proc/sys/net/ipv4/ping_group_range"
    subprocess.run(["ip", "netns", "exec", CLIENT, "sh", "-c", forbid], check=True, timeout=20)
    assert ask("ping", SERVERS[0], privileged=False)["error"] == "denied"
    assert ask("path_mtu", SERVERS[0], privileged=False)["error"] == "denied"


PRINTED = """PING 192.0.2.1 (192.0.2.1) 56(84) bytes of data.

--- 192.0.2.1 ping statistics ---
5 packets transmitted, {received} received, 20% packet loss, time 803ms
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may always send echo requests")
def test_a_reply_that_came_in_time_counts_however_late_it_is_read() -> None:
    with icmp._Pinger("127.0.0.1") as pinger:
        pinger.send(0, 64)
        assert select.select([pinger._sock], [], [], 60)[0]
        pinger.listen(time.monotonic() - 1, enough=lambda: bool(pinger.replies))
        assert list(pinger.replies) == [0]


def test_the_output_of_the_ping_command() -> None:
    text = PRINTED.format(received=4) + "rtt min/avg/max/mdev = 0.045/0.061/0.079/0.012 ms\n"
    assert icmp.parse_ping(text) == (5, 4, (0.045, 0.061, 0.079))
    assert icmp.parse_ping(PRINTED.format(received=0)) == (5, 0, None)
    assert icmp.parse_ping("ping: socket: Operation not permitted\n") is None


@pytest.mark.parametrize(
    ("text", "mtu"),
    [
        ("From 192.0.2.9 icmp_seq=1 Frag needed and DF set (mtu = 1400)\n", 1400),
        (
            "From 2001:db8::9 icmp_seq=1 Packet too big: mtu=1280\n"
            "From 2001:db8::8 icmp_seq=2 Packet too big: mtu=1400\n",
            1280,
        ),
        ("ping: local error: message too long, mtu=1500\n", None),
    ],
)
def test_the_mtu_that_a_router_reports_to_the_ping_command(text: str, mtu: int | None) -> None:
    assert icmp.parse_reported_mtu(text) == mtu


@pytest.mark.parametrize(("raw", "left"), [(True, 0), (False, 3)])
def test_what_came_before_a_raw_socket_was_connected_takes_no_room(raw: bool, left: int) -> None:
    pinger: Any = object.__new__(icmp._Pinger)
    ours, others = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, others:
        pinger._sock, pinger._raw = ours, raw
        for _ in range(3):
            others.send(b"somebody else's")
        pinger._drop_foreign()
        ours.setblocking(False)
        taken = 0
        with contextlib.suppress(BlockingIOError):
            while ours.recv(100):
                taken += 1
        assert taken == left
