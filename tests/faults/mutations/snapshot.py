"""What a host is like, so that it can be said whether it is as before."""

from __future__ import annotations

import difflib
import json

from .machine import Machine
from .mutation import Facts, sql

#: What Asterisk writes about a contact into its account's row.
VOLATILE = {"ipaddr", "port", "regseconds", "fullcontact", "useragent", "lastms", "regserver", "ps_contacts"}
DIFFERENCES = 20

PROGRAM = r"""
import glob, hashlib, json, os, re, subprocess

ROOTS = ["/etc", "/usr/local", "/opt/lab", "/run/systemd/system", "/var/lib/asterisk", "/usr/lib/odbc"]
for pattern in ("/usr/lib/*/odbc", "/usr/lib/*/asterisk/modules", "/usr/lib/asterisk/modules"):
    ROOTS += glob.glob(pattern)
PATHS = ["/usr/sbin/asterisk", "/var/log/asterisk", "/var/spool/asterisk", "/run/asterisk", "/srv/provisioning", "/tmp",
         "/run/mysqld", "/run/postgresql", "/var/lib/mysql", "/var/lib/mysql/asterisk", "/var/lib/mariadb",
         "/var/lib/mariadb/asterisk"] + glob.glob("/var/lib/postgresql/*/main") + glob.glob("/var/log/asterisk/*.log")
# Written while everything is well.
LIVING = re.compile(r"/astdb|/opt/lab/kept|/run/systemd/system/[^/]*\.(scope|mount)|/run-|\.pyc$|/__pycache__")

def told(path, hashed):
    seen = os.lstat(path)
    line = "%s %o %d:%d" % (path, seen.st_mode, seen.st_uid, seen.st_gid)
    if os.path.islink(path):
        return line + " -> " + os.readlink(path)
    if hashed and os.path.isfile(path):
        with open(path, "rb") as file:
            return line + " " + hashlib.sha256(file.read()).hexdigest()
    return line

files = []
for root in ROOTS:
    for folder, folders, names in os.walk(root):
        for name in folders + names:
            path = os.path.join(folder, name)
            if not LIVING.search(path):
                files.append(told(path, True))
files += [told(path, False) for path in PATHS if os.path.lexists(path)]

def lines(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    return [line.rstrip() for line in done.stdout.splitlines()]

def units():
    shown, one = [], {}
    names = [line.split()[0] for line in lines(
        "systemctl", "list-units", "--all", "--type=service,socket", "--no-legend", "--plain") if line]
    names = [name for name in names if not name.startswith(("user", "session", "systemd-", "run-", "mutation", "dbus"))]
    properties = "--property=Id,LoadState,ActiveState,UnitFileState,FreezerState,DropInPaths"
    for line in lines("systemctl", "show", properties, *names) + [""]:
        if line:
            name, _, value = line.partition("=")
            one[name] = value
        elif one:
            if one.get("LoadState") != "not-found":
                shown.append(" ".join("%s=%s" % pair for pair in sorted(one.items())))
            one = {}
    return sorted(shown)

kernel = ["ipv4.ip_forward", "ipv4.icmp_echo_ignore_all", "ipv6.conf.eth0.disable_ipv6", "ipv4.tcp_syncookies",
          "ipv4.ip_default_ttl", "ipv4.ip_local_port_range", "ipv4.tcp_timestamps", "ipv4.conf.all.rp_filter",
          "core.somaxconn", "ipv6.conf.eth0.hop_limit"]
print(json.dumps({
    "files": sorted(files),
    "firewall": lines("nft", "-s", "list", "ruleset"),
    "units": units(),
    "addresses": sorted(line for line in lines("ip", "-o", "addr")),
    "links": [re.sub(r" qlen \d+", "", line) for line in lines("ip", "-o", "link")],
    "routes": sorted(lines("ip", "route", "show", "table", "all") + lines("ip", "-6", "route", "show", "table", "all")),
    "rules": lines("ip", "rule") + lines("ip", "-6", "rule"),
    "queues": lines("tc", "qdisc", "show"),
    "mounts": sorted(lines("findmnt", "-rn", "-o", "TARGET,FSTYPE,OPTIONS")),
    "kernel": lines("sysctl", *["net." + name for name in kernel]),
}))
"""
OF_MYSQL = r"""
mysqldump --skip-dump-date --skip-comments --no-data "$database_name" | sed 's/ AUTO_INCREMENT=[0-9]*//'
database "SHOW CREATE USER $user; SHOW GRANTS FOR $user"
database "SHOW GLOBAL VARIABLES" | grep -v -e ^gtid -e _pos -e ^last -e timestamp
"""
OF_POSTGRESQL = r"""
# A dump of today has words of its own in it that are drawn at random.
runuser -u postgres -- pg_dump --schema-only asterisk | grep -v -e '^.restrict' -e '^.unrestrict'
database "SELECT rolname, rolcanlogin, rolconnlimit, rolpassword FROM pg_authid ORDER BY 1"
database "SELECT * FROM pg_db_role_setting; SELECT datname, datallowconn, datconnlimit FROM pg_database ORDER BY 1"
database "SELECT name, setting FROM pg_settings WHERE name NOT LIKE '%pid%' ORDER BY 1"
"""


def taken(machine: Machine, facts: Facts) -> dict[str, list[str]]:
    """Lines by topic; the same before a mutation and after its revert."""
    found: dict[str, list[str]] = json.loads(machine.python(PROGRAM))
    if facts.tables:
        script = f'user="{facts.database_user}"\n'
        script += OF_POSTGRESQL if facts.engine == "postgresql" else OF_MYSQL
        for table in sorted(facts.rows):
            columns = ", ".join(facts.column(name) for name in facts.tables[table] if name not in VOLATILE)
            script += sql(f"SELECT {columns} FROM {table} ORDER BY {facts.table_key}")
        found["database"] = machine.run(script).splitlines()
    return found


def differences(before: dict[str, list[str]], after: dict[str, list[str]]) -> list[str]:
    """The lines that are gone or new, with their topic; at most `DIFFERENCES`."""
    found = []
    for topic in sorted(before.keys() | after.keys()):
        for line in difflib.ndiff(before.get(topic, []), after.get(topic, [])):
            if line[0] in "+-":
                found.append(f"{topic}: {line}")
    return found[:DIFFERENCES]
