#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: path_info
short_description: Probe the network paths to SIP servers
description:
  - Probes the path from the host it runs on to one or more SIP servers - DNS, ICMP loss and round trip time, path MTU,
    TCP, TLS with full certificate details, SIP C(OPTIONS) over UDP, TCP and TLS, and HTTPS provisioning.
  - Where a SIP proxy stands before the server, finds out which of the two answers - a proxy answers itself what has
    C(Max-Forwards) 0 (RFC 3261, 16.3).
  - All targets and all probes are asked at the same time, each with its own time limit, so that a server that does
    not answer costs the slowest single limit and not their sum.
  - Reads only. Needs no privilege where ping sockets are allowed or the C(ping) command is installed.
version_added: 0.1.0
author:
  - Reconnect maintainers (@reconnect)
extends_documentation_fragment:
  - privatewave.reconnect.attributes.reads
options:
  vantage:
    description: What this host is called in the evidence.
    type: str
    default: control
  targets:
    description: The servers to probe.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What the server is called in the answer.
        type: str
        required: true
      sip_domain:
        description: The name that clients use. It is looked up, sent as SNI and looked for in certificates.
        type: str
        default: ""
      addresses:
        description: Addresses of the server that are probed whatever DNS says.
        type: list
        elements: str
        default: []
      transports:
        description: The SIP transports that must answer.
        type: list
        elements: dict
        default: []
        suboptions:
          transport:
            description: The transport.
            type: str
            choices: [udp, tcp, tls]
            required: true
          port:
            description: The port.
            type: int
            required: true
      resolvers:
        description: Addresses of the resolvers to ask; those of C(/etc/resolv.conf) when empty.
        type: list
        elements: str
        default: []
      srv:
        description: The service and protocol of the SRV record, such as V(_sips._tcp); none is asked for when empty.
        type: str
        default: ""
      provisioning_url:
        description: The URL clients fetch their configuration from; not probed when empty.
        type: str
        default: ""
      tls_ca:
        description: The authorities that clients trust, as PEM text; those of the system when not given.
        type: str
      tls_ca_error:
        description: Why the authorities are not known. Certificates are then looked at, but not verified.
        type: str
      tls_profile:
        description: What clients offer in a TLS handshake; what Python does when not given.
        type: dict
        suboptions:
          minimum_version:
            description: The oldest version of TLS.
            type: str
            choices: ["1.2", "1.3"]
            required: true
          ciphers:
            description: The ciphers of TLS 1.2, as a cipher list of OpenSSL.
            type: str
            required: true
      user:
        description:
          - The user part of the C(From) field of the SIP C(OPTIONS) request.
          - Name an account that exists. Asterisk logs a request of an unknown user as an attack, which fail2ban counts.
        type: str
        default: reconnect
"""

EXAMPLES = r"""
- name: Probe a server from here
  privatewave.reconnect.path_info:
    vantage: "{{ inventory_hostname }}"
    targets:
      - name: pbx22
        sip_domain: pbx22.reconnect.test
        addresses: [198.18.20.22]
        transports:
          - transport: tls
            port: 5061
        resolvers: [198.18.10.1]
        srv: _sips._tcp
"""

RETURN = r"""
paths:
  description:
    - For each target a probe; its C(data) has the keys C(vantage), C(taken_at), C(epoch), C(source_address), C(dns),
      C(addresses), C(icmp), C(path_mtu), C(tcp), C(tls), C(sip), C(hops) and C(provisioning).
  returned: always
  type: dict
  sample:
    pbx22:
      ok: true
      seconds: 0.42
      data:
        vantage: phone
"""

import ipaddress
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.privatewave.reconnect.plugins.module_utils._net import path

TARGET: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "sip_domain": {"type": "str", "default": ""},
    "addresses": {"type": "list", "elements": "str", "default": []},
    "transports": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "transport": {"type": "str", "choices": ["udp", "tcp", "tls"], "required": True},
            "port": {"type": "int", "required": True},
        },
    },
    "resolvers": {"type": "list", "elements": "str", "default": []},
    "srv": {"type": "str", "default": ""},
    "provisioning_url": {"type": "str", "default": ""},
    "tls_ca": {"type": "str"},
    "tls_ca_error": {"type": "str"},
    "tls_profile": {
        "type": "dict",
        "options": {
            "minimum_version": {"type": "str", "choices": ["1.2", "1.3"], "required": True},
            "ciphers": {"type": "str", "required": True},
        },
    },
    "user": {"type": "str", "default": path.DEFAULT_USER},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "vantage": {"type": "str", "default": "control"},
            "targets": {"type": "list", "elements": "dict", "required": True, "options": TARGET},
        },
        supports_check_mode=True,
    )
    targets = module.params["targets"]
    if len(targets) > path.TARGET_LIMIT:
        module.fail_json(msg="{0} targets, more than {1} at a time".format(len(targets), path.TARGET_LIMIT))
    for target in targets:
        for address in target["addresses"]:
            try:
                ipaddress.ip_address(address)
            except ValueError:
                module.fail_json(msg="{0}: {1!r} is no IP address".format(target["name"], address))
    module.exit_json(changed=False, **path.answer(**module.params))


if __name__ == "__main__":
    main()
