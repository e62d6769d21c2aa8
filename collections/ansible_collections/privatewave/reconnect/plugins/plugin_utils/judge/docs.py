# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of causes, made from the catalogue: ``python -m …judge.docs``."""

from __future__ import annotations

from .catalogue import SUBJECTS, Cause, catalogue

POLICIES = {"auto": "mended by itself", "approve": "mended after an approval", "human": "left to a person"}


def page() -> str:
    """docs/causes.md."""
    causes = catalogue().values()
    lines = [
        "# Causes",
        "",
        "Made from `causes.yml` by `make docs`. The policy says who may mend: *auto* by itself with `--apply`,",
        "*approve* after `--approve REMEDY`, *human* never this product.",
        "",
        "| cause | step | policy | remedy |",
        "|---|---|---|---|",
    ]
    lines += [f"| [{one.name}](#{one.name}) | {one.runbook_step} | {one.policy} | {_remedy(one)} |" for one in causes]
    for subject in SUBJECTS:
        own = [one for one in causes if one.subject == subject]
        if own:
            lines += ["", f"## {subject.capitalize()}"]
        for one in own:
            lines += ["", f"### {one.name}", "", f"**{one.title}.** {one.sentence}", "", *_facts(one)]
    return "\n".join(lines) + "\n"


def _facts(cause: Cause) -> list[str]:
    explains = ", ".join(f"`{name}`" for name in cause.explains)
    return [
        *([f"- explains: {explains}"] if explains else []),
        f"- mend: {POLICIES[cause.policy]}, {_remedy(cause)}" if cause.remedy else f"- mend: {POLICIES[cause.policy]}",
        f"- what to do: {cause.next_step}",
        f"- the user is told: {cause.user_message}",
    ]


def _remedy(cause: Cause) -> str:
    return f"`{cause.remedy.name}`" if cause.remedy else "—"


if __name__ == "__main__":
    print(page(), end="")
