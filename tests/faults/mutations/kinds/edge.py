"""The edge: its filter, its translation of addresses, its routes, sizes and queues, and the names that it serves."""

from __future__ import annotations

import re
from random import Random

from ..mutation import Facts, Mutation, write
from .configuration import another_number

RECORD = re.compile(r"^(host-record|srv-host)=")


def draw(rng: Random, facts: Facts) -> Mutation | None:
    """One change that concerns the server of the case alone."""
    return rng.choice((filtered, filtered, translated, forgotten, sized, routed, record, record))(rng, facts)


def draw_wide(rng: Random, facts: Facts) -> Mutation | None:
    """One change that every server suffers from."""
    return rng.choice((masqueraded, link, queued, names))(rng, facts)


def made(kind: str, target: str, before: str, after: str, apply: str, revert: str, *causes: str) -> Mutation:
    return Mutation(kind, target, before, after, apply, revert, causes=causes)


RELOAD = "restart nftables\n"


def place(rng: Random, facts: Facts) -> str:
    """The server, over one family of addresses."""
    return rng.choice((f"ip daddr {facts.address}", f"ip6 daddr {facts.address6}"))


def filtered(rng: Random, facts: Facts) -> Mutation | None:
    """One more rule on the path to the server."""
    match = rng.choice(
        (
            "tcp dport 5061",
            "tcp dport 443",
            "tcp dport { 443, 5061 }",
            "meta l4proto tcp",
            "meta l4proto icmp",
            "tcp dport 5061 meta length > 300",
            "tcp dport 5061 limit rate over 2/minute",
            "udp dport 15000-18000",
        )
    )
    verdict = rng.choice(("drop", "reject", "reject with tcp reset" if "tcp dport" in match else "drop"))
    rule = f"{place(rng, facts)} {match} {verdict}"
    return made(
        "edge.filter",
        "inet filter forward",
        "no rule",
        rule,
        f"nft insert rule inet filter forward {quoted(rule)}\n",
        RELOAD,
        "firewall_edge_blocks",
        "route_down",
        "provisioning_down",
        "aaaa_unreachable",
        "mtu_black_hole",
    )


def quoted(rule: str) -> str:
    return "'{}'".format(rule.replace("'", ""))


def translated(rng: Random, facts: Facts) -> Mutation | None:
    """Packets for the server that go to somebody else, or to another port."""
    family, server, other = rng.choice(
        (("ip", facts.address, "198.18.20.99"), ("ip6", facts.address6, "2001:2:0:20::99"))
    )
    goal = rng.choice(
        (
            other,
            f"{f'[{server}]' if family == 'ip6' else server}:5060",
            f"{f'[{server}]' if family == 'ip6' else server}:443",
        )
    )
    rules = (
        f"table {family} mutation {{ chain added {{ type nat hook prerouting priority -100;\n"
        f"{family} daddr {server} tcp dport 5061 dnat to {goal}\n}} }}"
    )
    return made(
        "edge.translation",
        f"{server} 5061",
        "as it is",
        goal,
        f"nft -f - <<'RULES'\n{rules}\nRULES\n",
        f"nft delete table {family} mutation 2>/dev/null || true\n",
        "firewall_edge_blocks",
        "tls_intercepted",
        "route_down",
        "aaaa_unreachable",
    )


def masqueraded(rng: Random, facts: Facts) -> Mutation | None:
    """Phones whose addresses are not translated any more, or to one that no answer comes back to."""
    if rng.random() < 0.5:
        apply, after = "nft flush chain ip nat postrouting\n", "no rule"
    else:
        after = "snat to 198.18.20.77"
        apply = f"nft insert rule ip nat postrouting iif eth0 oif eth1 {after}\n"
    causes = ("route_down", "firewall_edge_blocks")
    return made("edge_wide.masquerade", "ip nat postrouting", "masquerade", after, apply, RELOAD, *causes)


def forgotten(rng: Random, facts: Facts) -> Mutation | None:
    """Connections that the edge forgets soon."""
    seconds = rng.choice((3, 11, 60))
    family, server = rng.choice((("ip", facts.address), ("ip6", facts.address6)))
    rules = (
        f"add ct timeout inet filter short "
        f"{{ protocol tcp; l3proto {family}; policy = {{ established: {seconds} }}; }}\n"
        f'insert rule inet filter forward {family} daddr {server} tcp dport 5061 ct state new ct timeout set "short"\n'
    )
    return made(
        "edge.forgets",
        f"{server} 5061",
        "days",
        f"{seconds} s",
        f"nft -f - <<'RULES'\n{rules}RULES\n",
        RELOAD,
        "nat_idle_drop",
    )


def sized(rng: Random, facts: Facts) -> Mutation | None:
    """Large packets from or for this server that are dropped."""
    size = rng.choice((600, 1000, 1280, 1400))
    rule = f"{place(rng, facts).replace('daddr', rng.choice(('daddr', 'saddr')))} meta length > {size} drop"
    apply = f"nft insert rule inet filter forward {quoted(rule)}\n"
    causes = ("mtu_black_hole", "firewall_edge_blocks")
    return made("edge.size", "inet filter forward", "no rule", rule, apply, RELOAD, *causes)


def link(rng: Random, facts: Facts) -> Mutation | None:
    """A link that takes small packets only."""
    name, size = rng.choice(("eth0", "eth1")), rng.choice((600, 1280, 1400))
    apply, revert = f"ip link set {name} mtu {size}\n", f"ip link set {name} mtu 1500\n"
    return made("edge_wide.mtu", name, "1500", str(size), apply, revert, "mtu_black_hole")


def queued(rng: Random, facts: Facts) -> Mutation | None:
    """A link that loses or delays."""
    link, what = (
        rng.choice(("eth0", "eth1")),
        rng.choice(("loss 30%", "loss 8%", "delay 800ms", "reorder 50% delay 50ms")),
    )
    return made(
        "edge_wide.queue",
        link,
        "no queue",
        what,
        f"tc qdisc replace dev {link} root netem {what}\n",
        f"tc qdisc del dev {link} root 2>/dev/null || true\n",
        "packet_loss_high",
        "route_down",
    )


def routed(rng: Random, facts: Facts) -> Mutation | None:
    """A route of its own for the server."""
    family, server = rng.choice((("-4", f"{facts.address}/32"), ("-6", f"{facts.address6}/128")))
    word = rng.choice(("blackhole", "unreachable", "prohibit"))
    return made(
        "edge.route",
        server,
        "no route",
        word,
        f"ip {family} route add {word} {server}\n",
        f"ip {family} route del {word} {server} 2>/dev/null || true\n",
        "route_down",
        "firewall_edge_blocks",
        "aaaa_unreachable",
    )


def record(rng: Random, facts: Facts) -> Mutation | None:
    """A record of the server's name."""
    file = facts.file("/etc/dnsmasq.zone")
    if file is None or file.text is None:
        return None
    lines = file.text.splitlines(keepends=True)
    own = [number for number, line in enumerate(lines) if RECORD.match(line) and facts.server in line]
    if not own:
        return None
    number = rng.choice(own)
    line = lines[number]
    change = rng.choice(("delete", "number", "address", "name", "family"))
    changed = {
        "delete": "",
        "number": re.sub(r"\d+$", lambda found: another_number(rng, int(found[0])), line.rstrip()) + "\n",
        "address": line.replace(facts.address, "198.18.20.99"),
        "name": line.replace(f"{facts.server}.reconnect.test,", f"{facts.server}s.reconnect.test,", 1),
        "family": line.replace(f"{facts.address},", "").replace(f",{facts.address6}", "", int(rng.random() < 0.5)),
    }[change]
    if changed == line:
        return None
    text = "".join([*lines[:number], changed, *lines[number + 1 :]])
    return Mutation(
        f"edge.record_{change}",
        f"{file.path}:{number + 1}",
        line.strip(),
        changed.strip(),
        write(file.path, text) + "restart dnsmasq\n",
        keeps=(file.path,),
        units=("dnsmasq",),
        effect="restart",
        causes=("dns_no_record", "dns_wrong_address", "dns_srv_wrong", "aaaa_unreachable"),
    )


def names(rng: Random, facts: Facts) -> Mutation | None:
    """No names at all, or no way through, for every server."""
    change = rng.choice(("stopped", "refused", "not_forwarding"))
    apply, revert = {
        "stopped": ("systemctl stop dnsmasq", ""),
        "refused": (
            "nft -f - <<'RULES'\ntable inet mutation { chain added { type filter hook input priority 0;\n"
            "udp dport 53 drop\n} }\nRULES",
            "nft delete table inet mutation 2>/dev/null || true",
        ),
        "not_forwarding": ("sysctl -qw net.ipv4.ip_forward=0", "sysctl -qw net.ipv4.ip_forward=1"),
    }[change]
    mutation = made(
        "edge_wide.names",
        change,
        "works",
        change,
        f"{apply}\n",
        f"{revert}\n",
        "dns_no_record",
        "route_down",
        "firewall_edge_blocks",
    )
    return Mutation(**{**mutation.saved(), "units": ("dnsmasq",)})
