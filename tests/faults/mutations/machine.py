"""Run scripts on a lab host, with the helpers that mutations are written in."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Protocol

from labkit.hosts import HOSTS, SERVERS
from trials.cases import FAULTS
from trials.tools import LAB, ROOT, ToolError

#: Added to the helpers of lib.sh.
PRELUDE = """
kept=${KEPT:-/opt/lab/kept/mutation}

# A script outlives a run that is killed: the next one waits for its end.
mkdir -p "$(dirname "$kept")"
exec 9> "$kept.lock"
flock --timeout 150 9

# keep FILE...: keep files byte by byte; complete or not at all, whenever it is killed
keep() {
    rm -rf "$kept.part"
    mkdir -p "$kept.part"
    # Older releases of cp look for parents below the working directory.
    (cd / && cp --archive --parents "$@" "$kept.part/")
    mv "$kept.part" "$kept"
}

# give_back: put every kept file back, whatever stands in its path
give_back() {
    [ -d "$kept" ] || return 0
    (cd "$kept" && find . ! -type d -print0) | while IFS= read -r -d '' file; do
        if [ -d "/$file" ] && [ ! -L "/$file" ]; then rm -rf "/$file"; fi
    done
    cp --archive "$kept/." /
    rm -r "$kept"
}

# keep_tables TABLE...: keep tables with their rows and their schema
keep_tables() {
    if has_postgresql; then
        runuser -u postgres -- pg_dump --clean --if-exists $(printf -- '--table=public.%s ' "$@") "$database_name"
    else
        mysqldump --add-drop-table "$database_name" "$@"
    fi > "$kept.tables.part"
    mv "$kept.tables.part" "$kept.tables"
}

# restore_tables: put every kept table back
restore_tables() {
    [ -f "$kept.tables" ] || return 0
    if has_postgresql; then
        # A lock that somebody holds ends with its session.
        database "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()
            AND datname = '$database_name'" > /dev/null
        runuser -u postgres -- psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 "$database_name" \\
            < "$kept.tables" > /dev/null
    else
        mysql "$database_name" < "$kept.tables"
    fi
    rm "$kept.tables"
}

# restart UNIT: as an administrator does, who does not wait for ever
restart() {
    systemctl reset-failed "$1" 2>/dev/null || true
    timeout 25 systemctl restart "$1" || true
    if [ "$1" = asterisk ]; then timeout --signal=KILL 10 asterisk -rx 'core waitfullybooted' > /dev/null || true; fi
}

# reload UNIT: the same without ending it
reload() {
    if [ "$1" = asterisk ]; then
        timeout --signal=KILL 10 asterisk -rx 'core reload' > /dev/null || true
        sleep 1
    else
        timeout 25 systemctl reload-or-restart "$1" || true
    fi
}

# well: the host's services run and its own check finds nothing, within 25 seconds
well() {
    systemctl daemon-reload
    for unit in $(systemctl list-unit-files --state=enabled --type=service --no-legend --plain | cut -d' ' -f1); do
        case $unit in
            *@.service) ;;
            *) systemctl --quiet is-active "$unit" || timeout 25 systemctl restart --no-block "$unit" || true ;;
        esac
    done
    if command -v fail2ban-client > /dev/null; then fail2ban-client unban --all > /dev/null || true; fi
    [ -x /etc/lab/health ] || return 0
    local end=$((SECONDS + 25))
    until /etc/lab/health; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.5
    done
}
"""


class Machine(Protocol):
    """A host that scripts run on."""

    def run(self, script: str, limit: float = 120) -> str:
        """What a script prints; `ToolError` with its words when it fails or takes longer than ``limit`` seconds."""

    def python(self, program: str, limit: float = 60) -> str:
        """The same for a Python program."""


class LabMachine:
    """A host of the lab, so that ``server`` suffers."""

    def __init__(self, host: str, server: str) -> None:
        self.host = host
        number = HOSTS[server].places[SERVERS]
        variables = (
            f"FAULT=mutation SERVER={server} ADDRESS={SERVERS.address(number)} ADDRESS6={SERVERS.address6(number)}\n"
        )
        self._prelude = f"{variables}{(FAULTS / 'lib.sh').read_text(encoding='utf-8')}{PRELUDE}\n"

    def run(self, script: str, limit: float = 120) -> str:
        return started([LAB, "exec", self.host, "--", "bash", "-eu", "-s"], self._prelude + script, limit)

    def python(self, program: str, limit: float = 60) -> str:
        return started([LAB, "exec", self.host, "--", "python3", "-"], program, limit)


def started(command: list[str | Path], given: str, limit: float) -> str:
    """Run a command with standard input; in a session of its own, so that Ctrl-C ends the caller alone."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words, input=given, capture_output=True, text=True, timeout=limit, cwd=ROOT, start_new_session=True
        )
    except subprocess.TimeoutExpired:
        raise ToolError(f"no end in {limit:.0f} s on {' '.join(words[:3])}") from None
    if done.returncode:
        raise ToolError(f"{' '.join(words[1:3])} ended with {done.returncode}: {(done.stderr or done.stdout)[-800:]}")
    return done.stdout
