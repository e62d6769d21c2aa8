# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents that configure a client, rendered from one model of its account and server, and checked afterwards.

A template that is not there, that breaks, or whose document does not say what the model says, raises `RenderError`;
its message never holds a secret.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jinja2
import jinja2.sandbox
from ansible_collections.privatewave.reconnect.plugins.module_utils._account.documents import RenderedDocument
from ansible_collections.privatewave.reconnect.plugins.module_utils._common import plain_json

TEMPLATES = Path(__file__).resolve().parents[3] / "roles" / "account" / "templates"
DEFAULTS = ("privategsm.json", "lpconfig.xml")
#: What a configuration says that PrivateGSM fetches when it is activated.
CONFIGURATION = "privategsm/configuration/v1"

#: What encrypts the media: from phone to phone, or from the phone to the server.
MEDIA_ENCRYPTION = {"end_to_end": "zrtp", "end_to_site": "sdes"}
#: In seconds. A short expiry notices a lost connection soon, and lets translated addresses be forgotten by nobody.
EXPIRES = 600

_SUFFIX = ".j2"


class RenderError(ValueError):
    """What is wrong with a template or its document, in one sentence without secrets."""


def model(account: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a client has to know: of its ``account`` (the registry's fields) and its server (``settings``)."""
    transport = str(account["transport"])
    ports = {str(one["transport"]): int(one["port"]) for one in settings.get("sip_transports") or []}
    if transport not in ports:
        offered = ", ".join(sorted(ports)) or "none"
        raise RenderError(f"Account {account['username']} uses {transport}, its server offers {offered}.")
    if not settings.get("sip_domain"):
        raise RenderError("The server has no reconnect_sip_domain, so no client can be told where to connect.")
    return {
        "account": {name: account[name] for name in ("username", "password", "virtual_number", "edition")},
        "server": {
            "address": settings["sip_domain"],
            "port": ports[transport],
            "transport": transport,
            "domain": settings["sip_domain"],
        },
        "security": {
            "model": account["security_model"],
            "media_encryption": MEDIA_ENCRYPTION[str(account["security_model"])],
            "obfuscation": {name: str(account["obfuscation"].get(name, "")) for name in ("mode", "key")},
        },
        "registration": {"expires": EXPIRES, "keep_alive": bool(account["keep_alive"])},
        "codecs": list(account["codecs"]),
        "profile": dict(account["profile"]),
    }


def documents(
    accounts: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    names: Sequence[str] = DEFAULTS,
    folders: Sequence[str] = (),
) -> list[RenderedDocument]:
    """Every document of every account: ``{username, name, content}``. Templates are looked for in ``folders`` first.

    A disabled account has none.
    """
    environment = jinja2.sandbox.SandboxedEnvironment(
        loader=jinja2.FileSystemLoader([*folders, str(TEMPLATES)]),
        undefined=jinja2.StrictUndefined,
        autoescape=jinja2.select_autoescape(enabled_extensions=("xml.j2",), default=False),
        keep_trailing_newline=True,
    )
    found: list[RenderedDocument] = []
    for name in names:
        if "/" in name or name.startswith("."):
            raise RenderError(f"{name!r} is no name of a document.")
        try:
            template = environment.get_template(name + _SUFFIX)
        except jinja2.TemplateNotFound:
            raise RenderError(f"There is no template {name}{_SUFFIX}.") from None
        except jinja2.TemplateError as error:
            raise RenderError(f"The template {name}{_SUFFIX} is wrong: {error}.") from None
        for account in accounts:
            if account.get("enabled", True):
                fields = model(account, settings)
                username = fields["account"]["username"]
                found.append({"username": username, "name": name, "content": _rendered(template, name, fields)})
    return found


def _rendered(template: jinja2.Template, name: str, fields: Mapping[str, Any]) -> str:
    username = fields["account"]["username"]
    try:
        content = template.render(fields)
    except (jinja2.TemplateError, TypeError, KeyError) as error:
        raise RenderError(
            f"The template {name}{_SUFFIX} fails for account {username} ({type(error).__name__})."
        ) from None
    if problem := next(_problems(name, content, fields), None):
        raise RenderError(f"The document {name} of account {username} is wrong: {problem}.")
    return content


def _problems(name: str, content: str, fields: Mapping[str, Any]) -> Iterator[str]:
    """What the document says otherwise than the model, read back as its client would."""
    if name.endswith(".json"):
        try:
            said = plain_json(content)
        except ValueError:
            yield "it is no JSON"
            return
        if name == DEFAULTS[0]:
            # The server's certificate is always verified.
            security = {**fields["security"], "verify_server": True}
            wanted = {"schema": CONFIGURATION, **fields, "security": security}
            if not isinstance(said, dict):
                yield "it is no JSON object"
                return
            if not said.keys() <= wanted.keys():
                yield "it has a part that a client does not know"
            for part in wanted:
                # As text, for in Python 1 equals true.
                if json.dumps(said.get(part), sort_keys=True) != json.dumps(wanted[part], sort_keys=True):
                    yield f"{part} reads back otherwise than it was written"
    elif name.endswith(".xml"):
        try:
            tree = ElementTree.fromstring(content)
        except ElementTree.ParseError:
            yield "it is no XML"
            return
        if name == DEFAULTS[1]:
            yield from _differences(tree, fields)


def _differences(tree: ElementTree.Element, fields: Mapping[str, Any]) -> Iterator[str]:
    account, server = fields["account"], fields["server"]
    proxy = f"<sip:{server['address']}:{server['port']};transport={server['transport']}>"
    wanted = {
        ("proxy_0", "reg_proxy"): proxy,
        ("proxy_0", "reg_identity"): f"sip:{account['username']}@{server['domain']}",
        ("auth_info_0", "username"): account["username"],
        ("auth_info_0", "passwd"): account["password"],
        ("auth_info_0", "domain"): server["domain"],
    }
    said = {
        (section.get("name"), entry.get("name")): entry.text or ""
        for section in tree.iterfind("{*}section")
        for entry in section.iterfind("{*}entry")
    }
    for (section, entry), value in wanted.items():
        if said.get((section, entry)) != value:
            yield f"{section}.{entry} reads back otherwise than it was written"
