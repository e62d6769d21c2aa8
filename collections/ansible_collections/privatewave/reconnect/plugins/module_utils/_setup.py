# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a server is set up, found out on the server itself: a value for each setting, and what it was read from."""

from __future__ import annotations

import ipaddress
import os
from typing import TYPE_CHECKING, Any, Callable, Dict, TypedDict

from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk import answers
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk.probes import Asterisk
from ansible_collections.privatewave.reconnect.plugins.module_utils._database import probes as database
from ansible_collections.privatewave.reconnect.plugins.module_utils._database import sql
from ansible_collections.privatewave.reconnect.plugins.module_utils._database.realtime import DRIVERS, sources
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import (
    config,
    files,
    firewall,
    probes,
    sockets,
)
from ansible_collections.privatewave.reconnect.plugins.module_utils._host.run import run
from ansible_collections.privatewave.reconnect.plugins.module_utils._net import x509
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import NO_DATABASE, TEST_CALLER, filled

if TYPE_CHECKING:
    from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import Settings

LIMIT = 3.0
ODBC_DRIVERS = "/etc/odbcinst.ini"
#: What the name or the file of an ODBC driver says of its engine.
_ENGINES = {"mysql": ("maria", "mysql", "maodbc", "myodbc"), "postgresql": ("postgres", "psql", "pgsql")}
#: The range of ports where rtp.conf says nothing.
_RTP_DEFAULT = (5000, 31000)
HTTPS_PORT = 443
TRANSPORTS = ("udp", "tcp", "tls")


class Found(TypedDict):
    """The value of a setting, null: not found, and a sentence: what it was read from, or why it was not found."""

    value: Any
    why: str


class Answer(TypedDict):
    """What was found, by the names of the settings."""

    setup: Dict[str, Found]


def answer() -> Answer:
    """Find out every setting. What cannot be read is null, with the reason."""
    looked = _Setup()
    questions: dict[str, Callable[[], Found]] = {
        "channel_driver": looked.channel_driver,
        "asterisk_unit": looked.asterisk_unit,
        "sip_transports": looked.sip_transports,
        "addresses": looked.addresses,
        "tls_certificate_file": lambda: looked.tls_file("certificate", "cert_file", "tlscertfile"),
        "tls_key_file": lambda: looked.tls_file("key", "priv_key_file", "tlsprivatekey"),
        "sip_domain": looked.sip_domain,
        "rtp_ports": looked.rtp_ports,
        "test_account": looked.test_account,
        "account_backend": looked.account_backend,
        "database_engine": looked.database_engine,
        "odbc_class": looked.odbc_class,
        "odbc_dsn": looked.odbc_dsn,
        "database_unit": looked.database_unit,
        "session_view": looked.session_view,
        "provisioning_unit": looked.provisioning_unit,
        "fail2ban_jail": looked.fail2ban_jail,
    }
    for name, question in questions.items():
        try:
            looked.found[name] = question()
        except (ProbeError, OSError, ValueError, KeyError) as error:
            looked.found[name] = _nothing("It was not found: {0}.".format(error))
    return {"setup": looked.found}


class _Setup:
    """The settings, one after the other: later ones need what earlier ones found."""

    def __init__(self) -> None:
        self.found: dict[str, Found] = {}

    def _value(self, name: str) -> Any:
        return self.found[name]["value"] if name in self.found else None

    @property
    def _settings(self) -> Settings:
        """What is known so far."""
        return filled({name: one["value"] for name, one in self.found.items() if one["value"] is not None})

    def channel_driver(self) -> Found:
        text = Asterisk(filled({})).command("module show")
        states = answers.parse_modules(text, ("chan_pjsip.so", "chan_sip.so"))
        running = [name for name, state in states.items() if state == "Running"]
        if len(running) == 1:
            return _just(running[0][5:-3], "Asterisk has {0} loaded, and not the other driver.".format(running[0][:-3]))
        served = [name for name in ("pjsip", "sip") if Asterisk(filled({"channel_driver": name})).transports()]
        if not running or not served:
            raise ProbeError("missing", "Asterisk has no SIP driver that serves a transport")
        return _just(served[0], "Asterisk has both drivers loaded; chan_{0} serves a transport.".format(served[0]))

    def asterisk_unit(self) -> Found:
        pid = int(Asterisk(filled({})).process()["pid"])
        unit = sockets.unit_of(pid)
        if not unit:
            raise ProbeError("missing", "Asterisk, process {0}, belongs to no unit".format(pid))
        return _just(unit, "Asterisk runs in it, as process {0}.".format(pid))

    def sip_transports(self) -> Found:
        listed = [
            {"transport": one["transport"], "port": one["port"]}
            for one in Asterisk(self._settings).transports()
            if one["transport"] in TRANSPORTS and not _is_loopback(one["address"])
        ]
        found = [one for number, one in enumerate(listed) if one not in listed[:number]]
        if not found:
            raise ProbeError("missing", "Asterisk serves no transport")
        return _just(found, "Asterisk serves them. Take out those that clients do not use.")

    def addresses(self) -> Found:
        bound = {one["address"] for one in Asterisk(self._settings).transports()}
        families = {6 if ":" in one else 4 for one in bound}
        if "::" in bound and self._value("channel_driver") == "sip":
            # chan_sip takes IPv4 there, too; PJSIP does not.
            families.add(4)
        out = next((one["device"] for one in probes.routes() if one["destination"] in ("default", "0.0.0.0/0")), None)
        own = [
            str(address).partition("/")[0]
            for link in probes.interfaces()
            if link["name"] == out
            for address in link["addresses"]
        ]
        single = sorted(one for one in bound if not ipaddress.ip_address(one).is_unspecified and not _is_loopback(one))
        reached = single or [one for one in own if _is_reached(one) and (6 if ":" in one else 4) in families]
        if not reached:
            raise ProbeError("missing", "no address of the interface {0} serves SIP".format(out))
        return _just(
            reached, "SIP is served there. Behind address translation, name the addresses that clients are led to."
        )

    def tls_file(self, what: str, pjsip_option: str, sip_option: str) -> Found:
        if self._value("channel_driver") == "sip":
            path = config.read("sip.conf").get("general", {}).get(sip_option)
        else:
            sections = config.read("pjsip.conf").values()
            path = next((one[pjsip_option] for one in sections if one.get(pjsip_option)), None)
        if not path:
            return _just("", "No transport has a {0}.".format(what))
        return _just(path, "A TLS transport has this {0}.".format(what))

    def sip_domain(self) -> Found:
        path = self._value("tls_certificate_file")
        if path:
            names = x509.details(x509.pem_chain(files.read(path, x509.MAX_SIZE * x509.MAX_CHAIN))[0])["names"]
            named = next((name for name in names if "*" not in name), None)
            if named:
                return _just(named, "The certificate is for this name.")
        address = (self._value("addresses") or [None])[0]
        if not address:
            raise ProbeError("missing", "neither a certificate nor an address says it")
        return _just(address, "No certificate names a domain, so it is the server's address. Clients may use a name.")

    def rtp_ports(self) -> Found:
        general = config.read("rtp.conf").get("general", {})
        ends = [general.get(name, "") for name in ("rtpstart", "rtpend")]
        ports = [int(end) if end.isdigit() else default for end, default in zip(ends, _RTP_DEFAULT)]
        return _just(ports, "rtp.conf says so." if any(ends) else "rtp.conf says nothing: the default of Asterisk.")

    def test_account(self) -> Found:
        if Asterisk(self._settings).knows(TEST_CALLER):
            return _just(TEST_CALLER, "Asterisk has this account. It must be reserved, and in the account registry.")
        return _nothing(
            "Asterisk has no account {0}. Create a reserved one and name it: without one nothing verifies that clients "
            "can register.".format(TEST_CALLER)
        )

    def account_backend(self) -> Found:
        tables = self._tables()
        if tables:
            return _just("realtime", "sorcery.conf and extconfig.conf read accounts from a database.")
        return _just("file", "sorcery.conf and extconfig.conf read no accounts from a database.")

    def _tables(self) -> list[tuple[str, str]]:
        """(driver, its database) of the tables that accounts are read from."""
        named = [one["table"] for one in sources(self._settings).values() if one["table"]]
        return [(one["driver"], one["database"]) for one in named if one["driver"] in DRIVERS]

    def database_engine(self) -> Found:
        tables = self._tables()
        if not tables:
            return _just(NO_DATABASE, "No account is read from a database.")
        driver, name = tables[0]
        if driver != "odbc":
            return _just({"mysql": "mysql", "pgsql": "postgresql"}[driver], "extconfig.conf names it.")
        named = self._source(name).get("driver", "")
        with open(ODBC_DRIVERS, encoding="utf-8", errors="replace") as file:
            library = sql.parse_ini(file.read()).get(named, {}).get("driver", "")
        told = (named + " " + os.path.basename(library)).lower()
        for engine, words in _ENGINES.items():
            if any(word in told for word in words):
                return _just(engine, "The data source uses the ODBC driver {0}.".format(named))
        raise ProbeError("missing", "the ODBC driver {0!r} is of an unknown engine".format(named))

    def _dsn(self, name: str) -> str:
        return config.read("res_odbc.conf").get(name, {}).get("dsn", "")

    def _source(self, name: str) -> dict[str, str]:
        """The data source of an ODBC class."""
        for path in sql.ODBC_FILES:
            if os.path.exists(path):
                with open(path, encoding="utf-8", errors="replace") as file:
                    found = sql.parse_ini(file.read()).get(self._dsn(name))
                if found:
                    return found
        raise ProbeError("missing", "odbc.ini has no data source {0!r}".format(self._dsn(name)))

    def odbc_class(self) -> Found:
        names = [name for driver, name in self._tables() if driver == "odbc"]
        return _just(names[0], "extconfig.conf names it.") if names else _just("", "Accounts do not come over ODBC.")

    def odbc_dsn(self) -> Found:
        if not self._value("odbc_class"):
            return _just("", "Accounts do not come over ODBC.")
        return _just(self._dsn(self._value("odbc_class")), "res_odbc.conf names it.")

    def database_unit(self) -> Found:
        if self._value("database_engine") == NO_DATABASE:
            return _just("", "There is no database.")
        pid = int(database.process(self._settings)["pid"])
        return _just(sockets.unit_of(pid) or "", "The database runs in it, as process {0}.".format(pid))

    def session_view(self) -> Found:
        if self._value("database_engine") == NO_DATABASE:
            return _just("", "There is no database.")
        view = "V_SIP_SESSION"
        with sql.Connection(sql.login_of(self._settings), LIMIT) as connection:
            there = any(connection.columns([name]).get(name) for name in (view, view.lower()))
        return _just(view if there else "", "The database {0} it.".format("has" if there else "does not have"))

    def provisioning_unit(self) -> Found:
        serving = [one for one in sockets.sockets() if one["proto"] == "tcp" and one["port"] == HTTPS_PORT]
        unit = next((str(one["unit"]) for one in serving if one.get("unit")), "")
        if not unit:
            return _just("", "Nothing listens on port {0}.".format(HTTPS_PORT))
        return _nothing(
            "{0} listens on port {1}. If clients are provisioned by it, name it here, and its URL as "
            "reconnect_provisioning_url.".format(unit, HTTPS_PORT)
        )

    def fail2ban_jail(self) -> Found:
        try:
            names = firewall.parse_jails(run(["fail2ban-client", "status"], LIMIT))
        except ProbeError as error:
            if error.error != "missing":
                raise
            return _just("", "The server has no fail2ban.")
        jail = next((name for name in names if "asterisk" in name), "")
        return _just(jail, "fail2ban has it." if jail else "fail2ban has no jail of Asterisk.")


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


def _is_reached(address: str) -> bool:
    known = ipaddress.ip_address(address)
    return not known.is_loopback and not known.is_link_local


def _just(value: Any, why: str) -> Found:
    return {"value": value, "why": why}


def _nothing(why: str) -> Found:
    return {"value": None, "why": why}
