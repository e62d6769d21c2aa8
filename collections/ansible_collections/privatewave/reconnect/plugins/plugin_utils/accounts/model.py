# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an account is, and the checks of every field. The shapes are those of ``docs/how-to/account-registry.md``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ansible_collections.privatewave.reconnect.plugins.module_utils._common import HIDDEN

try:
    import netaddr

    HAS_NETADDR = True
except ImportError:
    # Ansible loads every plugin to list it; who wants to use this one is told by `load`.
    HAS_NETADDR = False

from .lines import Mistake, Node

#: What an account is when neither it nor its group says otherwise. What has no default must be there.
DEFAULTS: dict[str, Any] = {
    "enabled": True,
    "edition": "professional",
    "security_model": "end_to_end",
    "obfuscation": {"mode": "none", "key": ""},
    "keep_alive": True,
    "transport": "tls",
    "context": "",
    "codecs": [],
    "max_contacts": 1,
    "acl": [],
}
PROFILE: dict[str, Any] = {
    "name": "default",
    "activation": "automatic",
    "customer_service_phone": "",
    "customer_service_email": "",
    "logging": False,
    "read_only": False,
    "messaging": True,
    "licence": "",
}
REQUIRED = ("username", "password", "virtual_number", "server")

_NUMERIC = re.compile(r"[0-9]{1,20}")
_INTERNATIONAL = re.compile(r"\+[1-9][0-9]{6,14}")
_NATIONAL = re.compile(r"\+?[0-9]{3,15}")
_MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_CODEC = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,31}")
_EXPRESSION = re.compile(r"\{\{|\{%")
_TEXT_LIMIT = 200


@dataclass(frozen=True)
class Secret:
    """A secret that is not looked up yet: ``vault`` (ciphertext), ``expression`` (of Ansible) or ``plain`` text."""

    kind: Literal["vault", "expression", "plain"]
    text: str

    def __repr__(self) -> str:
        """Never the secret."""
        return f"Secret({self.kind})"


@dataclass(frozen=True)
class Account:
    """An account and where it stands. ``values`` has every field; its secrets are `Secret` (or "" when not set)."""

    values: Mapping[str, Any]
    where: str

    @property
    def username(self) -> str:
        """The SIP user."""
        return str(self.values["username"])


class _WrongError(ValueError):
    """What a value must be, as the rest of a sentence."""


Check = Callable[[Node], Any]


def _scalar(node: Node, what: str) -> str:
    if node.kind in ("map", "list", "vault"):
        raise _WrongError(f"must be {what}")
    text = "" if node.kind == "nothing" else node.text
    if _EXPRESSION.search(text):
        raise _WrongError("must be a plain value: only secrets may be looked up")
    if len(text) > _TEXT_LIMIT or not text.isprintable() or HIDDEN.search(text):
        raise _WrongError(f"must be {what} in one line of at most {_TEXT_LIMIT} characters")
    return text


def _pattern(pattern: re.Pattern[str], what: str, empty: bool = False) -> Check:
    def check(node: Node) -> str:
        text = _scalar(node, what)
        if not pattern.fullmatch(text) and not (empty and not text):
            raise _WrongError(f"is {text!r}, it must be {what}")
        return text

    return check


def _choice(*choices: str) -> Check:
    def check(node: Node) -> str:
        text = _scalar(node, f"one of {', '.join(choices)}")
        if text not in choices:
            raise _WrongError(f"is {text!r}, it must be one of {', '.join(choices)}")
        return text

    return check


def _flag(node: Node) -> bool:
    text = _scalar(node, "true or false").lower()
    if node.kind != "flag" and text not in ("0", "1"):
        raise _WrongError(f"is {text!r}, it must be true or false")
    return text in ("true", "yes", "on", "1")


def _whole(low: int, high: int) -> Check:
    def check(node: Node) -> int:
        text = _scalar(node, "a number")
        if not re.fullmatch(r"[0-9]{1,6}", text) or not low <= int(text) <= high:
            raise _WrongError(f"is {text!r}, it must be a number from {low} to {high}")
        return int(text)

    return check


def _listed(check: Check, what: str) -> Check:
    def check_all(node: Node) -> list[Any]:
        if node.kind == "nothing":
            return []
        if node.kind != "list":
            raise _WrongError(f"must be a list of {what}")
        return [check(one) for one in node.items]

    return check_all


def _network(node: Node) -> str:
    text = _scalar(node, "a network")
    try:
        network = netaddr.IPNetwork(text)
    except (netaddr.AddrFormatError, ValueError):
        raise _WrongError(f"holds {text!r}, which is no network such as 198.18.10.0/24") from None
    if network.ip != network.network:
        raise _WrongError(f"holds {text!r}, which is an address inside the network {network.cidr}")
    return str(network)


def _secret(node: Node) -> Secret | str:
    if node.kind == "vault":
        return Secret("vault", node.text)
    if node.kind in ("map", "list"):
        raise _WrongError("must be a secret: vaulted, or an expression that looks it up")
    if node.kind == "nothing" or not node.text:
        return ""
    return Secret("expression" if _EXPRESSION.search(node.text) else "plain", node.text)


_TEXT: Check = lambda node: _scalar(node, "text")  # noqa: E731

FIELDS: dict[str, Check] = {
    "username": _pattern(_NUMERIC, "digits only"),
    "password": _secret,
    "virtual_number": _pattern(_NATIONAL, "a phone number such as +390212345678"),
    "enabled": _flag,
    "edition": _choice("professional", "enterprise"),
    "security_model": _choice("end_to_end", "end_to_site"),
    "keep_alive": _flag,
    "server": _pattern(_NAME, "the name of a server"),
    "transport": _choice("tls", "tcp", "udp"),
    "context": _pattern(_NAME, "the name of a dialplan context", empty=True),
    "codecs": _listed(_pattern(_CODEC, "a codec such as alaw"), "codecs"),
    "max_contacts": _whole(1, 1000),
    "acl": _listed(_network, "networks"),
}
MAPS: dict[str, dict[str, Check]] = {
    "obfuscation": {"mode": _pattern(_NAME, "the name of a mode"), "key": _secret},
    "profile": {
        "name": _TEXT,
        "activation": _choice("automatic", "manual"),
        "customer_service_phone": _pattern(re.compile(r"\+?[0-9 ()/-]{3,30}"), "a phone number", empty=True),
        "customer_service_email": _pattern(_MAIL, "an e-mail address", empty=True),
        "logging": _flag,
        "read_only": _flag,
        "messaging": _flag,
        "licence": _secret,
    },
}


def fields(node: Node, allowed: set[str], whose: str, mistakes: list[Mistake]) -> dict[str, Any]:
    """The fields of a map that are right; the others are added to ``mistakes``. ``whose`` begins the sentence."""
    found: dict[str, Any] = {}
    for name, value in node.fields:
        if name not in allowed:
            mistakes.append(Mistake(value.where, f"{whose} has the unknown field {_quoted(name)}."))
        elif name in MAPS:
            found[name] = _map(name, value, whose, mistakes)
        else:
            found.update(_one(name, FIELDS[name], value, f"The {name} of {whose}", mistakes))
    return found


def _map(name: str, node: Node, whose: str, mistakes: list[Mistake]) -> dict[str, Any]:
    if node.kind == "nothing":
        return {}
    if node.kind != "map":
        mistakes.append(Mistake(node.where, f"The {name} of {whose} must hold fields."))
        return {}
    found: dict[str, Any] = {}
    for key, value in node.fields:
        if key not in MAPS[name]:
            mistakes.append(Mistake(value.where, f"The {name} of {whose} has the unknown field {_quoted(key)}."))
        else:
            found.update(_one(key, MAPS[name][key], value, f"The {name} {key} of {whose}", mistakes))
    return found


def _one(name: str, check: Check, node: Node, subject: str, mistakes: list[Mistake]) -> dict[str, Any]:
    try:
        return {name: check(node)}
    except _WrongError as error:
        mistakes.append(Mistake(node.where, f"{subject} {error}."))
        return {}


def _quoted(name: str) -> str:
    return repr(name[:40])


def merged(group: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """An account of its own fields over those of its group over `DEFAULTS`; maps are merged field by field."""
    found = {**DEFAULTS, **group, **own}
    for name, base in (("obfuscation", DEFAULTS["obfuscation"]), ("profile", PROFILE)):
        found[name] = {**base, **group.get(name, {}), **own.get(name, {})}
    return found


def together(values: Mapping[str, Any], node: Node, whose: str, tried: set[str]) -> Iterator[Mistake]:
    """The mistakes that only the whole account shows. ``tried`` are fields that are there, right or wrong."""
    for name in REQUIRED:
        if not values.get(name) and name not in tried:
            yield Mistake(node.where, f"{whose} has no {name}.")
    number = values.get("virtual_number", "")
    automatic = values["profile"]["activation"] == "automatic"
    if number and automatic and not _INTERNATIONAL.fullmatch(number):
        where = (node.get("virtual_number") or node).where
        yield Mistake(
            where,
            f"The virtual_number of {whose} is {number!r}, it needs its international prefix (+39…) because the "
            "activation is automatic.",
        )
    if values["obfuscation"]["mode"] != "none" and not values["obfuscation"]["key"]:
        where = (node.get("obfuscation") or node).where
        yield Mistake(where, f"The obfuscation of {whose} has a mode and no key.")
