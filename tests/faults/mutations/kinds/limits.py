"""Limits: descriptors, processes, memory, processor, and small file systems that are full."""

from __future__ import annotations

from random import Random

from ..mutation import Facts, Mutation

#: Limits by a drop-in, for Asterisk or the database.
SETTINGS = (
    "LimitNOFILE=20",
    "LimitNOFILE=64",
    "LimitNOFILE=256",
    "LimitNPROC=5",
    "LimitFSIZE=1K",
    "LimitSTACK=64K",
    "LimitDATA=8M",
    "LimitAS=64M",
    "LimitMEMLOCK=0",
    "TasksMax=8",
    "MemoryMax=24M",
    "MemoryHigh=16M",
    "CPUQuota=1%",
    "CPUQuota=10%",
    "Nice=19",
)
#: Folders over which a small file system may be mounted.
FOLDERS = ("/var/log/asterisk", "/var/spool/asterisk", "/tmp", "/run/asterisk")
CAUSES = (
    "asterisk_files_exhausted",
    "memory_exhausted",
    "asterisk_overloaded",
    "asterisk_stopped",
    "asterisk_crash_looping",
    "asterisk_hung",
    "database_stopped",
    "odbc_disconnected",
    "database_hung",
)


def draw(rng: Random, facts: Facts) -> Mutation | None:
    """One limit."""
    return rng.choice((setting, setting, running, full, inodes))(rng, facts)


def setting(rng: Random, facts: Facts) -> Mutation | None:
    """A limit that the unit has from its next start on."""
    unit = rng.choice(("asterisk.service", "asterisk.service", facts.database_unit or "asterisk.service"))
    limit = rng.choice(SETTINGS)
    folder = f"/run/systemd/system/{unit}.d"
    return Mutation(
        kind="limits.drop_in",
        target=unit,
        before="the unit's own",
        after=limit,
        apply=f"mkdir -p '{folder}'\nprintf '[Service]\\n{limit}\\n' > '{folder}/mutation.conf'\n"
        f"systemctl daemon-reload\nrestart {unit.removesuffix('.service')}\n".replace("%\\n", "%%\\n"),
        revert=f"rm -f '{folder}/mutation.conf'\nrmdir --ignore-fail-on-non-empty '{folder}' 2>/dev/null || true\n"
        "systemctl daemon-reload\n",
        units=(unit,),
        effect="restart",
        causes=CAUSES,
    )


def running(rng: Random, facts: Facts) -> Mutation | None:
    """A limit of the process that runs."""
    unit = rng.choice(("asterisk", facts.database_unit or "asterisk"))
    limit = rng.choice(("--nofile=10", "--nofile=40", "--fsize=4096", "--nproc=1"))
    return Mutation(
        kind="limits.process",
        target=unit,
        before="the unit's own",
        after=limit,
        apply=f'prlimit --pid "$(main_pid {unit})" {limit}\n',
        units=(unit,),
        causes=CAUSES,
    )


def full(rng: Random, facts: Facts) -> Mutation | None:
    """A small file system that is full."""
    folder = rng.choice(FOLDERS)
    apply = (
        f"mount -t tmpfs -o size=64k,mode=755 mutation {folder}\nchown asterisk:asterisk {folder}\n"
        f"dd if=/dev/zero of={folder}/dump bs=4k status=none 2>/dev/null || true\n"
    )
    return mounted(rng, folder, "full", apply, ("disk_full",))


def inodes(rng: Random, facts: Facts) -> Mutation | None:
    """A small file system without an inode left."""
    folder = rng.choice(FOLDERS)
    apply = (
        f"mount -t tmpfs -o size=1M,nr_inodes=8,mode=755 mutation {folder}\nchown asterisk:asterisk {folder}\n"
        f"for one in 1 2 3 4 5 6 7 8; do : > {folder}/$one || true; done 2>/dev/null\n"
    )
    return mounted(rng, folder, "no inode left", apply, ("inodes_exhausted",))


def mounted(rng: Random, folder: str, after: str, apply: str, causes: tuple[str, ...]) -> Mutation:
    restarts = rng.random() < 0.7
    return Mutation(
        kind=f"limits.{'disk_full' if after == 'full' else 'inodes'}",
        target=folder,
        before="a part of /",
        after=after,
        apply=apply + ("restart asterisk\n" if restarts else ""),
        revert=f"while findmnt -rn -S mutation -T {folder} > /dev/null; do umount --lazy {folder}; done\n",
        units=("asterisk",),
        effect="restart" if restarts else "at once",
        causes=(*causes, "asterisk_stopped", "asterisk_hung", "asterisk_crash_looping"),
    )
