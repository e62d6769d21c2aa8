"""Units: stopped, masked, disabled, frozen, suspended, or with another environment."""

from __future__ import annotations

from random import Random

from ..mutation import Facts, Mutation

STOPPED = {
    "asterisk": ("asterisk_stopped",),
    "mariadb": ("database_stopped",),
    "postgresql": ("database_stopped",),
    "reconnect-provisioning": ("provisioning_down",),
}
HUNG = {
    "asterisk": ("asterisk_hung",),
    "mariadb": ("database_hung",),
    "postgresql": ("database_hung",),
    "reconnect-provisioning": ("provisioning_down",),
}
#: Settings of a drop-in that somebody could mean well.
SETTINGS = (
    "PrivateNetwork=yes",
    "ProtectSystem=strict",
    "ReadOnlyPaths=/var",
    "InaccessiblePaths=/etc/asterisk/keys",
    "InaccessiblePaths=/etc/odbc.ini",
    "PrivateTmp=yes",
    "ProtectHome=yes",
    "NoNewPrivileges=yes",
    "CapabilityBoundingSet=",
    "RestrictAddressFamilies=AF_UNIX",
    "RestrictAddressFamilies=AF_UNIX AF_INET",
    "IPAddressDeny=any",
    "User=nobody",
    "UMask=0777",
    "Environment=OPENSSL_CONF=/nonexistent",
    "Environment=TZ=Asia/Tokyo",
    "Environment=ODBCINI=/nonexistent",
    "ExecStartPre=/bin/false",
    "ExecStartPre=/bin/sleep 3",
    "RuntimeMaxSec=2",
    "Restart=no",
    "TimeoutStartSec=1",
    "MemoryDenyWriteExecute=yes",
    "SystemCallFilter=~@network-io",
    "TemporaryFileSystem=/var/lib/asterisk",
)


def draw(rng: Random, facts: Facts) -> Mutation | None:
    """A change of a service; three of four are of Asterisk or the database."""
    if not facts.units:
        return None
    decisive = [one for one in facts.units if one.startswith(("asterisk", facts.database_unit or "asterisk"))]
    unit = rng.choice(decisive if decisive and rng.random() < 0.75 else facts.units)
    change = rng.choice(("stop", "mask", "disable", "freeze", "suspend", "kill", "drop_in", "drop_in", "drop_in"))
    name = unit.removesuffix(".service").split("@")[0]
    if change == "drop_in":
        return drop_in(rng, unit)
    apply, revert = {
        "stop": (f"systemctl stop {unit}", ""),
        "mask": (f"systemctl mask --runtime --now {unit}", f"systemctl unmask --runtime {unit}"),
        "disable": (
            f'systemctl is-enabled {unit} > "$kept.enabled" || true\nsystemctl disable --now {unit}',
            # A unit that a generator enables is not enabled by a link of its own.
            f'if grep -qsx enabled "$kept.enabled"; then systemctl enable {unit}; fi\nrm -f "$kept.enabled"',
        ),
        "freeze": (f"systemctl freeze {unit}", f"systemctl thaw {unit} || true"),
        "suspend": (f"systemctl kill --signal=STOP {unit}", f"systemctl kill --signal=CONT {unit} || true"),
        "kill": (f"systemctl kill --signal=KILL {unit}", ""),
    }[change]
    causes = (HUNG if change in ("freeze", "suspend") else STOPPED).get(name, ())
    return Mutation(
        kind=f"units.{change}",
        target=unit,
        before="active",
        after=change,
        apply=f"{apply}\nsleep 1\n",
        revert=f"{revert}\n",
        units=(unit,),
        causes=causes,
    )


def drop_in(rng: Random, unit: str) -> Mutation:
    """One more setting."""
    setting = rng.choice(SETTINGS)
    folder = f"/run/systemd/system/{unit}.d"
    return Mutation(
        kind="units.drop_in",
        target=unit,
        before="no drop-in",
        after=setting,
        apply=(
            f"mkdir -p '{folder}'\nprintf '[Service]\\n%s\\n' '{setting}' > '{folder}/mutation.conf'\n"
            f"systemctl daemon-reload\nrestart {unit}\n"
        ),
        revert=(
            f"rm -f '{folder}/mutation.conf'\nrmdir --ignore-fail-on-non-empty '{folder}' 2>/dev/null || true\n"
            "systemctl daemon-reload\n"
        ),
        units=(unit,),
        effect="restart",
        causes=(
            "asterisk_stopped",
            "asterisk_crash_looping",
            "database_stopped",
            "provisioning_down",
            "odbc_disconnected",
            "tls_key_unusable",
            "transport_not_bound",
            "asterisk_config_invalid",
        ),
    )
