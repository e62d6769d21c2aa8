"""The server's firewall: rules in every hook, sets and networks, the policy of a chain, rules that are gone."""

from __future__ import annotations

import re
from random import Random

from ..mutation import Facts, Mutation

TABLE = "mutation"
#: Hook, type and priority of a chain of our own; ingress is of a device.
HOOKS = (
    "type filter hook input priority -10;",
    "type filter hook input priority 10;",
    "type filter hook prerouting priority -300;",
    "type filter hook prerouting priority -150;",
    "type filter hook output priority 0;",
    "type filter hook ingress device eth0 priority 0;",
)
VERDICTS = ("drop", "reject", "counter drop", "limit rate over 1/minute drop")
HANDLE = re.compile(r"^\s+(?P<rule>.*?) # handle (?P<handle>\d+)$")


def draw(rng: Random, facts: Facts) -> Mutation | None:
    """A change of the rule set."""
    draws = [added, added, added, taken, policy]
    if facts.network.get("has_iptables"):
        draws.append(of_iptables)
    return rng.choice(draws)(rng, facts)


def added(rng: Random, facts: Facts) -> Mutation | None:
    """One more rule, in a table of its own."""
    hook = rng.choice(HOOKS)
    is_output, is_ingress = "output" in hook, "ingress" in hook
    family = "netdev" if is_ingress else "inet"
    match, elements = drawn_match(rng, facts, is_output)
    verdict = rng.choice(VERDICTS)
    if verdict == "reject" and (is_ingress or "prerouting" in hook):
        verdict = "drop"
    declared = (
        f"set blocked {{ type {elements[0]}; flags interval; elements = {{ {elements[1]} }}; }}" if elements else ""
    )
    rules = f"table {family} {TABLE} {{\n{declared}\nchain added {{ {hook} policy accept;\n{match} {verdict}\n}}\n}}"
    return Mutation(
        kind=f"firewall.rule_{hook.split()[3]}",
        target=f"{family}, {hook.rstrip(';')}",
        before="no rule",
        after=f"{match} {verdict}{f' ({elements[1]})' if elements else ''}",
        apply=f"nft -f - <<'RULES'\n{rules}\nRULES\n",
        revert=f"nft delete table {family} {TABLE} 2>/dev/null || true\n",
        causes=("firewall_host_blocks", "client_banned"),
    )


def drawn_match(rng: Random, facts: Facts, is_output: bool) -> tuple[str, tuple[str, str] | None]:
    """What a rule is about, and the type and elements of a set that it uses."""
    side, port = ("daddr", "sport") if is_output else ("saddr", "dport")
    phone = facts.phone.rsplit(".", 1)[0]
    sip = f"{facts.protocol} {port} {facts.port}"
    plain = [
        sip,
        f"{facts.protocol} {port} {{ 5060, 5061 }}",
        f"{facts.protocol} {port} 5000-5100",
        f"udp {port} 5060",
        f"tcp {port} 443",
        f"tcp {port} {rng.choice((25, 80, 3306, 8089))}",
        f"ip {side} {facts.phone}",
        f"ip {side} {phone}.0/28",
        f"ip6 {side} {facts.phone6}",
        f"ip6 {side} {facts.phone6.rsplit('::', 1)[0]}::/64",
        f"meta nfproto {rng.choice(('ipv4', 'ipv6'))} {sip}",
        f"tcp {port} 5061 tcp flags syn" if not is_output else "tcp sport 5061 tcp flags & (syn | ack) == syn | ack",
        f"{sip} meta length > {rng.choice((200, 500, 1000))}",
        "tcp dport { 3306, 5432 }",
        "icmp type echo-request",
    ]
    if rng.random() < 0.2:
        element = rng.choice((f"{facts.phone}/32", f"{phone}.0/24", "198.51.100.0/24"))
        return f"ip {side} @blocked", ("ipv4_addr", element)
    return rng.choice(plain), None


def taken(rng: Random, facts: Facts) -> Mutation | None:
    """A rule of the host's own that is gone."""
    found = [match for line in facts.network.get("rules", []) if (match := HANDLE.match(line))]
    rules = [
        one for one in found if not one["rule"].startswith(("chain", "type", "policy")) and "22 " not in one["rule"]
    ]
    if not rules:
        return None
    rule = rng.choice(rules)
    # A handle may be another rule's by the time of applying: the rule is looked for by its words.
    apply = (
        "handle=$(nft -a list chain inet filter input | grep -F -m1 -- \"$(cat <<'RULE'\n"
        f"{rule['rule']} # handle\nRULE\n)\" | sed 's/.*# handle //')\n"
        'nft delete rule inet filter input handle "$handle"\n'
    )
    return whole(facts, "rule_taken", rule["rule"], "no rule", apply)


def policy(rng: Random, facts: Facts) -> Mutation | None:
    """The chain's answer to what no rule is about, or everything in it."""
    if "table inet filter {" not in "".join(facts.network.get("rules", [])):
        return None
    if rng.random() < 0.5:
        return whole(facts, "flushed", "its rules", "none, policy drop", "nft flush chain inet filter input\n")
    return whole(facts, "policy", "drop", "accept", "nft chain inet filter input '{ policy accept; }'\n")


def whole(facts: Facts, change: str, before: str, after: str, apply: str) -> Mutation:
    """A change of the host's own table, which is loaded again afterwards."""
    return Mutation(
        kind=f"firewall.{change}",
        target="inet filter input",
        before=before,
        after=after,
        apply=apply,
        revert="restart nftables\n",
        units=("fail2ban",),
        causes=("firewall_host_blocks",),
    )


def of_iptables(rng: Random, facts: Facts) -> Mutation | None:
    """A rule by iptables."""
    chain, verdict = rng.choice(("INPUT", "OUTPUT")), rng.choice(("DROP", "REJECT"))
    port = "--sport" if chain == "OUTPUT" else "--dport"
    command = rng.choice(("iptables", "ip6tables"))
    rule = f"{chain} -p {facts.protocol} {port} {facts.port} -j {verdict}"
    return Mutation(
        kind="firewall.iptables",
        target=chain,
        before="no rule",
        after=f"{command} {rule}",
        apply=f"{command} -I {rule}\n",
        revert=f"{command} -D {rule} 2>/dev/null || true\n",
        causes=("firewall_host_blocks",),
    )
