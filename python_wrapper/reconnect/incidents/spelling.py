"""What people write for a server, an account, yes or no, and the client's settings; read where it is unambiguous.

Everything is hostile: what is read is a name of the inventory, the characters of an account, or plain data.
"""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from reconnect.incidents import meant

#: How much of a field is looked at, in characters.
_LIMIT = 100_000
#: A value as a client reports it.
Scalar = str | int | float | bool | None
_SCHEME = re.compile(r"(?:(?:sips?|https?|tls|tcp|udp)(?::(?://)?|[ :])\s*|tel:)(?=\S)", re.IGNORECASE)
_URI = re.compile(r"[^<]{0,200}<\s*([^<>]{1,300})>[^<>]{0,100}")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}|\[?[0-9A-Fa-f:]{2,45}\]?")
_PORTS = ("5060", "5061")
_PORT = re.compile(r":(\d{1,5})\Z")
#: Words that stand before an account's name, in a sentence or a field.
_NOUN = (
    r"accounts?|acct|users?(?: ?name)?|(?:user|sip|login)[ -]?id|login|ext(?:n|ensions?)?|int|interno|derivato|utente"
    r"|nebenstelle|nst|klappe|apparat|(?:be)?nutzer(?:name)?|teilnehmer(?:in)?|kontos?|durchwahl|poste|compte|abonné"
    r"|utilisateur"
    r"|identifiant|usuario|extensi[oó]n|anexo|cuenta|abonado|ramal"
)
#: What may stand between such a word and the name.
_IS = (
    r"(?: (?:concerned|affected|in question|concerné|interessat[oa]|coinvolt[oa]|afectad[oa]|en cuestión))?"
    r"\s{0,3}(?:(?:is|è|e'|ist|est|es)(?: (?:the|il|la|le|el|der|die|das)\b)?)?[ .:=#-]{0,5}"
    r"(?:(?:number|nummer|n[uú]m[eé]ro|nr|no?\.|n\.?[°º]|№)\s{0,3})?"
)
#: What stands for an account in a sentence: as an address, or after the word for it. A number alone may be anything.
_IN_A_SENTENCE = re.compile(
    r"(?:(?<!\w)(?:sips?:)?(?P<user>\+?[0-9OoIl]{2,40})@[A-Za-z0-9][A-Za-z0-9.-]{0,252}"
    rf"|\b(?P<noun>{_NOUN})\b{_IS}(?P<name>\+?[0-9OoIl]{{3,40}}))(?![\w-]|\s?%)",
    re.IGNORECASE,
)
#: A second one, behind the first.
_ANOTHER = re.compile(
    r"\s{0,3}(?:[,/+&]|[=-]>|→|\b(?:(?:o|or|oder|ou|e|and|und|et|y)(?: (?:also|auch|anche|aussi|también))?"
    r"|(?:o|or|oder|ou) (?:not|non|nicht|pas|no)|to|replaced by"
    r"|ersetzt durch|sostituito da|remplacé par"
    r"|sustituid[oa] por)\b)\s{0,3}(\d{2,40})(?![\w-])",
    re.IGNORECASE,
)
#: One that is said without a word for it: "user 1005 has it, the 1006 has not".
_BARE = re.compile(
    r"\b(?:the|il|lo|la|l['’]|al|dal|del|der|die|das|dem|den|le|au|el|but|ma|aber|mais|pero|while|mentre|während|says"
    r"|sagt|dice|dit|calls?|ruft|chiama|appelle|llama)\s?(?!(?:19|20)\d\d\b)(\d{2,6})(?![\w:]|[.,]\d)",
    re.IGNORECASE,
)
#: One that is said of what registers: "my app (1005)", "1005 can't log in", "1005 here".
_REGISTERING = re.compile(
    r"\b(?:app|appli|softphone|application|applicazione|aplicación|anwendung|(?:phone|telefon)[ -]?app)\b"
    r"(?: [^\W\d]{1,12}){0,3}\s?\((?!(?:19|20)\d\d\))(\d{3,6})\)"
    r"|(?:^|[.,;:!?] |\b(?:and|und|et) )(\d{3,6}) (?:can(?:['’]t|not)|won['’]t|does(?:n['’]t| not)|no longer|kann sich"
    r"|meldet sich|non|ne|n['’]|no) (?:\w{1,8} |s['’]){0,2}(?:log|sign|regist|connect|anmeld|einlogg|verbind|nicht an\b"
    r"|colleg|connett|enregistr|conect)"
    r"|(?:^|[.,;!] )(\d{3,6}) (?:here|hier|qui|ici|aquí)\b",
    re.IGNORECASE,
)
#: The server that an account is on.
_AT = re.compile(
    r"\s(?:on|at|auf|an|bei|am|su|sul|sur|en|@)\s{1,3}(?=[\w.-]*[A-Za-z])(?=[\w.-]*(?:\d|\w[.-]\w))[\w.-]{2,253}\Z",
    re.IGNORECASE,
)
#: The account's secret, which may be a number.
_SECRET = re.compile(
    r"[\s,;/|-]{1,5}(?:pwd?|pass(?:word|wort)?|kennwort|pin|mot de passe|contraseña)\b[\s:=]{0,3}\S{1,80}",
    re.IGNORECASE,
)
#: The status codes of SIP, and the words that tell such an answer from an account: "User 404 Not Found".
_STATUS = re.compile(
    r"1(?:00|8[0-3]|99)|20[024]|30[0125]|380|4(?:0\d|1\d|2[0-489]|3[0-9]|40|69|70|8\d|9[1-4])|5(?:0[0-5]|13|55|80)"
    r"|60[0346-8]"
)
_REASON = re.compile(
    r"[\s:,(\"'-]{0,5}(?:not |non |un|forbidden|bad |request|method|proxy|gone|time-?out|busy|decline|server |service "
    r"|internal |temporarily|call/|loop|too many|ambiguous|address |global|ok\b|trying|ringing)",
    re.IGNORECASE,
)
_ANSWERED = re.compile(
    r"\b(?:errors?|errore|errori|fehler\w{0,8}|erreurs?|errores|response|answer(?:s|ed)?|status|code|codice|risposta"
    r"|antwort\w{0,3}|réponse|respuesta|returns?|returned)\b",
    re.IGNORECASE,
)
#: Who has an account has it under a number; that alone does not say that the number is an account.
_PERSON = re.compile(
    r"user.{0,6}|.{1,5}[ -]?id|login|utente|benutzer.{0,4}|teilnehmer.{0,2}|abon.{2,3}|utilisateur|identifiant|usuario",
    re.IGNORECASE,
)
#: A word that can be a server's name where nobody said that it is one: ordinary words have no digit, dot or hyphen.
_HOST_WORD = re.compile(r"(?=[\w.-]*(?:\d|\w[.-]\w))[A-Za-z0-9][A-Za-z0-9._-]{1,252}")
#: The same in a sentence, which may end behind it.
_HOST_IN_A_SENTENCE = re.compile(_HOST_WORD.pattern + r"(?<!\.)")
#: The same in a field, where a number may be called one.
_NOUNS = re.compile(
    r"(?:sip[ -])?(?:(?:my|il mio|mio|meine?|mon|mi)\s{1,3})?"
    rf"(?:n[°º]|№|(?:{_NOUN}|number|nummer|n[uú]m[eé]ro|nr?)\b){_IS}",
    re.IGNORECASE,
)
#: What stands in no sentence about a name.
_FOREIGN = re.compile(r"[{}$;\\*~|&`]|\.\./|:!")
_PHONE = re.compile(r"(?i)\b(?:tel|phone|fax|cell|mobile|mobil|handy|telefon\w?)")
#: The only number of a text, beside a person's name: `Mario Rossi, 1005`, `1005 (Mario Rossi)`; a phone is none.
_BESIDE = re.compile(
    r"(?:[^\d@]{0,80}[,(:#–—-]\s?)?(?P<name>\+?\d{2,40})\)?(?:\s?[,(–—-]\s?[^\d@]{0,80})?",
    re.IGNORECASE,
)
#: Characters that no one sees, and spaces of other kinds.
_UNSEEN = re.compile(r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060\ufeff]")
_SPACES = re.compile(r"[^\S\n\r ]")
#: Letters that are read, or scanned, for digits.
_DIGITS = str.maketrans("OoIl", "0011")
_LOOKS_NUMERIC = re.compile(r"[0-9OoIl]{3,40}")

_YES = (
    "yes|yeah|yep|y|true|on|enabled|1|ok|okay|s[iìí]|vero|certo|attiv[oa]|attivat[oa]|abilitat[oa]|acces[oa]"
    "|ja|wahr|an|ein|aktiviert|oui|vrai|activ[eé]|verdadero|activado"
)
_NO = (
    "no|nope|n|false|off|disabled|0|falso|disattivat[oa]|disabilitat[oa]|spent[oa]|nein|falsch|aus|deaktiviert"
    "|non|d[eé]sactiv[eé]|desactivado"
)
#: Now it is so: "adesso sì".
_NOW = r"(?:(?:now|adesso|ora|jetzt|nun|maintenant|ahora)[ ,]{1,3}(?=[jyos]))?"
_ANSWER = re.compile(
    rf"[\W_]{{0,5}}{_NOW}(?:(?P<yes>{_YES})|(?P<no>{_NO}))\b(?P<rest>.{{0,400}})", re.IGNORECASE | re.DOTALL
)
#: What says that it is not so.
_NOT = re.compile(
    r"\b(?:no|non|not|nein|neither|n[eé]|cannot|can['’]t|doesn['’]?t|nicht|kein\w{0,3}|pas|never|mai|nie|jamais|nunca"
    r"|nothing|nichts|rien|nada|niente|nessun\w?)\b",
    re.IGNORECASE,
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: A yes or no that is also another word of a sentence is an answer alone, or before a sign.
_ALSO_ELSEWHERE = {"si", "on", "an", "ein", "ok", "okay", "y", "n", "1", "0"}
#: What a sentence that says yes or no by itself is made of, "internet non va" and "no connection at all". Where another
#: word stands in it, it is about something else, too: "no problem", "non so", "no answer from the server".
_SUBJECT = _words(
    """je ich io yo the a an my our this it s is are i we there of on at all here now currently right any has have got
    does do ca il la lo l un una c ce è e di del ho al momento qui ora adesso per tutto proprio das die der ein
    eine ist es gibt habe hat im hier gerade momentan überhaupt le les y j ai du d ici maintenant est n ne el
    los hay tengo de en aquí ahora"""
)
#: Without Wi-Fi or mobile data a phone may still have the other.
_LINKS = _words("wifi wi fi wlan lan 3g 4g 5g lte data dati datos")
_NETWORK = _words(
    "internet connection network rete connessione verbindung netz netzwerk connexion réseau conexión conexion red"
)
#: What has no internet, or does not work itself: a phone that "is offline" may be one that does not register.
_DEVICE = _words(
    "mobile phone device telefono linea dispositivo telefon handy gerät téléphone appareil ligne teléfono línea"
)
_THE = _words("the this my our il lo la l das die der le les el los")
_HAVE = _words("have has got there ho hat habe gibt ai y hay tengo")
_AVAILABLE = _words("available presente disponibile verfügbar disponible")
_GOOD = _AVAILABLE | _words(
    """works work working up online connected va vanno funziona funzionano funzionante connesso
    connessa collegato attiva geht funktioniert läuft verbunden marche fonctionne connecté funciona conectado
    conectada"""
)
#: These say how good it is: without it something may still work.
_FINE = _words("""ok okay fine good well bene buona gut bien perfect perfetto perfekt parfait perfecto""")
_DOWN = _words(
    """offline down disconnected disconnesso disconnessa scollegato assente getrennt déconnecté desconectado"""
)
_NONE = _words(
    """no not non none nothing doesnt cannot niente nessuna nessun mai nicht kein keine keinen nichts
    pas rien aucune nada ninguna"""
)
#: Beside a no these say nothing more. "No, c'è" and "no, on" do.
_EMPHASIS = _words(
    """at all here now currently right al momento qui ora adesso per tutto proprio hier gerade momentan überhaupt im ici
    maintenant en aquí ahora"""
)
#: "Not even the browser" confirms a no.
_EVEN = _words("even neanche nemmeno neppure einmal mal même siquiera")
_APPS = _words("browser google whatsapp youtube web websites pages siti seiten webseiten sites páginas")
#: What made it work again.
_AFTER = _words(
    "after reboot rebooting restart restarting dopo riavvio nach neustart après redémarrage tras reinicio reiniciar"
)
#: Of what is lacking these say nothing more: "without wifi it does not work".
_WITHOUT = _words("without senza ohne sans sin")

#: What may stand behind a yes. "Per ora" and "por el momento" take it back, and red is a color, too.
_CONFIRMS = (_SUBJECT | _NETWORK | _LINKS | _DEVICE | _GOOD | _FINE | _APPS | _AFTER) - _words(
    "per moment momento momentan n ne red"
) | _words(
    """yes you can close sure thanks since with via everything else also too again great stable load loads registered
    reconnected reinstall tested office mail email speedtest browsing hotspot vpn netflix teams
    sì si certo grazie anche tutti resto regolare posto normalmente perfettamente tranquillamente stabile con tramite
    navigo navigazione posta arriva provato registrato riconnesso
    ja klar danke alles andere auch wieder jetzt seit mit über problemlos tadellos stabil surfen geklappt angemeldet
    registriert
    oui merci ça tout à fait aussi depuis matin avec par navigateur ouvre mails passent remarche enregistré reconnecté
    sí gracias claro todo demás también ya desde por abre registrado"""
)
#: The same in several words: a time, a speed, that nothing else is wrong.
_CONFIRMS_TOGETHER = re.compile(
    r"\b(?:\d{1,2}[:.h]\d\d|(?:since|seit|dalle|depuis) \d{1,2} ?(?:h|uhr)?|\d{1,4} ?[mk]bit|per (?:hotspot|tutto)"
    r"|la red|(?:except|tranne|außer|sauf|excepto) privategsm"
    r"|(?:no|without|keine|ohne|nessun|senza|aucun|sans|ningún|sin) (?:problem\w{0,2}|problème|soucis?|issues?))\b",
    re.IGNORECASE,
)

#: The names of the settings that are compared, and what users and clients call them.
SETTINGS: dict[str, tuple[str, ...]] = {
    canonical: tuple(" ".join(names.split()).split(", "))
    for canonical, names in {
        "address": """address, server, host, hostname, server address, server name, server host, registrar, registrar
            server, proxy, proxy server, outbound proxy, outbound server, pbx, indirizzo, indirizzo server, server
            proxy, server di registrazione, nome server, nome host, centralino, adresse, serveur, serveur proxy, serveur
            d'enregistrement, nom du serveur, nom d'hôte, hôte, adresse du serveur, serveradresse, registrierungsserver,
            telefonanlage, anlage, servidor, servidor proxy, servidor de registro, dirección, dirección del servidor,
            nombre del servidor, centralita""",
        "domain": """domain, domain name, realm, dominio, domaine, domäne""",
        "port": """port, server port, port number, porta, porta server, puerto, puerto del servidor, port du serveur""",
        "transport": """transport, protocol, transport protocol, transport type, connection type, trasporto, protocollo,
            protocollo di trasporto, tipo di trasporto, tipo di connessione, transportprotokoll, transportart,
            protokoll, verbindungstyp, protocole, protocole de transport, type de transport, transporte, protocolo,
            protocolo de transporte, tipo de transporte""",
        "username": """username, user, user id, account, account name, account id, account number, extension, extension
            number, sip id, sip uri, login, login name, login id, auth name, auth id, auth user, auth username,
            authorization name, authorization user, authentication name, authentication id, authentication user,
            authentication username, phone number, utente, nome utente, interno, numero interno, nome account, id
            utente, id account, nome autenticazione, id autenticazione, utilisateur, nom d'utilisateur, identifiant, nom
            du compte, numéro de poste, benutzer, benutzername, benutzerkennung, benutzer id, nutzer, anmeldename,
            kontoname, nebenstelle, nebenstellennummer, durchwahl, teilnehmer, konto, compte, poste, usuario, nombre de
            usuario, id de usuario, usuario de autenticación, cuenta, nombre de cuenta, extensión""",
        "tls_version": "tls version, tls, ssl version, minimum tls version, versione tls, versione ssl",
        "keep_alive": "keep alive, keepalive, nat keep alive, nat keepalive, mantieni attivo, mantenimento connessione",
        "clock": "clock, time, device time, phone time, date and time, ora, orologio, data e ora, ora del telefono",
    }.items()
}
#: Settings of one word.
_ONE_WORD = ("address", "domain", "port", "transport", "username")
#: Words of a setting's name that tell nothing.
_ARTICLES = _words("of the del della di de der des du das die the el la le zum vom your il tu votre ihr ihre")


def _plain(name: str) -> str:
    # A SIP server is a server, and so is the address of the server; a form marks what it wants.
    words = re.sub(r"(?<=\w)[_-](?=\w)|\b[dl]['’]|\([^()]{0,40}\)|[\s:=*]{1,9}\Z", " ", name.lower()).split()
    meant = [word for word in words if word not in _ARTICLES and word != "sip"]
    return "".join(meant or words)


_CANONICAL = {_plain(name): canonical for canonical, names in SETTINGS.items() for name in names}
# Where another setting ends: "user 1005 password x".
_CANONICAL |= dict.fromkeys(map(_plain, ("password", "passwort", "kennwort", "mot de passe", "contraseña")), "password")
_TRANSPORT = re.compile(r"\b(udp|tcp|tls)\b")
_SECURE = re.compile(r"\b(?:sips|ssl)\b")
_TLS = re.compile(r"\b(?:tls|ssl)[ v]{0,3}\d(?!\d)", re.IGNORECASE)
_TLS_VERSION = re.compile(r"(?:(?:tls|ssl)[ _]?v?)? ?\d(?:[._]\d)?(?!\d)", re.IGNORECASE)
#: A setting without a value.
_EMPTY = re.compile(
    r"[(<\[]?(?:empty|blank|not set|leer|nicht gesetzt|vuoto|non impostat[oa]|vide|non défini|vacío|sin definir)"
    r"[)>\]]?|[-–—_.]{1,3}|n/?a|none|nessuno|aucun|ninguno",
    re.IGNORECASE,
)
#: What stands between two settings, and words between them that belong to neither.
_BETWEEN = re.compile(r"[\n;,|]|&(?=[A-Za-z_]{2,30}=)")
_JOINS = re.compile(
    r"\s+(?:and|e|ed|und|et|y|on|at|sul|sulla|auf|bei|sur|en|with|con|mit|avec|via|over|über|[-–/])\Z", re.IGNORECASE
)


#: What HTML has between lines, between cells, and elsewhere.
_BREAK = re.compile(r"(?i)<(?:br|/p|/div|/tr|/li|/h\d)\b[^<>]{0,200}>")
_CELL = re.compile(r"(?i)</t[dh]>")
_TAG = re.compile(
    r"(?i)</?(?:html|body|head|p|br|div|span|table|t(?:head|body|r|d|h)|[ou]l|li|b|i|u|strong|em|font|a"
    r"|h\d)\b[^<>]{0,200}>|&nbsp;"
)
#: What stands before a line of a quoted mail, a list or a table.
_MARK = re.compile(r"^(?:\s{0,5}>){1,9}\s{0,5}|^\s{0,9}(?:\d{1,2}[.)]|[-*•])\s{1,3}(?:\[[ xX]?\]\s{0,3})?")
_LEADER = re.compile(r"\s?(?:\.{3,200}|…{1,200})\s?")
#: Where a mail's signature begins.
_CLOSINGS = (
    r"--|(?:[^\W\d_]{2,15} ){0,3}(?:regards|wishes|saluti|gr[uü](?:ß|ss)(?:en?)?|cordialement|saludos?|giornata|serata"
    r"|journée|soirée)|best|cheers|sincerely|thanks|thank you|grazie|mfg|lg|vg|(?:vielen )?dank|danke|bien à vous"
    r"|amicalement|merci|atentamente|gracias|(?:sent from|gesendet von|inviato da|envoyé de|enviado desde) .{0,40}"
)
#: A name may follow in the same line, and behind it where that person is found.
_END = re.compile(
    rf"(?:{_CLOSINGS})(?:[\s,.!]{{1,3}}[^\W\d_]{{2,20}}){{0,2}}[\s,.!]{{0,5}}"
    rf"|(?!thank|dank|grazie|merci|gracias)(?:{_CLOSINGS})(?:[\s,.!]{{1,3}}(?-i:[A-ZÀ-Þ])[\w'’-]{{0,19}}\.?){{1,3}}\s?[,|/(–-].{{0,80}}",
    re.IGNORECASE,
)
#: Lines of a table or a mail that hold none.
_NO_SETTING = re.compile(
    r"[-:|\s=+_]{2,200}|\|?\s{0,5}(?:settings?|name|field|parameter|parametro|paramètre|parámetro|impostazione"
    r"|nome campo|campo|feld|einstellung|champ)\s{0,5}[|;,:\t]\s{0,5}(?:value|valore|wert|valeur|valor)\s{0,5}\|?"
    r"|.{0,200}\b(?:wrote|ha scritto|schrieb|a écrit|escribió)\s?:",
    re.IGNORECASE,
)
#: The transport behind an address, a setting in brackets, and a name with its value right behind the sign.
_PARAMETER = re.compile(r"(?i)<?(\bsips?:[^\s;,<>]{1,300});transport=(\w{3})(?:;[\w=.-]{1,80}){0,5}>?")
_IN_BRACKETS = re.compile(
    rf"\s?\((?=(?:{'|'.join(name for name in _CANONICAL if ' ' not in name and name != 'tls')})\b)", re.IGNORECASE
)
_STUCK = re.compile(
    rf"(?i)(?<![\w.@/-])({'|'.join(name for name in _CANONICAL if ' ' not in name and name != 'tls')})([:=])(?=[^\s/])"
)


@dataclass(frozen=True)
class Address:
    """What stands in an address of SIP: each part is "" where it is not given."""

    user: str = ""
    host: str = ""
    port: str = ""
    transport: str = ""


def plain(text: str) -> str:
    """A text without what no one sees in it, and with ordinary spaces."""
    return _SPACES.sub(" ", _UNSEEN.sub("", text)).strip()


def address(text: str) -> Address:
    """The parts of ``sip:USER@HOST:PORT;transport=…``, ``USER@HOST`` or ``HOST:PORT``; a name alone is the host."""
    inner = _URI.fullmatch(text.strip())
    rest = (inner[1] if inner else text).strip().strip("\"'“”")
    scheme = _SCHEME.match(rest)
    rest = rest[scheme.end() :] if scheme else rest
    parameters = ""
    if inner or scheme or "@" in rest or ";transport=" in rest.lower():
        # Only an address has anything behind the host.
        rest, _, parameters = rest.partition(";")
        rest = re.split(r"[/?]", rest, maxsplit=1)[0]
    user, at, host = rest.strip().rpartition("@")
    port = _PORT.search(host) if host.count(":") == 1 or host.startswith("[") else None
    host = (host[: port.start()] if port else host).strip("[]").rstrip(".")
    transport = re.search(r"transport=(udp|tcp|tls)\b", parameters, re.IGNORECASE)
    return Address(
        user=user.partition(":")[0].strip() if at else "",
        host=host,
        port=port[1] if port else "",
        transport=transport[1].lower() if transport else "",
    )


def servers(text: str, known: Collection[str]) -> list[str]:
    """The servers among the `known` that a text may name: exactly, in other letters, by a full or by a short name, or
    with other words around the name."""
    text = plain(text).rstrip(" ;,")
    found = _servers(text, known)
    if not found and re.fullmatch(r"[A-Za-z]{2,20} \d{1,5}", text):
        found = _servers(text.replace(" ", ""), known)
    if found:
        return found
    # Where another word may name a host, or one is taken back, nobody knows which is meant.
    unsure = _NOT.search(text) or _FOREIGN.search(text) or not meant.is_sure(text)
    # Who is at a server is none.
    at = re.findall(r"@([A-Za-z0-9][\w.-]{0,252})", text[:400])
    words = [] if unsure else at or re.findall(r"[\w.-]*[^\W_][\w.-]*", text[:400])
    hosts = [word for word in words if (_HOST_WORD.fullmatch(word) or re.search(r"\d", word)) and word not in _PORTS]
    named = [_servers(word, known) for word in hosts]
    return sorted({name for one in named for name in one}) if all(named) else []


def _servers(text: str, known: Collection[str]) -> list[str]:
    host = address(text).host
    if not _HOST.fullmatch(host):
        return []
    if host in known:
        return [host]
    lower = host.lower()
    if same := sorted(name for name in known if name.lower() == lower):
        return same
    # Of two full names that differ one is no spelling of the other.
    return sorted(
        name
        for name in known
        if name.lower().partition(".")[0] == lower.partition(".")[0] and ("." not in name or "." not in host)
    )


def account(text: str) -> str:
    """The account that a text names, without what people write around it. It may not be a valid one."""
    rest = _SECRET.sub("", plain(text)[:400])
    if rest.count("@") > 1 or rest.lower().startswith("mailto:"):
        return rest
    if re.match(r"https?://", rest, re.IGNORECASE):
        return rest
    if channel := re.fullmatch(r"(?i:pj)?(?i:sip)/(\d{2,40})(?:-[0-9a-fA-F]{1,16})?", rest):
        # As Asterisk names its channels.
        return channel[1]
    rest = rest[noun.end() :] if (noun := _NOUNS.match(rest)) and noun.end() < len(rest) else rest
    found = address(rest)
    name = (found.user or found.host).strip(" .,;!\"'“”()")
    if re.fullmatch(r"\+?[0-9][0-9 ()./-]{5,40}", name) and name[0] == "+":
        name = "+" + re.sub(r"\D", "", name)
    if _LOOKS_NUMERIC.fullmatch(name) and not name.isdigit() and sum(map(str.isdigit, name)) * 2 >= len(name):
        name = name.translate(_DIGITS)
    if (
        meant.is_sure(rest)
        and meant.is_one(rest)
        and not (_NOT.search(rest) or _FOREIGN.search(rest) or _PHONE.search(rest))
    ):
        named = _called(text) if " " in name else set()
        if beside := _BESIDE.fullmatch(rest):
            name = beside["name"]
        elif len(named) == 1 and re.findall(r"(?<!\w)\+?\d{2,40}(?!\w)", rest) == list(named):
            name = named.pop()
    return name


def account_alone(text: str) -> str:
    """The same of a field, which may say at which server: ``1005 on pbx22``."""
    return account(_AT.sub("", plain(text)[:400]))


def servers_in(sentence: str, known: Collection[str]) -> set[str]:
    """The servers among the `known` that a sentence may name, by a name that is no ordinary word."""
    text = sentence[:400]
    said = {one: servers(one[0], known) for one in _HOST_IN_A_SENTENCE.finditer(text)}
    if meant.is_another_server(text, [one for one, names in said.items() if names]):
        return set()
    return {name for names in said.values() for name in names}


def accounts_in(sentence: str) -> set[str]:
    """The accounts that a sentence names: ``1005@pbx1``, ``account 1005``, ``1005 can't register``."""
    text = sentence[:400]
    registering = list(_REGISTERING.finditer(text))
    found = {name for one in registering for name in one.groups() if name and not is_status(name)}
    return _called(text) | (set() if meant.is_of_others(text, registering) else found)


def _called(text: str) -> set[str]:
    """The accounts that a sentence calls so: ``1005@pbx1``, ``account 1005``, ``accounts 1005 and 1006``."""
    text = text[:400]
    said = [one for one in _IN_A_SENTENCE.finditer(text) if not _is_answer(one, text)]
    if meant.is_of_others(text, said):
        return set()
    more = (_ANOTHER.match(text, one.end()) for one in said)
    found = {account(one["user"] or one["name"]) for one in said} | {
        one[1] for one in more if one is not None and not is_status(one[1])
    }
    known = {name for name in found if name.lstrip("+").isdigit()}
    bare = {one for one in _BARE.findall(text) if not is_status(one) and len(one) in map(len, known)}
    return known | bare


def accounts_of(lines: Sequence[str]) -> set[str]:
    """The same of several sentences: one may say that the account of another one works."""
    text = "\n".join(lines)[:4000]
    if meant.works(text, list(_IN_A_SENTENCE.finditer(text))):
        return set()
    return {name for line in lines for name in accounts_in(line)}


def _is_answer(found: re.Match[str], text: str) -> bool:
    """Whether a number may be the status code of an answer: ``User 404 Not Found``, ``error for user 404``."""
    if not is_status(found["name"] or ""):
        return False
    person = _PERSON.fullmatch(found["noun"])
    if found["noun"].lower() == "login":
        return True
    return bool(_REASON.match(text, found.end()) or (person and _ANSWERED.search(text)))


def is_status(text: str) -> bool:
    """Whether it is a status code of SIP."""
    return _STATUS.fullmatch(text) is not None


def yes_or_no(text: str) -> bool | None:
    """Whether a text says yes or no; None where it says neither, or anything that is not known to confirm it."""
    text = text.strip()
    match = _ANSWER.fullmatch(text)
    if match is None:
        return _statement(text)
    rest, answer = match["rest"], (match["yes"] or match["no"]).lower()
    yes = match["yes"] is not None
    if not re.search(r"\w", rest) and "?" not in rest:
        return yes
    sentence = not re.match(r"\s*[,.;:!–-]", rest)
    if not yes:
        # Whoever has no internet is sent to the provider: a no counts only where nothing else is said. "N.d." is none.
        otherwise = None if sentence or answer in _ALSO_ELSEWHERE else False
        said = _statement(text if sentence else rest, otherwise)
        return said if sentence or said is False else None
    words = set(re.findall(r"[^\W_]+", _CONFIRMS_TOGETHER.sub(" ", rest.lower())))
    if "?" in rest or words - _CONFIRMS:
        return None
    if sentence and answer in _ALSO_ELSEWHERE:
        # "Si funziona", and not "an Internet".
        return True if answer in ("si", "ok", "okay") and words & (_GOOD | _FINE) else None
    return True


def _statement(text: str, otherwise: bool | None = None) -> bool | None:
    """What sentences say of their subject, `otherwise` where they say nothing.

    None where they contradict each other, or another word is in them.
    """
    clauses = [clause for clause in re.split(r"[,;.:!–]", text) if re.search(r"\w", clause)]
    said = {_clause(clause) for clause in clauses}
    # "Nothing" confirms a no, and alone it is no answer.
    if not clauses or None in said or {True, False} <= said or ("none" in said and otherwise is None):
        return None
    return next((one for one in (True, False) if one in said), otherwise)


def _clause(text: str) -> bool | Literal["nothing", "none"] | None:
    """What a clause says: nothing, or nothing but a none; None where another word is in it."""
    words = set(re.findall(r"[^\W_]+", re.sub(r"n['’]t\b", " not", text.lower())))
    if words & _EVEN and not words - _SUBJECT - _NETWORK - _NONE - _EVEN - _APPS:
        return "nothing"
    if (
        not words
        or words - _SUBJECT - _NETWORK - _LINKS - _DEVICE - _GOOD - _FINE - _DOWN - _NONE - _WITHOUT - _AFTER
        or "?" in text
    ):
        return None
    good, down, none = (bool(words & meant) for meant in (_GOOD | _FINE, _DOWN, _NONE))
    named = bool(words & _NETWORK)
    if words & _AFTER and (down or none or not good):
        return None
    if words & _WITHOUT:
        return False if named and not (good or down or none) else None
    if not (down or none):
        return True if good else None if words - _EMPHASIS else "nothing"
    if none and not (named or good or down) and not words & (_LINKS | _DEVICE):
        return "none"
    # "It is not the network" says what it is not.
    lacks_none = named and not (good or down) and words & _THE and not words & _HAVE
    about_another = lacks_none or (not named and words & (_LINKS | _DEVICE | _AVAILABLE))
    return None if about_another or (down and (good or none)) or (none and words & _FINE) else False


def settings(text: str) -> tuple[dict[str, Scalar], list[str]]:
    """The settings in a text by the names of `SETTINGS`, others by their own; and the parts that could not be read.

    They stand in lines, or with commas, semicolons or bars between them, as ``name: value``, ``name = value``,
    ``name - value``, or ``name value`` where the name is known. Brackets and quotes of JSON are no part of them.
    """
    found: dict[str, Scalar] = {}
    said: dict[str, set[Scalar]] = {}
    unread: list[str] = []
    for part in (part for line in _BETWEEN.split(bare(text[:_LIMIT])) for part in _parts(line.strip(" \t\r•*-{}"))):
        read = _setting(part)
        if read is not None and _EMPTY.fullmatch(read[1]):
            continue
        own: dict[str, Scalar] = {}
        if read is not None:
            put(own, *read)
        if read is None or any(name in _ONE_WORD and " " in str(value) for name, value in own.items()):
            unread.append(part)
            continue
        name, value = next(iter(own.items()))
        said.setdefault(name, set()).add(value)
        if len(said[name]) > 1:
            # Two values of one setting: nobody knows which of them is meant.
            unread.append(part)
        else:
            put(found, *read)
    several = {name for name, values in said.items() if len(values) > 1}
    return {name: value for name, value in found.items() if name not in several}, unread


def bare(text: str) -> str:
    """The lines of a text without the marks of HTML, Markdown, a quoted mail or a list, and without its signature."""
    if _TAG.search(text):
        text = html.unescape(_TAG.sub("", _CELL.sub(" ", _BREAK.sub("\n", text))))
    lines = []
    for line in unsigned(text.splitlines()):
        line = _LEADER.sub(": ", line.replace("**", "").replace("`", ""))
        cells = [cell.strip() for cell in re.split(r"[|;,]", line.strip("|"))]
        if len(cells) == 2 and _is_known(cells[0].split()):
            line = ": ".join(cells)
        if not _NO_SETTING.fullmatch(line):
            lines.append(_STUCK.sub(r"\1\2 ", _IN_BRACKETS.sub(", ", _PARAMETER.sub(r"\1,transport=\2", line))))
    return "\n".join(_paired(lines))


def unsigned(lines: Sequence[str]) -> list[str]:
    """The lines of a mail without the marks before them, and without its signature."""
    shown = [_MARK.sub("", plain(line)) for line in lines]
    return list(itertools.takewhile(lambda line: not _END.fullmatch(line), shown))


def _paired(lines: Sequence[str]) -> Iterator[str]:
    """The lines, a setting's name alone together with the value in the next line, as a screenshot shows them.

    Above another setting a name is a heading, or has no value.
    """
    name = ""
    for line in filter(None, map(str.strip, lines)):
        if _is_known(line.split()) and line.lower() != "tls":
            name = line.rstrip(":= ")
        else:
            own = _named(line.split()) and len(line.split()) > 1
            yield f"{name}: {line}" if name and not own else line
            name = ""
    yield from [name] if name else []


def _parts(line: str) -> list[str]:
    """The settings in a line, which may stand there without a sign between them: ``server pbx1 port 5061``."""
    words = line.split()[:100]
    starts: list[int] = []
    number = 0
    while number < len(words):
        lengths = range(min(4, len(words) - number - 1), 0, -1)
        known = (length for length in lengths if _is_known(words[number : number + length]))
        length = next(known, 1 if starts and words[number][-1] in ":=" else 0)
        if starts and _is_transport(words, number) and "transport" not in _named(words[starts[-1] : number]):
            length = 0
            starts.append(number)
        elif length:
            starts.append(number)
        # The word after a name is its value, whatever it is.
        number += length + 1
    if len(starts) < 2:
        return [line] if line else []
    return [_JOINS.sub("", " ".join(words[begin:end])) for begin, end in itertools.pairwise([*starts, len(words)])]


def _is_transport(words: Sequence[str], number: int) -> bool:
    """Whether a word is a transport that stands there without its name; a version of TLS is none."""
    return words[number].lower() in ("tls", "tcp", "udp") and not _TLS_VERSION.match(" ".join(words[number + 1 :][:2]))


def _named(words: Sequence[str]) -> set[str]:
    """The settings whose names the words may begin with."""
    names = (_plain(" ".join(words[:length])) for length in range(1, 5))
    return {_CANONICAL[name] for name in names if name in _CANONICAL}


def _is_known(words: Sequence[str]) -> bool:
    return _plain(" ".join(words)) in _CANONICAL


def put(found: dict[str, Scalar], name: str, value: Scalar) -> None:
    """Add a setting by its name in `SETTINGS`, and what else its value says; an unknown one as it is.

    What a setting says itself goes before what another one implies.
    """
    if not isinstance(value, str):
        found[setting(name)] = value
        return
    (own, given), *implied = _canonical(name, value)
    found[own] = given
    for key, said in implied:
        found.setdefault(key, said)


def _setting(part: str) -> tuple[str, str] | None:
    """Name and value in one part of a text; None where there is no setting in it."""
    if re.fullmatch(r"<?sips?:[^\s@]{1,80}@\S{1,253}", part, re.IGNORECASE):
        return "account", part.strip("<>")
    part = part if "(" in part else part.rstrip(")")
    match = re.fullmatch(
        r"[\"']?([^\W\d_][\w. '’/()-]{0,60}?)[\"']?\s{0,5}(?:[:=]|->|→|\s[-–—]\s)\s{0,5}(\S.{0,399})", part
    )
    words = match[1].split() if match is not None else []
    # `registrar pbx1.example.com:5061` has its sign within the value.
    if match is not None and not (words[1:] and _named(words[:1]) and re.search(r"\d|\w\.\w", words[1])):
        return match[1], match[2].strip(' "')
    # Without a sign between them the longest name that is known counts.
    words = part.split()
    for length in range(min(4, len(words) - 1), 0, -1):
        name, value = " ".join(words[:length]), " ".join(words[length:])[:400]
        # TLS alone is the transport, unless a version follows.
        if _plain(name) in _CANONICAL and (name.lower() != "tls" or _TLS_VERSION.match(value)):
            return name, value
    return ("transport", part) if len(part) <= 20 and _TRANSPORT.search(part.lower()) else None


def _canonical(name: str, value: str) -> Iterator[tuple[str, str]]:
    """A setting by its name in `SETTINGS`, and what else its value says; an unknown one as it is."""
    field = setting(name)
    if field == "transport" and _TLS.search(value):
        field = "tls_version"
    parts = address(value) if field in ("address", "domain", "username") else Address()
    if field in ("address", "domain") and _HOST.fullmatch(parts.host):
        yield field, parts.host
        implied = (("username", account(parts.user)), ("port", parts.port), ("transport", parts.transport))
        yield from ((one, given) for one, given in implied if given)
    elif field == "username":
        yield field, account(parts.user or value)
        given = (("domain", parts.host), ("port", parts.port), ("transport", parts.transport))
        yield from (one for one in given if parts.user and one[1])
    elif field == "tls_version" and yes_or_no(value) and not _TLS_VERSION.match(value):
        yield "transport", "tls"
    elif field == "transport":
        yield field, _transport(value)
    elif field == "port" and len(numbers := set(re.findall(r"\b\d[\dOoIl]{0,4}\b", value))) == 1:
        yield field, numbers.pop().translate(_DIGITS)
        if _TRANSPORT.search(value.lower()):
            yield "transport", _transport(value)
    else:
        yield field, value


def setting(name: str) -> str:
    """A setting's name in `SETTINGS`; that of another one in lower case, with underscores."""
    return _CANONICAL.get(_plain(name), re.sub(r"[ -]", "_", name.lower()))


def is_sound(name: str, value: str) -> bool:
    """Whether a value can be that of a setting that is compared."""
    sound = {
        "address": r"[A-Za-z0-9][A-Za-z0-9-]{0,62}(?:\.[A-Za-z0-9-]{1,63}){1,10}|\[?[0-9A-Fa-f:]{3,45}\]?"
        # A name without a dot is a host's where it ends with a number, and is no program's.
        r"|(?i:(?!asterisk|apache|nginx|kamailio|freeswitch|tls|ssl)[a-z]{2,20}-?\d{1,4})",
        "port": r"\d{1,5}",
        "transport": r"udp|tcp|tls",
        "username": r"\+?\d{2,40}",
        "tls_version": r"(?i:tls|ssl).{1,10}",
        "keep_alive": r"[^\W\d]{1,15}",
    }
    return re.fullmatch(sound.get(name, sound["address"] if name == "domain" else "(?!)"), value) is not None


def _transport(value: str) -> str:
    kinds = set(_TRANSPORT.findall(value.lower())) | ({"tls"} if _SECURE.search(value.lower()) else set())
    return kinds.pop() if len(kinds) == 1 else value
