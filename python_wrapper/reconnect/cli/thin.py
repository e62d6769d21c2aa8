"""The command as a thin client: a process that the warm process forks carries it out, and has loaded all it needs."""

from __future__ import annotations

import contextlib
import os
import sys

from reconnect.ansible.warm import command, launcher, protocol
from reconnect.errors import ReconnectError

#: The commands that load much. Others are as fast without it, stay, or ask for passwords.
COMMANDS = frozenset(
    {
        *("diagnose-server", "fix-account-config", "undo"),
        *("runs", "show", "report", "stats", "bundle", "outbox", "resume"),
        *("hold", "release", "holds", "cancel", "approvals", "approve", "deny"),
    }
)
#: What the settings take for a no.
_OFF = {"0", "f", "false", "n", "no", "off"}
#: A password that is typed on the terminal that controls the process.
_ASKED = {"--ask-vault-pass", "--ask-become-pass"}


def stand_for_a_run() -> None:
    """Ends as the command does that was carried out elsewhere; comes back where this process has to carry it out."""
    words, script = sys.argv[1:], command.script()
    if protocol.forked_by is not None or os.environ.get("RECONNECT_WARM", "").lower() in _OFF:
        return
    if not words or words[0] not in {*COMMANDS, command.WORK} or not _ASKED.isdisjoint(words):
        return
    # The command itself says what is wrong.
    with contextlib.suppress(OSError, ReconnectError):
        if os.path.samefile(sys.argv[0], script):
            launcher.stand_for(str(script), str(command.folder()), words, in_a_shell=True)
