"""The command `reconnect`, also `python -m reconnect`: in a process that the warm process forks, else in this one."""

from __future__ import annotations

import sys

from reconnect.ansible.warm import command
from reconnect.cli import thin
from reconnect.exit_codes import ExitCode


def main() -> None:
    """Runs the command and exits."""
    try:
        thin.stand_for_a_run()
        # Only now: it takes as long as many a command.
        if sys.argv[1:2] == [command.WORK]:
            from reconnect.service.work import main as work

            work(sys.argv[2:])
        from reconnect.cli.commands import main as run_here
    except KeyboardInterrupt:
        sys.stderr.write("reconnect: Cancelled. Nothing was executed.\n")
        sys.exit(ExitCode.STOPPED)
    run_here()


if __name__ == "__main__":
    main()
