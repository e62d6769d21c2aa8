# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where Asterisk reads its accounts from, by sorcery.conf and extconfig.conf."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.privatewave.reconnect.plugins.module_utils._host import config

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ansible_collections.privatewave.reconnect.plugins.module_utils._database.documents import (
        RealtimeTable,
        Source,
    )
    from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import Settings

#: The drivers that read from a database.
DRIVERS = ("odbc", "mysql", "pgsql")
#: The objects of an account, and their families in extconfig.conf.
FAMILIES: dict[str, dict[str, str]] = {
    "pjsip": {"endpoint": "ps_endpoints", "auth": "ps_auths", "aor": "ps_aors"},
    "sip": {"peer": "sippeers"},
}


def parse_realtime(sections: Mapping[str, Mapping[str, str]]) -> dict[str, RealtimeTable]:
    """The families in the sections of extconfig.conf, by their names."""
    found: dict[str, RealtimeTable] = {}
    for family, value in sections.get("settings", {}).items():
        parts = [part.strip().strip('"') for part in value.split(",")]
        parts += [""] * (3 - len(parts))
        found[family] = {"driver": parts[0], "database": parts[1], "table": parts[2] or family}
    return found


def table_name(families: Mapping[str, RealtimeTable], family: str) -> str:
    """The table of a family: its own name where extconfig.conf has none."""
    return families[family]["table"] if family in families else family


def contacts_table(driver: str) -> str:
    """The table in which contacts are stored, empty when they are in Asterisk's own database."""
    families = parse_realtime(config.read("extconfig.conf"))
    family = "sippeers"
    if driver == "pjsip":
        mapped = config.read("sorcery.conf")
        mappings = [
            value.split(",")
            for section in ("res_pjsip_registrar", "res_pjsip")
            for name, value in mapped.get(section, {}).items()
            if name.partition("/")[0] == "contact"
        ]
        family = next((words[1].strip() for words in mappings if words[0].strip() == "realtime" and words[1:]), "")
    return table_name(families, family) if family in families else ""


def database_tables(families: Mapping[str, RealtimeTable], wanted: Iterable[str]) -> list[str]:
    """The tables of the wanted families that are in a database; a family without a mapping counts as one that is."""
    return [
        table_name(families, family)
        for family in wanted
        if family not in families or families[family]["driver"] in DRIVERS
    ]


def sources(settings: Settings) -> dict[str, Source]:
    """Where this Asterisk is configured to read each object of an account from. Raises `OSError`."""
    return parse_sources(settings["channel_driver"], config.text("sorcery.conf"), config.text("extconfig.conf"))


def parse_sources(driver: str, sorcery: str, extconfig: str) -> dict[str, Source]:
    """The same from the texts of sorcery.conf and extconfig.conf.

    An object without a line in sorcery.conf comes from pjsip.conf. chan_sip reads sip.conf, and the family ``sippeers``
    where extconfig.conf has it.
    """
    families = parse_realtime(config.parse(extconfig))
    found: dict[str, Source] = {}
    for kind, family in FAMILIES[driver].items():
        if driver == "sip":
            wizards = [("config", "")] + ([("realtime", family)] if family in families else [])
        else:
            wizards = _wizards(sorcery, kind) or [("config", "")]
        named = [name for wizard, name in wizards if wizard == "realtime"]
        table = families.get(named[0]) if named else None
        found[kind] = {
            "file": any(wizard == "config" for wizard, _name in wizards),
            "family": named[0] if named else None,
            "table": table,
        }
    return found


def _wizards(sorcery: str, kind: str) -> list[tuple[str, str]]:
    """The wizards of an object of res_pjsip and their first argument; a cache is none."""
    found = []
    for section, name, value in config.options(sorcery):
        wizard, _comma, rest = value.partition(",")
        if section == "res_pjsip" and name.partition("/")[0].strip() == kind and wizard.strip() != "memory_cache":
            found.append((wizard.strip(), rest.partition(",")[0].strip()))
    return found


def disagreement(settings: Settings, found: Mapping[str, Source], backend: str = "") -> str:
    """Why Asterisk does not read its accounts from ``backend``, by default the inventory's; "" when it does."""
    backend = backend or settings["account_backend"]
    for kind, source in found.items():
        table = source["table"]
        if backend == "file":
            if not source["file"]:
                return "sorcery.conf does not read objects of the type {0} from a file".format(kind)
        elif source["family"] is None:
            if kind == "peer":
                return "extconfig.conf does not map sippeers to a database"
            return "sorcery.conf does not read objects of the type {0} from the database".format(kind)
        elif table is None or table["driver"] not in DRIVERS:
            return "extconfig.conf does not map {0} to a database".format(source["family"])
        elif table["driver"] == "odbc" and table["database"] != settings["odbc_class"]:
            return "extconfig.conf maps {0} to the ODBC class {1}, the inventory names {2}".format(
                source["family"], table["database"], settings["odbc_class"]
            )
    return ""
