"""What people write is understood where it is unambiguous."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from reconnect.incidents import spelling

KNOWN = {"pbx1", "pbx22", "pbx3.one.example", "pbx3.two.example"}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("pbx22", ["pbx22"]),
        ("PBX22", ["pbx22"]),
        ("pbx22.reconnect.test", ["pbx22"]),
        ("pbx22.reconnect.test.", ["pbx22"]),
        ("pbx22:5061", ["pbx22"]),
        ("1005@pbx22.reconnect.test", ["pbx22"]),
        ("sip:pbx22.reconnect.test:5061;transport=tls", ["pbx22"]),
        ("https://PBX22.reconnect.test/provisioning?x=1", ["pbx22"]),
        ("pbx3.one.example", ["pbx3.one.example"]),
        ("pbx3", ["pbx3.one.example", "pbx3.two.example"]),
        ("pbx3.three.example", []),
        *(
            (name, [])
            for name in (
                "pbx4",
                "all",
                "all:!pbx1",
                "~pbx.*",
                "../pbx1",
                "{{ 7*7 }}",
                "\x1b[31m",
                "",
                "not pbx22",
                "pbx22 (was pbx4)",
                "pbx2 2",
            )
        ),
        # Other words around the name are none; two names are two.
        *(
            (text, ["pbx22"])
            for text in (
                "pbx22 (Milano)",
                "Server: PBX22",
                "il server pbx22",
                "pbx22!",
                "PBX 22",
                "PBX22 - Sede di Roma",
                "pbx22\u200b",
                "[pbx22](https://pbx22.reconnect.test)",
            )
        ),
        *((text, ["pbx1", "pbx22"]) for text in ("pbx1 pbx22", "pbx1/pbx22", "pbx1 oppure pbx22")),
    ],
)
def test_a_server_is_one_of_the_inventory(text: str, names: list[str]) -> None:
    assert spelling.servers(text, KNOWN) == names


@pytest.mark.parametrize(
    ("text", "name"),
    [
        *(
            (text, "1005")
            for text in (
                "1005",
                " 1005. ",
                "1005@pbx22.reconnect.test",
                "sip:1005@pbx22",
                "sips:1005@pbx22:5061;transport=tls",
                '"Mario Rossi" <sip:1005@pbx22>',
                "<sip:1005@pbx22>;expires=300",
                "1OO5",
                "l0O5",
                "interno 1005",
                "Account: 1005",
                "ext. 1005",
                "Nebenstelle 1005",
                "il mio interno è 1005",
                "int. 1005",
                "nr. 1005",
                "account number 1005",
                "interno: 1005 (Mario Rossi)",
                "Mario Rossi, 1005",
                "1005 - Mario Rossi",
                "#1005",
                "interno n. 1005",
                "SIP/1005",
                "PJSIP/1005-0000001a",
                "interno 1005 su pbx22",
                "Mario Rossi - int. 1005",
                "1005\u200b",
            )
        ),
        ("+39 06 1234-567", "+39061234567"),
        ("anna", "anna"),
        ("Oslo", "Oslo"),
        ("lol", "lol"),
        # These stay as they are, and are no account.
        *((text, text) for text in ("601; id", "{{ 7*7 }}", "1005 602", "1005/../602")),
        *((text, text) for text in ("1005 / 1006", "1005@pbx22; 1006@pbx22", "not 1005", "Anna, tel. 3351234567")),
        *((text, text) for text in ("Anna since 2026", "not Anna, 1005")),
    ],
)
def test_an_account_is_read_without_what_stands_around_it(text: str, name: str) -> None:
    assert spelling.account(text) == name


@pytest.mark.parametrize(
    ("sentence", "servers", "accounts"),
    [
        ("PBX22: account 1OO5 can't register", {"pbx22"}, {"1005"}),
        ("L'interno 1005 non si registra su pbx22.reconnect.test.", {"pbx22"}, {"1005"}),
        ("Registration of sip:1005@PBX22 failed: 403 Forbidden", {"pbx22"}, {"1005"}),
        ("Nebenstelle 1005 erreicht pbx1 und pbx22 nicht", {"pbx1", "pbx22"}, {"1005"}),
        ("user 1005 and user 1006", set(), {"1005", "1006"}),
        ("interno 1005 o 1006, users 2005, 2006", set(), {"1005", "1006", "2005", "2006"}),
        # A number alone may be anything, and a word that names no server is none.
        ("408 since 2026, case number 1005, port 5061, pbx4", set(), set()),
        ("the user is 10 minutes late; account 1005-b; user 1005x; account {{ 1005 }}", set(), set()),
        # A status code of SIP is an account where it is called one.
        ("Error: User 404 on pbx1", {"pbx1"}, set()),
        ("User 404 Not Found", set(), set()),
        ("Errore SIP: utente 403", set(), set()),
        ("account 500 Server Internal Error", set(), set()),
        ("account 1005: user 404 (error)", set(), {"1005"}),
        ("error 408 for account 404", set(), {"404"}),
        ("extension 404 gets error 403", set(), {"404"}),
        ("error of sip:404@pbx1", {"pbx1"}, {"404"}),
        ("user 404 cannot register", set(), {"404"}),
        ("error of user 601", set(), {"601"}),
        ("anna@pbx1", {"pbx1"}, set()),
        ("all:!pbx1 ../pbx1 \x1b[31m", {"pbx1"}, set()),
        ("", set(), set()),
    ],
)
def test_a_sentence_names_servers_and_accounts(sentence: str, servers: set[str], accounts: set[str]) -> None:
    assert (spelling.servers_in(sentence, KNOWN), spelling.accounts_in(sentence)) == (servers, accounts)


def test_an_ordinary_word_of_a_sentence_is_no_server() -> None:
    assert spelling.servers_in("custom ringtone on a plain phone", {"custom", "plain", "phone"}) == set()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        *(
            (text, True)
            for text in ("yes", "Si", "sì", "si, WhatsApp va", "Yes, browsing works", "ja", "oui, ça marche", "1", "on")
        ),
        # A sentence without a yes or a no says it as well.
        *(
            (text, True)
            for text in (
                "internet va",
                "funziona",
                "si funziona",
                "online",
                "connesso",
                "Das Internet funktioniert",
                "le wifi marche",
                "la red funciona",
                "Yes, everything works except PrivateGSM",
            )
        ),
        *(
            (text, False)
            for text in (
                "internet non va",
                "doesn't work",
                "no connection at all",
                "nessuna connessione",
                "Internet geht nicht",
                "kein Internet",
                "pas d'internet",
                "no hay internet",
                "offline",
                "No, not connected",
            )
        ),
        # Where another word stands in it, it is about something else, too; whoever has no internet is sent away.
        *(
            (text, None)
            for text in (
                "no problem",
                "nessun problema",
                "keine Probleme",
                "pas de problème",
                "sin problemas",
                "non so",
                "weiß nicht",
                "je ne sais pas",
                "no idea",
                "non è un problema di internet",
                "Non riesco a collegarmi al PBX",
                "no response from the server",
                "No, the server does not answer",
                "doesn't have a connection except WhatsApp",
                "internet funziona, WhatsApp no",
                "not good",
                "not offline",
                "wifi works, no 4G",
                "no, it works",
                "internet?",
                "Ein Kollege sagt, es geht",
                "on pbx22 it fails",
                "Si è disconnesso",
                # Nothing was said: "non disponibile", "not available", "non communiqué".
                *("n.d.", "N.D.", "n.a.", "n.c.", "n. d.", "niente", "Niente."),
                "no" + " " * 400 + "problem",
                # It is there: the question was whether it is down.
                *("no, c'è", "No, I do have it", "no, on", "nein, es gibt", "no, hay", "off - on", "no, it's there"),
            )
        ),
        *(
            (text, False)
            for text in (
                "no, not at all",
                "no, right now",
                "no",
                "No.",
                "no, nothing works",
                "nein",
                "non",
                "non va niente",
                "off",
                "0",
                "no, niente",
            )
        ),
        *(
            (text, None)
            for text in ("maybe", "forse", "", "si, ma non va", "si, WhatsApp non va", "no, ma WhatsApp va")
        ),
        *(
            (text, None)
            for text in (
                *("yes until now", "Yes earlier today", "ja bis gestern", "sì fino a ieri", "oui jusqu'à hier"),
                *("yes for 2 minutes", "sì per 5 minuti", "ja kurz", "oui brièvement", "yes hopefully", "sì spero"),
                *("yes, error 403", "ok: 403 Forbidden", "yes (unregistered)", "ja, Fehler", "yes, offline"),
                *("yes=false", "active: false", "yes i guess", "ja glaub schon", "oui je crois", "yes if i restart"),
                *("yes when on wifi", "yes on the other server", "yes with the old phone", "yes 408"),
                # Nor is one with words behind it that no list knows.
                *("yes as 1006", "sì come 1006", "yes, red", "sì, rosso", "yes but later", "sì, più tardi", "ja, 1006"),
                *("yes, per ora", "sí, por el momento", "oui, ne marche", "yes " + "ok " * 200 + "later"),
            )
        ),
        *(
            (text, None)
            for text in ("no, WhatsApp va", "yes or no", "si?", "yes, but only at home", "password=x", "yesterday")
        ),
    ],
)
def test_a_yes_that_is_taken_back_is_none(text: str, said: bool | None) -> None:
    assert spelling.yes_or_no(text) is said


#: The same in HTML, Markdown, a table, a quoted mail, a list.
MARKED = [
    "<p>Server: pbx22<br>Port:&nbsp;5061<br/>User: 1005</p>",
    "<table><tr><td>Server</td><td>pbx22</td></tr><tr><td>Port</td><td>5061</td></tr><tr><td>User</td><td>1005</td></tr>",
    "| Setting | Value |\n| --- | --- |\n| Server | pbx22 |\n| Port | 5061 |\n| User | 1005 |",
    "Server\tpbx22\nPort\t5061\nUser\t1005",
    "**Server:** pbx22\n**Port:** 5061\n`User`: `1005`",
    "On Friday Anna wrote:\n> Server: pbx22\n> Port: 5061\n>> User: 1005",
    "1. Server: pbx22\n2) Port: 5061\n- [x] User: 1005",
    "Server: pbx22\nPort: 5061\nUser: 1005\n-- \nAnna Bianchi\nInterno: 2200",
    "Server: pbx22\nPort: 5061\nUser: 1005\n\nMit freundlichen Grüßen\nAnna\nDurchwahl: 2200",
    "Server:\u00a0pbx22\u200b\nPort:5061 User:1005",
    "server: pbx22 (port 5061)\nuser: 1005",
]
#: The same in words of other languages, and without signs.
WORDED = [
    "Serveur : pbx22\nPort : 5061\nUtilisateur : 1005\nTransport : TLS",
    "Server: pbx22\nPort: 5061\nBenutzername: 1005\nTransportprotokoll: TLS",
    "Servidor: pbx22\nPuerto: 5061\nUsuario: 1005\nTransporte: TLS",
    "server pbx22 port 5061 TLS user 1005",
    "SERVER pbx22 - PORTA 5061 - TLS - UTENTE 1005",
    "{'server': 'pbx22', 'port': 5061, 'user': '1005', 'transport': 'tls'}",
    "Server:pbx22 Port:5061 Transport:TLS User:1005",
]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "server: pbx22.reconnect.test, user: 1005, protocol: TLS, Port: 5061",
            {"address": "pbx22.reconnect.test", "username": "1005", "transport": "tls", "port": "5061"},
        ),
        (
            "Server pbx22, porta 5060, trasporto UDP, utente 1005",
            {"address": "pbx22", "port": "5060", "transport": "udp", "username": "1005"},
        ),
        (
            "Indirizzo del server = pbx22.reconnect.test:5061\nNome utente: sip:1005@pbx22.reconnect.test",
            {"address": "pbx22.reconnect.test", "port": "5061", "username": "1005", "domain": "pbx22.reconnect.test"},
        ),
        ("user: sip:1005@old.example; domain: new.example", {"username": "1005", "domain": "new.example"}),
        ("domain: new.example; user: sip:1005@old.example", {"username": "1005", "domain": "new.example"}),
        ("Protocol: SIP over TLS", {"transport": "tls"}),
        ("protocollo: TLSv1.2", {"tls_version": "TLSv1.2"}),
        ("porta 5061 (TLS)", {"port": "5061", "transport": "tls"}),
        (
            "server pbx22.reconnect.test user 1005 port 5061 protocol tls",
            {"address": "pbx22.reconnect.test", "username": "1005", "port": "5061", "transport": "tls"},
        ),
        ("Indirizzo del server: pbx22 porta: 5061", {"address": "pbx22", "port": "5061"}),
        ("utente: 1005 codec: opus", {"username": "1005", "codec": "opus"}),
        ('{"server": "pbx22", "user": "1005", "port": 5061}', {"address": "pbx22", "username": "1005", "port": "5061"}),
        ("Server - pbx22\r\nUser – 1005", {"address": "pbx22", "username": "1005"}),
        ("server=pbx22 | user=1005&port=5061", {"address": "pbx22", "username": "1005", "port": "5061"}),
        (
            "Utente 1005 sul server pbx22 porta 5061 tls",
            {"username": "1005", "address": "pbx22", "port": "5061", "transport": "tls"},
        ),
        ("server: pbx22 and user: 1OO5", {"address": "pbx22", "username": "1005"}),
        ("Server: pbx22. User: 1005. Port: 5061.", {"address": "pbx22", "username": "1005", "port": "5061"}),
        ("TLS: sì; TLS version: 1.2", {"transport": "tls", "tls_version": "1.2"}),
        ("TLS 5061", {"transport": "tls"}),
        ("TLS 1.2", {"tls_version": "1.2"}),
        ("udp", {"transport": "udp"}),
        ("Codec preferences: opus", {"codec_preferences": "opus"}),
        *((text, {"address": "pbx22", "port": "5061", "username": "1005"}) for text in MARKED),
        *((text, {"address": "pbx22", "port": "5061", "username": "1005", "transport": "tls"}) for text in WORDED),
        (
            "<sip:1005@pbx22:5061;transport=tls>",
            {"username": "1005", "domain": "pbx22", "port": "5061", "transport": "tls"},
        ),
        ("Porta 5O61", {"port": "5061"}),
        ("Registrar pbx22.reconnect.test:5061", {"address": "pbx22.reconnect.test", "port": "5061"}),
        ("SIP-Server ..... pbx22\nSIP-Benutzername\n  1005", {"address": "pbx22", "username": "1005"}),
    ],
)
def test_settings_have_the_names_that_users_give_them(text: str, found: dict[str, str]) -> None:
    assert spelling.settings(text) == (found, [])


@pytest.mark.parametrize(
    "text", ["server: the one in Milan", "user: Anna Bianchi", "porta: non lo so", "porta 5060 o 5061"]
)
def test_a_value_that_can_be_none_is_told(text: str) -> None:
    assert spelling.settings(text) == ({}, [text])


def test_two_values_of_a_setting_are_told_and_neither_is_taken() -> None:
    assert spelling.settings("server: pbx1\nserver: pbx22\nport: 5061") == ({"port": "5061"}, ["server: pbx22"])
    assert spelling.settings("port: 5061; port: 5061") == ({"port": "5061"}, [])


def test_what_is_no_setting_is_told_and_the_others_are_kept() -> None:
    assert spelling.settings("port: 5061, see my mail") == ({"port": "5061"}, ["see my mail"])


def test_the_documentation_lists_every_name_that_is_read() -> None:
    page = Path(__file__).parents[4] / "docs" / "how-to" / "first-level.md"
    text = " ".join(page.read_text(encoding="utf-8").split())
    assert [name for name, names in spelling.SETTINGS.items() if f"- `{name}`: {', '.join(names)}" not in text] == []


@pytest.mark.attack("text that was made to take for ever", harm="hang")
@pytest.mark.parametrize(
    "text", ["<" * 50_000, "sip:" * 20_000, "a " * 50_000, "yes" + " no" * 30_000, "server " * 15_000, "1" * 90_000]
)
def test_hostile_text_is_read_in_time(text: str) -> None:
    begun = time.process_time()
    spelling.account(text)
    spelling.accounts_in(text)
    spelling.servers(text, KNOWN)
    spelling.servers_in(text, KNOWN)
    spelling.yes_or_no(text)
    spelling.settings(text)
    assert time.process_time() - begun < 1
