"""Files: missing, empty, truncated, of a wrong format, or a directory in their place."""

from __future__ import annotations

import shlex
from random import Random

from ..mutation import Facts, Mutation, drawn_file, effect, owner, write

#: podman mounts these: they can be written to, but not taken away.
MOUNTED = ("/etc/hosts", "/etc/resolv.conf")
#: Their content changes while a case runs, so it could not be put back byte by byte.
LIVING = ("/var/log", "/run", "/var/lib")
PAGE = "<!DOCTYPE html>\n<html><body><h1>404 Not Found</h1></body></html>\n"


def draw(rng: Random, facts: Facts) -> Mutation | None:
    """Another content for a file that a service reads."""
    files = [
        one
        for one in facts.files
        if not one.is_directory and one.size and owner(one.path, facts) and not one.path.startswith((*LIVING, *MOUNTED))
    ]
    if not files:
        return None
    file = drawn_file(rng, files)
    path = shlex.quote(file.path)
    change = rng.choice(("missing", "empty", "truncated", "format", "directory"))
    half = file.size // 2
    after, script = {
        "missing": ("no file", f"rm {path}\n"),
        "empty": ("0 bytes", f"truncate --size=0 {path}\n"),
        # Cut in place, a library that is loaded would take the process that maps it along.
        "truncated": (f"{half} bytes", f"head -c {half} {path} > {path}.cut\n{same(file.path)}mv {path}.cut {path}\n"),
        "format": (
            "an HTML page",
            f"rm {path}\n{write(file.path, PAGE)}chmod {file.mode} {path}\nchown {file.owner} {path}\n",
        ),
        "directory": ("a directory", f"rm {path}\nmkdir {path}\n"),
    }[change]
    unit = owner(file.path, facts)
    word, started = effect(rng, unit)
    return Mutation(
        kind=f"files.{change}",
        target=file.path,
        before=f"{file.size} bytes",
        after=after,
        apply=script + started,
        keeps=(file.path,),
        units=(unit,),
        effect=word,
        causes=(
            "asterisk_config_invalid",
            "asterisk_stopped",
            "asterisk_crash_looping",
            "asterisk_module_missing",
            "tls_key_unusable",
            "transport_not_bound",
            "odbc_disconnected",
            "database_stopped",
            "database_refuses_login",
            "provisioning_down",
            "account_missing",
        ),
    )


def same(path: str) -> str:
    """A script that gives the shortened copy the rights of the file."""
    name = shlex.quote(path)
    return f"chmod --reference={name} {name}.cut\nchown --reference={name} {name}.cut\n"
