# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fields of an account as the options of a module. A secret is hidden by itself, never with what surrounds it.

Ansible takes every leaf of a hidden dictionary for a secret, and scrubs each equal value out of the whole answer.
"""

from __future__ import annotations

from typing import Any, Dict

Arguments = Dict[str, Dict[str, Any]]

_OBFUSCATION: Arguments = {"mode": {"type": "str"}, "key": {"type": "str", "no_log": True}}
_PROFILE: Arguments = {
    "name": {"type": "str"},
    "activation": {"type": "str"},
    "customer_service_phone": {"type": "str"},
    "customer_service_email": {"type": "str"},
    "logging": {"type": "bool"},
    "read_only": {"type": "bool"},
    "messaging": {"type": "bool"},
    "licence": {"type": "str", "no_log": True},
}
#: An account as `WantedAccount` describes it.
ACCOUNT: Arguments = {
    "username": {"type": "str", "required": True},
    "password": {"type": "str", "no_log": True},
    "enabled": {"type": "bool", "default": True},
    "security_model": {"type": "str", "choices": ["end_to_end", "end_to_site"], "default": "end_to_end"},
    "keep_alive": {"type": "bool", "default": True},
    "keep_alive_seconds": {"type": "int", "default": 0},
    "transport": {"type": "str", "choices": ["tls", "tcp", "udp"], "default": "tls"},
    "context": {"type": "str", "default": ""},
    "codecs": {"type": "list", "elements": "str", "default": []},
    "max_contacts": {"type": "int", "default": 1},
    "acl": {"type": "list", "elements": "str", "default": []},
    "virtual_number": {"type": "str"},
    "edition": {"type": "str"},
    "obfuscation": {"type": "dict", "options": _OBFUSCATION},
    "server": {"type": "str"},
    "group": {"type": "str"},
    "profile": {"type": "dict", "options": _PROFILE},
}
#: A client's document as `RenderedDocument` describes it. Its text holds passwords.
DOCUMENT_NAME: Arguments = {"username": {"type": "str", "required": True}, "name": {"type": "str", "required": True}}
DOCUMENT: Arguments = {**DOCUMENT_NAME, "content": {"type": "str", "required": True, "no_log": True}}
#: What was put in place, as `Put` describes it.
PUT: Arguments = {
    **DOCUMENT_NAME,
    "state": {"type": "str", "choices": ["same", "created", "changed"], "default": "changed"},
    "version": {"type": "str", "default": ""},
}
