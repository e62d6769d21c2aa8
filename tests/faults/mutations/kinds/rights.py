"""Rights and owners of files."""

from __future__ import annotations

import shlex
from random import Random

from ..mutation import Facts, Mutation, drawn_file, effect, owner

MODES = ("000", "400", "600", "444")
OF_DIRECTORY = ("000", "600", "700", "555")
OWNERS = ("root:root", "nobody:nogroup", "daemon:daemon")


def draw(rng: Random, facts: Facts) -> Mutation | None:
    """Another mode or owner for a file that a service uses."""
    files = [one for one in facts.files if owner(one.path, facts)]
    if not files:
        return None
    file = drawn_file(rng, files)
    path = shlex.quote(file.path)
    if rng.random() < 0.6:
        mode = rng.choice(OF_DIRECTORY if file.is_directory else MODES)
        change, before, after, script = "mode", file.mode, mode, f"chmod {mode} {path}\n"
    else:
        change, before, after = "owner", file.owner, rng.choice(OWNERS)
        script = f"chown {after} {path}\n"
    if before == after:
        return None
    unit = owner(file.path, facts)
    word, started = effect(rng, unit)
    return Mutation(
        kind=f"rights.{change}",
        target=file.path,
        before=before,
        after=after,
        apply=script + started,
        # Changing the owner takes away the set-user bits: the mode comes last. What a start makes may be gone.
        revert=f"if [ -e {path} ]; then chown {file.owner} {path}; chmod {file.mode} {path}; fi\n",
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
            "provisioning_down",
            "asterisk_hung",
        ),
    )
