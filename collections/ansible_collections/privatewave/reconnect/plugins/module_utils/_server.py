# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything a server can tell of itself, asked at the same time."""

from __future__ import annotations

from ansible_collections.privatewave.reconnect.plugins.module_utils import (
    _account,
    _account_registry,
    _asterisk,
    _database,
    _documents,
    _host,
)
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import run_all
from ansible_collections.privatewave.reconnect.plugins.module_utils._run import end_all

SUBSETS = {"host": _host, "asterisk": _asterisk, "database": _database, "account": _account}


def answer(settings, account=None, subsets=tuple(SUBSETS), wanted=None, documents=()):
    """Ask the subsets. Returns ``{subset: {probe name: probe}}``; ``account`` is asked for when one is named, and
    compared with what is ``wanted`` where the account registry has it, and so are its client's ``documents``."""
    chosen = [name for name in SUBSETS if name in subsets and (name != "account" or account)]
    questions = {
        (subset, name): question
        for subset in chosen
        for name, question in SUBSETS[subset].questions(settings, account).items()
    }
    if "account" in chosen and wanted:
        questions["account", "registry"] = _account_registry.question(settings, wanted)
    if "account" in chosen and documents:
        questions["account", "documents"] = _documents.question(settings, documents)
    answers = run_all(questions)
    end_all()
    found = {subset: {} for subset in chosen}
    for (subset, name), probe in answers.items():
        found[subset][name] = probe
    return found
