# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fields of an account of the registry, as suboptions."""

from __future__ import annotations

from textwrap import indent

_FIELDS = r"""
username:
  description: The SIP user. It is the name for authentication, too.
  type: str
  required: true
password:
  description: The password.
  type: str
enabled:
  description: Whether the account may be used. An account that may not is reported and left as it is.
  type: bool
  default: true
security_model:
  description: V(end_to_site) encrypts the media up to the server (SDES), V(end_to_end) from phone to phone (ZRTP).
  type: str
  choices: [end_to_end, end_to_site]
  default: end_to_end
keep_alive:
  description: Whether the server asks a new account regularly whether it is still there.
  type: bool
  default: true
keep_alive_seconds:
  description:
    - The server asks the client at least this often whether it is still there, and takes no registration for longer
      than five minutes, so that no router on the path drops the connection.
    - V(0) leaves alone what is there.
  type: int
  default: 0
transport:
  description: The transport that its client uses.
  type: str
  choices: [tls, tcp, udp]
  default: tls
context:
  description: Context of the dialplan. Empty leaves it alone.
  type: str
  default: ''
codecs:
  description: Codecs in their order. An empty list leaves them alone.
  type: list
  elements: str
  default: []
max_contacts:
  description: How many devices may be registered at the same time.
  type: int
  default: 1
acl:
  description: Networks that the account may come from. An empty list means any.
  type: list
  elements: str
  default: []
virtual_number:
  description: The phone number. Only the client needs it.
  type: str
edition:
  description: The edition of the client. Only the client needs it.
  type: str
obfuscation:
  description: How the client hides that it speaks SIP. Only the client needs it.
  type: dict
  suboptions:
    mode:
      description: The mode.
      type: str
    key:
      description: The key.
      type: str
server:
  description: The server of the account, not compared.
  type: str
group:
  description: The group of the account, not compared.
  type: str
profile:
  description: What the client shows and lets its user change. Only the client needs it.
  type: dict
  suboptions:
    name:
      description: The name of the profile.
      type: str
    activation:
      description: How the client is activated.
      type: str
    customer_service_phone:
      description: The phone number of the customer service.
      type: str
    customer_service_email:
      description: The e-mail address of the customer service.
      type: str
    logging:
      description: Whether the client writes a log.
      type: bool
    read_only:
      description: Whether the user can change nothing.
      type: bool
    messaging:
      description: Whether the client can send messages.
      type: bool
    licence:
      description: The code of the licence.
      type: str
"""


class ModuleDocFragment:
    """Accounts, a list of them or one."""

    DOCUMENTATION: str = r"""
options:
  accounts:
    description: All accounts in question, as P(privatewave.reconnect.accounts#lookup) returns them.
    type: list
    elements: dict
    required: true
    suboptions:
""" + indent(_FIELDS, " " * 6)

    WANTED: str = r"""
options:
  wanted:
    description: The account as P(privatewave.reconnect.accounts#lookup) returns it, to compare it with.
    type: dict
    suboptions:
""" + indent(_FIELDS, " " * 6)
