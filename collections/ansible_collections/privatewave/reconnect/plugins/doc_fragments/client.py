# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of modules that connect to a server as a client does."""

from __future__ import annotations


class ModuleDocFragment:
    """The server as clients see it, who logs in, and where from."""

    DOCUMENTATION = r"""
options:
  domain:
    description: The name that clients use for the server. Over TLS the certificate must be for it.
    type: str
  port:
    description: The SIP port of the server.
    type: int
  tls_ca:
    description: The authorities that clients trust, as PEM text. Without any, those of the system.
    type: str
"""

    # The documents that a client is configured with.
    DOCUMENTS = r"""
options:
  documents:
    description: Documents of clients, as P(privatewave.reconnect.configurations#filter) returns them.
    type: list
    elements: dict
    default: []
    suboptions:
      username:
        description: The account.
        type: str
        required: true
      name:
        description: The name of the document.
        type: str
        required: true
      content:
        description: Its text.
        type: str
        required: true
"""

    LOGIN = r"""
options:
  account:
    description: The account that logs in, the user part of its address of record.
    type: str
  password:
    description: The password of the account. Only a digest of it is sent.
    type: str
    required: true
  server:
    description: The IP address of the server.
    type: str
  transport:
    description: The transport of SIP.
    type: str
"""

    # Of modules that an action runs on a vantage point.
    VANTAGE = r"""
options:
  vantage:
    description: The host of the inventory to connect from. The first of the group C(vantage_points) when not given.
    type: str
notes:
  - An option for the server that is not given comes from the server's inventory variables.
  - For O(domain) that is C(reconnect_sip_domain), for O(tls_ca) the file that C(reconnect_tls_ca_file) names.
"""
