"""The server's own network: routes, addresses, links, queues, kernel settings, names."""

from __future__ import annotations

import re
from random import Random

from ..mutation import Facts, Mutation, write

NETWORK = "198.18.10.0/24"
NETWORK6 = "2001:2:0:10::/64"
ADDRESS = re.compile(r"\s(inet6?) (\S+) .*scope global")
#: What the kernel is told; all of it is of the host's own network.
KERNEL = {
    "net.ipv4.icmp_echo_ignore_all": "1",
    "net.ipv6.conf.eth0.disable_ipv6": "1",
    "net.ipv4.tcp_syncookies": "0",
    "net.ipv4.ip_default_ttl": "1",
    "net.ipv4.ip_local_port_range": "60998 60999",
    "net.ipv4.tcp_timestamps": "0",
    "net.ipv4.conf.all.rp_filter": "1",
    "net.core.somaxconn": "1",
    "net.ipv6.conf.eth0.hop_limit": "1",
}
HOSTS = ("127.0.0.2 localhost", "192.0.2.7 {server}.reconnect.test {server}", "198.18.20.1 {server}")


def draw(rng: Random, facts: Facts) -> Mutation | None:
    """One change."""
    return rng.choice((default_route, route, address, link, queue, kernel, resolver, hosts, names))(rng, facts)


def made(kind: str, target: str, before: str, after: str, apply: str, revert: str, *causes: str) -> Mutation:
    return Mutation(f"network.{kind}", target, before, after, apply, revert, causes=causes)


def back(facts: Facts) -> str:
    """A script that gives the host its addresses and routes again; what the kernel makes of them comes with them."""
    lines = ["ip link set eth0 up", "ip link set lo up"]
    for line in facts.network.get("addresses", []):
        if found := ADDRESS.search(line):
            family, address = (
                ("-6", f"{found[2]} dev eth0 nodad") if found[1] == "inet6" else ("-4", f"{found[2]} dev eth0")
            )
            broadcast = f" brd {facts.address.rsplit('.', 1)[0]}.255" if found[1] == "inet" else ""
            lines.append(f"ip {family} addr add {address}{broadcast} 2>/dev/null || true")
    lines.append("systemctl restart lab-routes")
    return "\n".join(lines) + "\n"


def default_route(rng: Random, facts: Facts) -> Mutation | None:
    """The default route gone, or through somebody else."""
    family = rng.choice(("-4", "-6"))
    before = next((line for line in facts.network["routes" if family == "-4" else "routes6"] if "default" in line), "")
    wrong = "198.18.20.77" if family == "-4" else "2001:2:0:20::77"
    after, apply = rng.choice(
        (
            ("none", f"ip {family} route del default"),
            (f"via {wrong}", f"ip {family} route replace default via {wrong} dev eth0"),
        )
    )
    # A second route of another metric would stay.
    revert = f"ip {family} route flush default\n{back(facts)}"
    return made("default_route", family, before, after, f"{apply}\n", revert, "default_route_missing", "route_down")


def route(rng: Random, facts: Facts) -> Mutation | None:
    """A route of its own for the network of the phones."""
    family, network = rng.choice(
        (("-4", NETWORK), ("-6", NETWORK6), ("-4", f"{facts.phone}/32"), ("-6", f"{facts.phone6}/128"))
    )
    word = rng.choice(("blackhole", "unreachable", "prohibit"))
    return made(
        "route",
        network,
        "no route",
        word,
        f"ip {family} route add {word} {network}\n",
        f"ip {family} route del {word} {network} 2>/dev/null || true\n",
        "route_down",
        "default_route_missing",
    )


def address(rng: Random, facts: Facts) -> Mutation | None:
    """An address of the server gone, another one in its place, or one more."""
    found = [match for line in facts.network.get("addresses", []) if (match := ADDRESS.search(line))]
    if not found:
        return None
    one = rng.choice(found)
    family = "-6" if one[1] == "inet6" else "-4"
    other = "198.18.20.78/24" if family == "-4" else "2001:2:0:20::78/64"
    change = rng.choice(("removed", "changed", "added"))
    remove, add = f"ip {family} addr del {one[2]} dev eth0\n", f"ip {family} addr add {other} dev eth0\n"
    apply = {"removed": remove, "changed": add + remove, "added": add}[change]
    # Without its address the default route has gone as well: the way out is a second fault unless it is put back.
    revert = f"ip {family} addr del {other} dev eth0 2>/dev/null || true\n{back(facts)}"
    return made(
        f"address_{change}",
        one[2],
        one[2],
        {"removed": "none", "changed": other, "added": f"{one[2]}, {other}"}[change],
        apply,
        revert,
        "interface_down",
        "route_down",
        "transport_not_bound",
        "aaaa_unreachable",
        "default_route_missing",
    )


def link(rng: Random, facts: Facts) -> Mutation | None:
    """A link that is down, or takes small packets only."""
    change = rng.choice(("mtu", "mtu", "lo_down"))
    if change == "lo_down":
        return made("link", "lo", "up", "down", "ip link set lo down\n", back(facts), "interface_down")
    size = rng.choice((600, 1280, 1400))
    revert = "ip link set eth0 mtu 1500\n" + back(facts)
    return made("mtu", "eth0", "1500", str(size), f"ip link set eth0 mtu {size}\n", revert, "mtu_black_hole")


def queue(rng: Random, facts: Facts) -> Mutation | None:
    """A queue that loses, delays, doubles or damages packets."""
    what = rng.choice(
        ("loss 30%", "loss 5%", "delay 400ms", "delay 3000ms", "duplicate 50%", "corrupt 20%", "rate 16kbit")
    )
    return made(
        "queue",
        "eth0",
        "no queue",
        what,
        f"tc qdisc replace dev eth0 root netem {what}\n",
        "tc qdisc del dev eth0 root 2>/dev/null || true\n",
        "packet_loss_high",
        "route_down",
    )


def kernel(rng: Random, facts: Facts) -> Mutation | None:
    """A setting of the kernel for the network."""
    name = rng.choice(sorted(KERNEL))
    value = KERNEL[name]
    apply = f'sysctl -n {name} > "$kept.sysctl"\nsysctl -qw {name}="{value}"\n'
    kept = f'if [ -s "$kept.sysctl" ]; then sysctl -qw {name}="$(cat "$kept.sysctl")"; rm "$kept.sysctl"; fi\n'
    revert = kept + back(facts)
    return made("kernel", name, "as it is", value, apply, revert, "route_down", "aaaa_unreachable", "interface_down")


def resolver(rng: Random, facts: Facts) -> Mutation | None:
    """The server's own resolver: dead, none, or one that lies."""
    file = facts.file("/etc/resolv.conf")
    if file is None or file.text is None:
        return None
    after = rng.choice(("nameserver 192.0.2.53\n", "", "nameserver 198.18.20.254\n", "search example.test\n"))
    return Mutation(
        "network.resolver",
        file.path,
        file.text.strip(),
        after.strip(),
        write(file.path, after) + rng.choice(("", "restart asterisk\n")),
        keeps=(file.path,),
    )


def hosts(rng: Random, facts: Facts) -> Mutation | None:
    """A line of the hosts file that is wrong."""
    file = facts.file("/etc/hosts")
    if file is None or file.text is None:
        return None
    line = rng.choice(HOSTS).format(server=facts.server)
    lines = [one for one in file.text.splitlines(keepends=True) if "localhost" not in one or "localhost" not in line]
    return Mutation(
        "network.hosts",
        file.path,
        "the lab's names",
        line,
        write(file.path, f"{line}\n{''.join(lines)}") + rng.choice(("", "restart asterisk\n")),
        keeps=(file.path,),
    )


def names(rng: Random, facts: Facts) -> Mutation | None:
    """Where names are looked for."""
    file = facts.file("/etc/nsswitch.conf")
    if file is None or file.text is None:
        return None
    text = re.sub(r"(?m)^hosts:.*$", "hosts: files", file.text)
    return Mutation(
        "network.nsswitch",
        file.path,
        "files dns",
        "files",
        write(file.path, text) + "restart asterisk\n",
        keeps=(file.path,),
        units=("asterisk",),
        effect="restart",
    )
