# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that a server says about itself, asked at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict, cast

from ansible_collections.privatewave.reconnect.plugins.module_utils._account import client_documents, registry
from ansible_collections.privatewave.reconnect.plugins.module_utils._account import probes as accounts
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk import probes as asterisk
from ansible_collections.privatewave.reconnect.plugins.module_utils._database import probes as database
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import probes as host
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import tls_files
from ansible_collections.privatewave.reconnect.plugins.module_utils._host.run import end_all
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import run_all
from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import NO_DATABASE, filled

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from ansible_collections.privatewave.reconnect.plugins.module_utils._account.documents import (
        Account,
        RenderedDocument,
        WantedAccount,
    )
    from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk.documents import Asterisk
    from ansible_collections.privatewave.reconnect.plugins.module_utils._database.documents import Database
    from ansible_collections.privatewave.reconnect.plugins.module_utils._host.documents import Host
    from ansible_collections.privatewave.reconnect.plugins.module_utils._net.documents import KnownContacts
    from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import Probe, Question
    from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import Settings

#: What asks the questions of each subset.
SUBSETS: dict[str, Callable[[Settings, str | None], dict[str, Question]]] = {
    "host": host.questions,
    "asterisk": asterisk.questions,
    "database": database.questions,
    "account": accounts.questions,
}


class Answer(TypedDict, total=False):
    """The subsets that were asked for; ``account`` only where an account was named.

    ``contacts`` are those of the accounts that are tested, by account.
    """

    host: Host
    asterisk: Asterisk
    database: Database
    account: Account
    contacts: dict[str, Probe[KnownContacts]]


def answer(
    settings: Mapping[str, Any],
    account: str | None = None,
    subsets: Collection[str] = tuple(SUBSETS),
    wanted: WantedAccount | None = None,
    documents: Sequence[RenderedDocument] = (),
    tls_ca: str | None = None,
    contacts_of: Sequence[str] = (),
    testers: Sequence[str] = (),
) -> Answer:
    """Ask the subsets of a server.

    With ``account`` its rows and sessions are asked for, too. ``wanted`` is the account in the registry and
    ``documents`` are those of its client: each is compared with what the server has. ``tls_ca`` is PEM text of the
    authorities that clients trust, None: those of the system. ``contacts_of`` are accounts whose contacts are asked
    for, ``testers`` the addresses that ``account`` is tested from.
    """
    known = filled(settings)
    there = {"account": bool(account), "database": known["database_engine"] != NO_DATABASE}
    chosen = [name for name in SUBSETS if name in subsets and there.get(name, True)]
    questions: dict[tuple[str, str], Question] = {
        (subset, name): question for subset in chosen for name, question in SUBSETS[subset](known, account).items()
    }
    if "host" in chosen:
        questions["host", "tls_files"] = tls_files.question(known, tls_ca)
    if "account" in chosen and testers:
        questions["account", "attempts"] = accounts.Account(known, account, testers).attempts, accounts.LIMIT
    if "account" in chosen and wanted:
        questions["account", "registry"] = registry.question(known, wanted)
    if "account" in chosen and documents:
        questions["account", "documents"] = client_documents.question(known, documents)
    for name in contacts_of:
        questions["contacts", name] = accounts.Account(known, name).contacts, accounts.LIMIT
    answers = run_all(questions)
    end_all()
    found: dict[str, dict[str, Probe[Any]]] = {subset: {} for subset in chosen}
    if contacts_of:
        found["contacts"] = {}
    for (subset, name), probe in answers.items():
        found[subset][name] = probe
    return cast("Answer", found)
