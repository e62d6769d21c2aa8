"""List on a host what it has: files, tables, units, addresses, rules."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from labkit import state
from labkit.hosts import CUSTOMER, HOSTS, SERVERS
from trials.tools import ROOT

from .machine import Machine
from .mutation import Facts, File, sql

#: What may be mutated; a text is told for what ends like a configuration file.
LISTING = r"""
import glob, grp, json, os, pwd, subprocess

PATTERNS = [
    "/etc/asterisk", "/etc/asterisk/*.conf", "/etc/asterisk/keys", "/etc/asterisk/keys/*", "/etc/asterisk/tls/*",
    "/etc/odbc.ini", "/etc/odbcinst.ini", "/usr/lib/*/odbc/*maodbc*", "/usr/lib/*/odbc/psqlodbc*",
    "/etc/mysql", "/etc/mysql/*.cnf", "/etc/mysql/mariadb.conf.d/*.cnf", "/etc/mysql/server.*",
    "/etc/postgresql/*/main/*.conf", "/etc/postgresql/*/main/conf.d/*.conf",
    "/etc/fail2ban/jail.d/*", "/etc/nftables.conf", "/etc/provisioning", "/etc/provisioning/*", "/srv/provisioning",
    "/var/lib/asterisk", "/var/log/asterisk", "/var/log/asterisk/*.log", "/run/asterisk", "/run/asterisk/asterisk.ctl",
    "/var/spool/asterisk", "/var/lib/asterisk/astdb.sqlite3", "/usr/sbin/asterisk",
    "/var/lib/mysql", "/var/lib/mysql/asterisk", "/var/lib/mariadb", "/var/lib/mariadb/asterisk",
    "/var/lib/postgresql/*/main", "/run/mysqld", "/run/postgresql",
    "/etc/dnsmasq.conf", "/etc/dnsmasq.zone", "/etc/sysctl.d/lab.conf",
    "/etc/ssl/certs/ca-certificates.crt", "/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf",
]
for name in ("res_odbc", "res_config_odbc", "res_pjsip", "res_pjsip_registrar", "res_pjsip_session", "chan_pjsip",
             "chan_sip", "res_pjsip_authenticator_digest", "res_pjsip_endpoint_identifier_user", "res_crypto",
             "res_sorcery_realtime", "res_sorcery_config", "res_rtp_asterisk", "res_http_websocket", "pbx_config",
             "res_pjsip_nat", "res_pjsip_logger", "func_odbc", "app_dial", "res_realtime"):
    PATTERNS += ["/usr/lib/*/asterisk/modules/%s.so" % name, "/usr/lib/asterisk/modules/%s.so" % name]
TEXTS = (".conf", ".cnf", ".ini", ".local", ".zone", "/hosts", "/resolv.conf")

files = {}
for pattern in PATTERNS:
    for path in glob.glob(pattern):
        seen = os.stat(path)
        text = None
        if path.endswith(TEXTS) and seen.st_size < 65536 and os.path.isfile(path):
            with open(path, encoding="utf-8", errors="replace", newline="") as file:
                text = file.read()
        files[path] = {
            "path": path, "mode": "%o" % (seen.st_mode & 0o7777), "size": seen.st_size,
            "owner": "%s:%s" % (pwd.getpwuid(seen.st_uid).pw_name, grp.getgrgid(seen.st_gid).gr_name),
            "is_directory": os.path.isdir(path), "text": text,
        }

def lines(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, universal_newlines=True)
    return done.stdout.splitlines()

units = [line.split()[0] for line in lines(
    "systemctl", "list-units", "--type=service", "--state=active", "--no-legend", "--plain")]
print(json.dumps({
    "files": [files[path] for path in sorted(files)],
    "units": sorted(unit for unit in units if not unit.startswith(("systemd-", "user@", "dbus", "ssh", "lab-routes"))),
    "network": {
        "routes": lines("ip", "route"), "routes6": lines("ip", "-6", "route"),
        "addresses": lines("ip", "-o", "addr", "show", "dev", "eth0"),
        "rules": lines("nft", "-a", "list", "ruleset"),
        "has_iptables": lines("sh", "-c", "command -v iptables"),
    },
}))
"""
#: Columns, and the values of the account, a line each, with tabs in between.
COLUMNS = """
database "SELECT table_name, column_name, {type} FROM information_schema.columns
    WHERE table_schema = '{schema}' AND table_name IN ({tables}) ORDER BY table_name, ordinal_position"
"""


def listed(
    machine: Machine, host: str, server: str, account: str, others: list[str], certificates: bool = False
) -> Facts:
    """What a host has. ``server`` is the one that is diagnosed, ``account`` the one that registers.

    ``certificates`` has some signed for the server, too.
    """
    found: dict[str, Any] = json.loads(machine.python(LISTING))
    number = HOSTS[server].places[SERVERS]
    facts = Facts(
        host=host,
        server=server,
        account=account,
        others=others,
        driver=HOSTS[server].channel_driver,
        engine=HOSTS[server].engine,
        address=SERVERS.address(number),
        address6=SERVERS.address6(number),
        # What the servers see of the phone: the edge hides its IPv4 address.
        phone=SERVERS.address(HOSTS["edge"].places[SERVERS]),
        phone6=CUSTOMER.address6(HOSTS["phone"].places[CUSTOMER]),
        files=[File(**one) for one in found["files"]],
        units=found["units"],
        network=found["network"],
    )
    if host == "plain":
        facts.protocol, facts.port, facts.tls = "udp", 5060, ""
    if host == "custom":
        facts.tls, facts.database = "/etc/asterisk/tls/pbx", "voice"
    if host != "edge" and HOSTS[host].has_tls:
        of_database(facts, machine)
        if certificates:
            of_certificates(facts)
    return facts


def of_database(facts: Facts, machine: Machine) -> None:
    """Add the tables that registering needs."""
    is_postgresql = facts.engine == "postgresql"
    facts.database_unit = next((unit for unit in facts.units if unit.startswith(("mariadb", "postgresql@"))), "")
    names: tuple[str, ...]
    names = ("ps_endpoints", "ps_auths", "ps_aors", "ps_contacts") if facts.driver == "pjsip" else ("sippeers",)
    facts.database_user = "asterisk" if is_postgresql else "'asterisk'@'%'"
    if facts.server == "custom":
        names, facts.database_user = ("ast_endpoints", "ast_auths", "ast_aors"), "'voip'@'localhost'"
    asked = COLUMNS.format(
        tables=", ".join(f"'{name}'" for name in names),
        schema="public" if is_postgresql else facts.database,
        type="data_type || '(' || coalesce(character_maximum_length, 0) || ')'" if is_postgresql else "column_type",
    )
    for line in machine.run(asked).splitlines():
        table, column, kind = line.split("|" if is_postgresql else "\t")
        facts.tables.setdefault(table, {})[column] = kind
    for table in (name for name in names if name != "ps_contacts"):
        columns = list(facts.tables[table])
        where = f"WHERE {facts.table_key} = '{facts.account}'"
        if is_postgresql:
            printed = machine.run(sql(f"SELECT row_to_json(t) FROM {table} t {where}"))
            row = json.loads(printed or "{}")
        else:
            pairs = ", ".join(f"'{name}', {facts.column(name)}" for name in columns)
            printed = machine.run(sql(f"SELECT JSON_OBJECT({pairs}) FROM {table} {where}"))
            # The client of MariaDB escapes backslashes of what it prints.
            row = json.loads(printed.replace("\\\\", "\\") or "{}")
        facts.rows[table] = {name: None if row.get(name) is None else str(row[name]) for name in columns}


def of_certificates(facts: Facts) -> None:
    """Add the chains that the lab's authorities signed for this server, as text by what is wrong with them."""
    host = HOSTS[facts.server]
    folder = ROOT / "tests" / "lab" / ".state" / "tls" / facts.server
    for name in ("expired", "name_mismatch", "untrusted"):
        facts.certificates[name] = (folder / f"{name}.crt").read_text()
    chain = (folder / "server.crt").read_text()
    end = "-----END CERTIFICATE-----\n"
    facts.certificates["chain_incomplete"] = chain.split(end)[0] + end
    facts.certificates["not_yet_valid"] = state.fresh_certificate(host, 2, 60)
    facts.certificates["ends_soon"] = state.fresh_certificate(host, -30, 3)


def account_of(seed: int, number: int, host: str) -> tuple[str, list[str]]:
    """The account of a case, and others of the server; the accounts of the health test are left alone."""
    if HOSTS[host].is_stranger:
        return "1001", ["1002"]
    rng = Random(f"account/{seed}/{number}/{host}")
    drawn = rng.sample([account for account in state.ACCOUNTS if account not in state.HEALTH_ACCOUNTS], 4)
    return drawn[0], drawn[1:]
