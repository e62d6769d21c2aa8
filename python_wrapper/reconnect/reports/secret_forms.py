"""Where secrets stand in a text: by structure first, by a name and its value next, by their looks last.

Everything is sought in a folded text, which reads as a person or a program would read it: escapes are decoded, and what
is not seen, accents and look-alike letters are gone. What was found is told by its place in the text as it was.
"""

from __future__ import annotations

import base64
import binascii
import functools
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from reconnect.common import HIDDEN

MASK = "•••"
Found = tuple[int, int, str]

# --- Folding

# What is read as something else: colours, `%2525`, `\u0070`, `&quot;`, a line that goes on, and anything not ASCII.
_ODD = re.compile(
    r"(?:\x1b|(?<!\\)\\+(?:x1b|u001b|e|033))\[[0-9;]{0,20}[A-Za-z]"
    r"|%(?:25){0,4}(?P<percent>[2-7][0-9A-Fa-f]|0[AaDd])|(?<!\\)\\+(?:u(?P<u>[0-9A-Fa-f]{4})|x(?P<x>[0-9A-Fa-f]{2}))"
    r"|&(?:amp;)*(?P<entity>quot|lt|gt|apos|amp|nbsp|#\d{2,4}|#[xX][0-9A-Fa-f]{2,3});"
    r"|\\\r?\n|[\x00-\x08\x0b-\x1f\x7f]|[^\x00-\x7f]+"
)
# Of a mail: `=3D` is a sign, and `=` at the end of a line is none.
_ODD_OF_MAIL = re.compile(rf"=(?P<quoted>3D)|=\r?\n|{_ODD.pattern}")
_ENTITIES = {"quot": '"', "lt": "<", "gt": ">", "apos": "'", "amp": "&", "nbsp": " "}
_ALIKE = str.maketrans(
    dict(
        zip(
            "“”„«»‘’‚аеорсухіѕԁһјӏкмтвнԛԝαορενικτυχłøđı",
            '"""""\'\'\'aeopcyxisdhjlkmtbhqwaopeviktuxlodi',
            strict=True,
        )
    )
    | {"ß": "ss"}
)


class Folded:
    """A text as it is read, and where each of its characters came from."""

    def __init__(self, text: str) -> None:
        pieces, self._folded, self._origin, length, place = list[str](), [0], [0], 0, 0
        for match in (_ODD_OF_MAIL if "=3D" in text else _ODD).finditer(text):
            for piece, start in ((text[place : match.start()], place), *_read(match)):
                if piece:
                    self._folded.append(length)
                    self._origin.append(start)
                    pieces.append(piece)
                    length += len(piece)
            place = match.end()
            self._folded.append(length)
            self._origin.append(place)
        self.text = "".join(pieces) + text[place:]

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """Where what stands from `start` to `end` came from."""
        return self._at(start), self._at(end - 1, behind=True)

    def _at(self, place: int, behind: bool = False) -> int:
        number = bisect_right(self._folded, place) - 1
        at = self._origin[number] + place - self._folded[number]
        if not behind:
            return at
        # What was read from several characters ends where the next piece begins.
        last = number + 1 < len(self._folded) and place + 1 == self._folded[number + 1]
        return self._origin[number + 1] if last else at + 1


def _read(match: re.Match[str]) -> Iterator[tuple[str, int]]:
    """What an odd piece of text is read as, and where it stands."""
    word, start = match[0], match.start()
    if code := match["percent"] or match["u"] or match["x"] or match.groupdict().get("quoted"):
        yield _seen(chr(int(code, 16))), start
    elif entity := match["entity"]:
        number = int(entity[2:], 16) if entity[1] in "xX" and entity[0] == "#" else entity[0] == "#" and int(entity[1:])
        yield _seen(chr(number) if number else _ENTITIES[entity]), start
    elif word[0] > "\x7f":
        for place, character in enumerate(word, start):
            yield _seen(character), place


@functools.lru_cache(4096)
def _seen(character: str) -> str:
    """A character as it is read: plain letters, and nothing for what is not seen."""
    if character in "\t\r\n" or " " <= character < "\x7f":
        return character
    if HIDDEN.match(character):
        return ""
    # Marks go before and after: the letter beside a mark is what is read.
    plain = unicodedata.normalize("NFKD", character)
    return "".join(one for one in plain if not unicodedata.combining(one)).lower().translate(_ALIKE) or ""


# --- Names

# Whole words of a field's name, so that `monkey` and `keep_alive` stay. `md5` names stored digests, `response` and
# `cnonce` what a client answers a challenge with. Incidents are written in the language of their users, here without
# accents.
_WORDS = (
    r"pwd?s?|psw|pswd|pin(?:[ _-]?(?:code|number))?|puk|psk|pre[_-]?shared[_-]?key|md5secret|md5_cred|md5"
    r"|ha1|(?<!authenticator_)digest|t?otp"
    r"|jwt|mfa[_-]?code|token(?:s(?!\W{1,3}\d{1,3}\b))?|x-auth|(?:api|private|secret|subscription|access"
    r"|auth|account|master|session|signing|shared"
    r"|encryption|obfuscation|wifi|security)[_.-]?keys?|licen[cs]e(?:[_-]?(?:code|key))?|activation[_ -]?(?:code|key)"
    r"|(?:proxy-)?authorization|(?:set-)?cookie2?|credentials?|creds|cnonce|(?:db|user|sip|auth|my|admin"
    r"|root|vm|ldap|smtp|key)?pass"
    r"|pass(?:code|key)|parola(?:[ _-](?:d'ordine|chiave|segreta))?|segreto|credenziali|chiave(?:[ _-]segreta)?"
    r"|codice[ _-](?:pin|otp|segreto|di[ _-](?:attivazione|accesso|sicurezza))"
    r"|kennworte?|geheimnis|geheimzahl|losung|zugangs(?:code|daten)|aktivierungs(?:code|schlussel)|freischaltcode"
    r"|mots?[ _-]?de[ _-]?passe|mdp|identifiants|code[ _-](?:secret|pin|otp|d'(?:activation|acces))"
    r"|cle[ _-](?:secrete|privee)|contrase(?:n|ny)as?|credenciales|clave(?:[ _-](?:secreta|de[ _-]acceso))?"
    r"|codigo[ _-](?:pin|secreto|de[ _-](?:activacion|acceso))|senha|wachtwoord|haslo"
)
# These may be the end of a longer word, too: `userpassword`.
_ENDS = (
    r"passw(?:or)?d(?:s(?!\W{1,3}\d{1,3}\b))?|pass[ -](?:word|phrase|code)|passworte?|passphrases?|secret(?:s"
    r"(?!\W{1,3}\d{1,3}\b))?"
)
# A name begins where a word does, also within one: `sipPwd`.
_SECRET = rf"(?:(?:(?<![A-Za-z0-9])|(?-i:(?<=[a-z0-9])(?=[A-Z])))(?:{_WORDS})|{_ENDS})"
# What a name says about a secret without holding it.
_ABOUT = (
    r"(?:length|size|min|max|policy|file|path|type|expir\w*|age|count|attempts?|retries|ttl|lifetime|changed|algorithm"
    r"|format|encoding|name|url|host|required|status|state|matches|set)"
)
_NAME = (
    rf"{_SECRET}(?![_\-.](?i:{_ABOUT})\b| (?i:{_ABOUT})\b(?!=)|[_\-.][A-Za-z0-9]+[_\-.](?i:{_ABOUT})\b)"
    r"(?:[_\-.][A-Za-z0-9]{1,30}){0,3}(?![A-Za-z0-9])"
)
_SECRET_NAME = re.compile(rf"{_SECRET}(?![_\-. ]{_ABOUT}$)(?:$|[_\-. ])", re.IGNORECASE)
# Asterisk's security event, and the names of its modules: neither holds anything.
_NOT_SECRET = re.compile(r"InvalidPassword|.*\.so|(?:res|app|chan|func|codec|format|pbx|cdr|cel|bridge)_\w+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def is_secret_name(name: str) -> bool:
    """Whether a field of this name holds something secret: `md5_cred`, `sipPassword`, `obfuscation.key`."""
    name = Folded(name).text
    return not _NOT_SECRET.fullmatch(name) and bool(_SECRET_NAME.search(_CAMEL.sub("_", name)))


# --- Values

# What a value may be and give nothing away: a file that holds the secret.
FILE = r"(?:file:)?/(?:etc|var|usr|opt|home|root|srv|run|mnt)/[\w./-]+"
# How a value may be quoted: plainly, over lines, escaped in a JSON text within another.
_QUOTED = (
    r"(?:\"\"\"[^\"]*\"{0,3}|'''[^']*'{0,3}"
    r"|(?:\b[bru]{1,2}|\$)?(?:\"(?:\\[^\n]|\"\"|[^\"\\\n])*(?:\n[^\"\n]{0,200}(?=\"(?:\s|[,;)}\]]|$)))?\"?"
    r"|'(?:\\[^\n]|''|[^'\\\n])*(?:\n[^'\n]{0,200}(?='(?:\s|[,;)}\]]|$)))?'?)|`[^`\n]*`?"
    r"|(?P<quote>\\+[\"'])(?:[^\\\n]|(?!(?<!\\)(?P=quote))\\)*(?P=quote)?)"
)
# Without quotes a value ends where another name begins, or with a sign that nothing follows.
_BARE = (
    r"(?:<[^<>\s]{1,200}>|(?:\\ |[^\s\"'<>,;&}\])\\]"
    r"|[,;&}\])\"'\\](?=[^\s,;&}\])\"'\\<>])(?![\w.-]{1,40}[\"']?\s{0,3}[=:]))+)"
)
# What stands where a value could stand and says nothing: whether one is set, and what was masked before.
_NOTHING = (
    rf"(?!\s|{MASK}|\(?(?:hidden|redacted|masked|true|false|null|none|nil|yes|no|unchanged|set|unset"
    rf"|undefined|enabled|disabled"
    rf"|loaded|missing|wrong|not|ok|differs|different|mismatch|same|changed|absent|present|empty|"
    rf"(?:in)?correct|(?:in)?valid|expired|required|rejected|accepted|{FILE})"
    rf"\)?(?![^\s\"',;&)}}\]<>])"
    r"|[\[{]\s{0,9}[\]}]|(?:\"\"|'')(?![\"']))"
)
# The rest of a collection: `["a", "b"]`, `{"old": "a"}`. It may say whether something is set.
_MANY = r"(?:\[[^\[\]\n]{1,2000}\]?|\{(?![^{}\n]{0,200}\b(?:true|false)\b)[^{}\n]{1,2000}\}?)"
_VALUE = rf"{_NOTHING}(?P<secret>{_MANY}|{_QUOTED}|{_BARE})"
_SEP = r"(?:=>|->|→|==?|:=|:|\.{3}|–|—)"
NAME_BEFORE = re.compile(rf"{_NAME}\\*[\"'`]?\s{{0,40}}{_SEP}\s{{0,40}}\Z", re.IGNORECASE)
# Something that was made up or generated: quotes, or letters and digits.
_MADE_UP = (
    r"(?:{q}|(?!{name}|(?i:https?|ftp)://|(?i:(?:var|n)?char|text|int|varbinary|blob)\w*\(|{file}"
    r"|\d{{4}}-\d\d)(?=[^\s,;]{{0,80}}\d)"
    r"(?=[^\s,;]{{0,80}}[A-Za-z])[^\s,;<>\"']{{4,}})"
)


def _made_up(quoted: str = r"\"[^\"\n]{1,200}\"|'[^'\n]{1,200}'|`[^`\n]{1,200}`") -> str:
    return _MADE_UP.format(q=quoted, file=FILE, name=_NAME)


# Names that are spoken of, and whose value may be a plain word.
_SPOKEN = r"psw|pwd|pw|passcode|parola(?: d'ordine)?|kennwort|mot de passe|mdp|contrasena|clave"
_BE = (
    r"(?:is|was|are|will\s+be|e'?|era|sono|sara|ist|war|lautet(?:e)?|heisst|sind|est|c'est|etait|sont|es|son|sera"
    r"|(?:is|ist|es|est|e'?)\s+(?:now|jetzt|ora|adesso|ahora|maintenant|still))"
)
# What is said of a secret instead of the secret.
_JUDGED = (
    r"(?:not?|non|nicht|pas|ne|never|n't|mai|nie|jamais|nunca|kein\w*|wrong|right|correct|incorrect|ok"
    r"|okay|fine|good|bad|same"
    r"|in?valid\w*|missing|unknown|known|empty|too|very|so|still|now|also|only|just|already|probably"
    r"|perhaps|maybe|always|often"
    r"|the|an?|of|in|on|at|by|for|from|to|with|without|out|up|about|as|what|where|that|this|these|those|it"
    r"|my|your|his|her|our"
    r"|their|there|then|than|if|when|and|or|but|because|between|different|weak|strong|short|long|old|new"
    r"|secure|safe|stale|due"
    r"|sbagliat\w*|errat\w*|corrett\w*|giust\w*|scadut\w*|ancora|sempre|troppo|molto|gia|ora|adesso"
    r"|divers\w*|ugual\w*|quell\w*"
    r"|quest\w*|il|lo|la|le|gli|un|una|uno|di|da|del|della|dei|nel|nella|per|con|senza|su|tra|che|mia|mio"
    r"|stat\w*|vecchi\w*|nuov\w*"
    r"|valid\w*|vuot\w*|mancant\w*|debole|lung\w*|cort\w*|rott\w*|falsch\w*|richtig\w*|abgelaufen"
    r"|korrekt\w*|ungultig\w*|gultig\w*"
    r"|leer|noch|schon|zu|sehr|immer|der|die|das|ein|eine|im|bei|von|vom|mit|ohne|fur|auf|aus|wie|mein\w*"
    r"|dein\w*|sein\w*|ihr\w*"
    r"|alt|neu|anders|gleich|unbekannt|bekannt|weg|faux|fausse|mauvais\w*|bon|bonne|correcte?|incorrecte?"
    r"|expire\w*|perime\w*"
    r"|encore|toujours|trop|tres|deja|le|les|l'\w*|une|du|des|de|dans|en|sur|pour|avec|sans|que|mon|ma|ton"
    r"|ta|son|sa|vide|different\w*"
    r"|incorrect\w*|correct\w*|caducad\w*|erron\w*|mal|buen\w*|muy|demasiado|siempre|aun|todavia|ya|el|los"
    r"|las|al|por|sin|mi|tu|su"
    r"|vaci\w*|distint\w*|requir\w*|needed|used|made|sent|kept|held|set|read|shown|given|taken|found"
    r"|written|hidden|equal|identical|public|private|optional|mandatory|case|visible|plain|clear|broken"
    r"|locked|lost|gone|\w{2,}(?:ed|ing|able|ible)|\w{3,}(?:[aiu]t[aoei]|[ai]d[ao])"
    r"|ge\w{3,}t|\w{4,}en|\w{3,}ee?s?(?=\s+(?:par|depuis|hier)))"
)
_CHANGED = (
    r"(?:chang|set|reset|updat|replac|cambi|impost|modific|aggiorn|aender|geander|ander|setz|gesetz|defin|mis"
    r"|put)\w{0,10}"
)
_INTO = r"(?:to|from|in|into|as|auf|zu|von|a|en|par|por|with|de|da|con)"
# Whose it is: `for 1002`, `di mario`.
# What stands between the name and its value: whose it is, which one, who uses it.
_WHOSE = (
    r"(?:\s(?:(?:for|of|di|del|della|fur|von|vom|de|du|della|per|pour|para|nuova|neue|nueva|new|word"
    r"|number|che|that)\b|dell'|d')"
    r"(?:\s?[\w.@'-]{1,64}){0,3}?|\s\([^()\n]{1,20}\)|\s(?:that\s)?(?:i|we|he|she|they|ich|wir|er|io|lui"
    r"|lei|je|il|elle|yo)"
    r"\s\w{1,20}(?:\s\w{1,12})?)?"
)
# A second one: `x and y`.
_MORE = r"(?:\s(?:and|or|e|o|und|oder|et|ou|y)\s(?P<other>(?=\S{0,80}\d)[^\s,;]{4,}))?"


def _rule(kind: str, pattern: str, flags: int = re.IGNORECASE) -> tuple[str, str, int]:
    return kind, pattern, flags


# The group `secret`, or `other`, is what is masked; without one it is everything.
_RULES = (
    _rule(
        "private keys",
        r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\Z)",
        re.DOTALL,
    ),
    _rule("private keys", r"Private-Lines:\s{1,3}\d+\s+(?P<secret>(?:[A-Za-z0-9+/=]{8,}\s+)+)"),
    _rule("private keys", r"\$ANSIBLE_VAULT;[^\n]{0,80}(?P<secret>(?:\s{1,40}[0-9a-f]{8,})+)"),
    _rule(
        "cookies", rf"\b(?:set-)?cookie2?\\*[\"']?\s{{0,3}}[:=]\s{{0,3}}\\*[\"']?(?!\s|{MASK})(?P<secret>[^\"'\\\r\n]+)"
    ),
    # A Digest header's parameters, `username` and `realm` excepted: they say who and where.
    _rule(
        "digests",
        r"\b(?:response|rspauth|cnonce|nonce|opaque|expectedresponse|receivedhash)=\\*\"?"
        r"(?P<secret>[0-9A-Za-z+/=._:-]+)",
    ),
    # Any other scheme, to the end of the header: `Basic …`, `NTLM …`, `Negotiate …`, `Token …`.
    _rule(
        "credentials",
        r"\b(?:proxy-)?authori[sz]ation\\*[\"']?\s{0,3}[:=]\s{0,3}\\*[\"']?"
        rf"(?!\s|{MASK}|digest\b|(?:missing|none|absent|empty|invalid|required)\b)"
        rf"(?:[a-z][a-z0-9-]{{0,30}} +)?(?P<secret>[^\"'\\\r\n]+)",
    ),
    _rule(
        "credentials",
        r"\b(?:(?i:basic|ntlm|negotiate)\s{1,3}(?=\S{0,80}(?:[0-9=]|[a-z][A-Z]))(?P<secret>[A-Za-z0-9+/=]{8,})"
        r"|(?i:bearer|token|api-?key)\s{1,3}(?=\S{0,80}[0-9=])(?P<other>[A-Za-z0-9+/=._~-]{6,}))",
        0,
    ),
    _rule("credentials", r"\b334 UGFzc3dvcmQ6\s{1,9}(?:\S{1,20}\s)??(?P<secret>[A-Za-z0-9+/=]{4,})", 0),
    # Up to the last `@` of the address; a port is no password.
    _rule(
        "credentials",
        r"(?<=://)[^\s/@:?#\"'<>\[]{0,100}:(?!\d{1,5}(?:[/?#]|$))(?P<secret>[^\s/?#\"'<>]{1,200}(?=@)"
        r"|[^\s\"'<>]{1,200}?(?=@))",
    ),
    _rule("credentials", r"\bsips?:[\w.+-]{1,80}:(?P<secret>[^\s@<>\"']{1,100}?)(?=@)"),
    _rule("credentials", r"\bregister\s{0,9}=>?\s{0,9}(?:\w{1,9}://)?[^\s:@]{1,80}:(?P<secret>[^\s@]{1,200})(?=@)"),
    # `IDENTIFIED BY 'x'`, `WITH PASSWORD 'x'`, `PASSWORD('x')`, `password LIKE 'x'`.
    _rule(
        "passwords",
        r"\b(?:identified\s{1,3}(?:with\s{1,3}\S{1,80}\s{1,3})?(?:by|as)(?:\s{1,3}password)?\s{0,3}"
        r"|password(?:\s{1,3}for\s{1,3}\S{1,80}\s{0,3}=|\s{0,3}\(|\s)\s{0,3}(?=[\"']))"
        rf"(?P<secret>{_QUOTED}|[^\s;,]+)",
    ),
    _rule("passwords", rf"{_NAME}[`\"]?\s{{1,3}}(?:r?like|regexp|in\s{{0,3}}\()\s{{0,3}}(?P<secret>{_QUOTED})"),
    _rule(
        "passwords",
        rf"(?<![\w-])--?(?:[a-z0-9]{{1,30}}-){{0,3}}{_SECRET}(?!-{_ABOUT})(?:-[a-z]{{1,20}})?"
        rf"(?:[\"']?[\s,]{{1,3}}|=)(?![-\s])"
        rf"(?P<secret>{_QUOTED}|\S+)",
    ),
    # What a program takes as a password under a short name, in a shell or as a list of words.
    _rule(
        "passwords",
        r"(?<![\w/-])(?:/\S{0,80}/)?(?:sshpass\W{1,9}?-p[\s\"',]{0,5}|(?:mysql|mariadb)[a-z-]{0,20}\W"
        r"(?:[^\n|;]{0,200}?\W)?-p"
        r"|(?:curl|wget|http)\W(?:[^\n|;]{0,200}?\W)?(?:-u|--(?:proxy-)?user|-a)[\s=\"',]{0,5}"
        r"(?!https?:)[^\s:\"']{1,80}:"
        r"|ldap[a-z]{2,12}\W(?:[^\n|;]{0,200}?\W)?-w[\s\"',]{0,5}|redis-cli\W(?:[^\n|;]{0,200}?\W)?-a[\s\"',]{1,5}"
        r"|sipsak\W(?:[^\n|;]{0,200}?\W)?-a[\s\"',]{1,5}|sipp\W(?:[^\n|;]{0,200}?\W)?-ap[\s\"',]{1,5}"
        r"|(?:smbclient|rpcclient|net|winexe|wmic)\W(?:[^\n|;]{0,200}?\W)?-U[\s\"',]{0,5}[^\s%\"']{1,80}%"
        r"|(?:docker|podman|skopeo|buildah|helm|az|cf|oc)\W(?:[^\n|;]{0,200}?\W)?login\W(?:[^\n"
        r"|;]{0,200}?\W)?-p[\s\"',]{1,5}"
        r"|snmp[a-z]{2,12}\W(?:[^\n|;]{0,200}?\W)?-[caAxX][\s\"',]{1,5}(?!(?:MD5|SHA\S*|AES\S*|DES)\b)|"
        r"(?:plink|pscp)\W(?:[^\n|;]{0,200}?\W)?-pw[\s\"',]{1,5}"
        r"|mosquitto_\w{3}\W(?:[^\n|;]{0,200}?\W)?-P[\s\"',]{1,5}|net\s{1,3}user\s{1,3}\S{1,80}\s{1,3}(?!/)"
        r"|(?:user(?:add|mod)|7z\w?|rar|unrar|mongo\w*|rdesktop)\s(?:[^\n|;]{0,200}?\s)?-p\s{0,3}(?=\S)|"
        r"(?:un)?zip\s(?:[^\n|;]{0,200}?\s)?-P\s{0,3}"
        r"|ssh-keygen\s(?:[^\n|;]{0,200}?\s)?-[NP]\s{0,3}|openssl\s(?:[^\n|;]{0,200}?\s)?-[kK]\s{1,3}"
        r"|(?:ipmitool|sqlcmd|bcp)\s(?:[^\n|;]{0,200}?\s)?-P\s{0,3}|(?:mysql|mariadb)\w{0,20}\s(?:[^\n"
        r"|;]{0,200}?\s)?-p\s{1,3}(?=[\"'])"
        r"|database\s{1,3}put\s{1,3}(?:pw|pass\w*|secrets?)\s{1,3}\S{1,80}\s{1,3}|(?:add_user"
        r"|change_password)[ \t]{1,3}\S{1,80}[ \t]{1,3}"
        r"|htpasswd\s(?:[^\n|;]{0,200}?\s)?-\w{0,5}b\w{0,5}\s{1,3}(?:-\w{1,9}\s{1,3})?\S{1,200}\s{1,3}\S{1,80}\s{1,3}"
        r"|\W-?-?pass(?:in|out)?\W{1,3}(?:pass|env):|echo\s{1,3}[\"']?[\w.-]{1,80}:(?=[^\n]{1,200}chpasswd))"
        rf"(?!\s)(?P<secret>{_QUOTED}|[^\s\"']+)",
        0,
    ),
    # … in quotes together with the name of the user: `--user 'bob:a b'`.
    _rule(
        "passwords",
        r"\W(?:-u|--(?:proxy-)?user)[\s=]{0,3}(?P<quote>[\"'])(?!https?:)[^\s:\"']{1,80}:"
        r"(?P<secret>[^\"'\n]+)(?=(?P=quote))",
    ),
    # A call with a name and its value, and one that makes a digest of it.
    _rule(
        "passwords",
        rf"\(\s{{0,3}}[\"'][\w.-]{{0,40}}?{_NAME}[\"']\s{{0,3}},\s{{0,3}}(?=[\"'])(?P<secret>{_QUOTED})\s{{0,3}}\)",
    ),
    _rule(
        "passwords",
        r"\b(?:crypt|encrypt|md5|sha[12]?(?:_?\d{3})?|old_password|aes_encrypt|pgp_sym_encrypt"
        r"|hmac)\s?\(\s{0,3}(?=[\"'])"
        rf"(?P<secret>{_QUOTED})",
    ),
    _rule("media keys", r"(?<=\binline:)[A-Za-z0-9+/=]{8,}"),
    _rule("media keys", r"(?<![^\s\"'])k=(?:clear|base64|uri):(?P<secret>\S+)"),
    _rule("media keys", r"\bkey-mgmt:\w{1,20}\s{1,3}(?P<secret>\S+)"),
    # `<passwd>x</passwd>`, `<entry name="passwd">x<`, `<key>password</key><string>x<`, `<td>PIN</td><td>x<`.
    _rule(
        "passwords",
        rf"<[^<>\n]{{0,80}}?{_NAME}(?!\s{{0,3}}=)[^<>\n]{{0,80}}(?<!/)>\s{{0,80}}(?:<!\[CDATA\[)?(?!\s|<"
        rf"|{MASK})(?P<secret>[^<]+?)(?=\]\]>|<|\s{{0,80}}$)",
    ),
    _rule(
        "passwords",
        rf">\s{{0,20}}[\w .-]{{0,40}}{_NAME}:?\s{{0,20}}</[\w:]{{1,30}}>\s{{0,80}}"
        rf"(?:<[^<>/]{{1,80}}>\s{{0,20}}){{1,2}}(?!{MASK})(?P<secret>[^<]+)",
    ),
    # A name and its value side by side: attributes, YAML, JSON, in either order.
    _rule(
        "passwords",
        rf"\b(?:name|key|path|field|setting|parameter|param|id|option"
        rf"|variable)\\*[\"']?\s{{0,3}}[:=]\s{{0,3}}\\*[\"']?[\w.-]{{0,40}}{_NAME}"
        r"\\*[\"']?(?=[\s,;])[^{}<>]{0,120}?\b(?:value|val|content|default)\\*[\"']?\s{0,3}[:=]\s{0,3}"
        rf"{_VALUE}",
    ),
    _rule(
        "passwords",
        rf"\b(?:value|val|content|default)\\*[\"']?\s{{0,3}}[:=]\s{{0,3}}{_VALUE}[\s,;]{{1,9}}[^{{}}<>\n]{{0,80}}?"
        rf"\b(?:name|key|field|setting|parameter|param|id|option"
        rf"|variable)\\*[\"']?\s{{0,3}}[:=]\s{{0,3}}\\*[\"']?[\w.-]{{0,40}}{_NAME}(?=\\*[\"'])",
    ),
    # A block of YAML: what is indented more than its name.
    _rule(
        "passwords",
        rf"^(?P<indent>[ \t]{{0,40}})(?:- )?[\w.\"'-]{{0,60}}?{_NAME}[\"']?:[ \t]{{0,9}}"
        rf"(?:!{{1,2}}[\w/-]{{1,20}}[ \t]{{1,9}})?[|>][-+\d]{{0,3}}[ \t]{{0,9}}\n"
        r"(?P<secret>(?:(?P=indent)[ \t]+[^\n]+\n?)+)",
        re.IGNORECASE | re.MULTILINE,
    ),
    # In a file of settings, a value goes to the end of its line.
    _rule(
        "passwords",
        rf"^(?!(?-i:[A-Z_0-9]+=))[ \t]{{0,9}}[\w.-]{{0,60}}?{_NAME}[ \t]{{0,40}}=>?[ \t]{{0,40}}{_NOTHING}"
        rf"(?P<secret>[^\s\"'`=;#][^\s;#]*(?:[ \t]{{1,9}}(?![\w.-]{{1,40}}[ \t]?[=:]|-)[^\s;#"
        rf"(]+){{1,9}})[ \t]*(?=$|[;#])",
        re.IGNORECASE | re.MULTILINE,
    ),
    # `password = x`, `"secret": "x"`, `passwd=x`, and the same within another text.
    _rule(
        "passwords",
        rf"{_NAME}\\*[\"'`]?(?:\[\w{{0,20}}\]|\(\w{{1,20}}\))?\s{{0,40}}{_SEP}\s{{0,40}}"
        rf"(?:!{{1,2}}[\w/-]{{1,20}} )?{_VALUE}",
    ),
    # Voicemail: `601 => 4321,Name,mail`. The file of PostgreSQL's passwords. Secrets without a sign between.
    _rule("passwords", r"^[ \t]*\d{2,12}\s{0,9}=>\s{0,9}(?P<secret>-?\w{1,40})(?=,)", re.MULTILINE),
    _rule(
        "passwords",
        r"^(?=[\w-]{0,60}[*.a-z])[\w.*-]{1,100}:(?:\d{2,5}|\*):[^\s:]{1,64}:[^\s:]{1,64}:(?P<secret>\S+)$",
        re.MULTILINE,
    ),
    _rule(
        "passwords",
        r"\b(?:(?:login|account)\s{1,9}\S{1,80}\s{1,9}password\s{1,9}|PSK\s{1,3}(?=\")|wpa-psk\s{1,9}|"
        r"(?:radius|tacacs)\S{0,20}\s{1,3}secret\s{1,3}"
        rf"|(?:snmp-server\s{{1,3}}|r[ow])community6?\s{{1,3}}|shared_?secret\s{{1,3}})(?P<secret>{_QUOTED}|\S+)",
        0,
    ),
    # "The password is x", in the languages of our users. A judgement is none.
    _rule(
        "passwords",
        rf"{_NAME}[\"')]?{_WHOSE}\s{{1,3}}(?:{_BE}\s{{0,3}}:\s{{0,3}}|lautete?\s{{1,3}}|{_BE}\s{{1,3}}"
        rf"(?!{_JUDGED}(?![\w-])))"
        rf"(?![\s:]|{MASK})(?:(?<=:)|(?<=:\s)|(?=\S{{0,80}}[0-9\"'`])|(?<=lautet\s)|(?<=lautete\s))"
        rf"(?P<secret>{_QUOTED}|[^\s,;]+){_MORE}",
    ),
    _rule(
        "passwords",
        rf"(?:{_ENDS}|\b(?:{_SPOKEN}))[\"')]?{_WHOSE}\s{{1,3}}{_BE}\s{{1,3}}(?!{_JUDGED}(?![\w-]))"
        rf"(?P<secret>[^\s,;:\"'`•]+)",
    ),
    _rule(
        "passwords", rf"{_NAME}{_WHOSE}\s{{0,3}}:\s{{1,3}}(?=[^\s]{{0,80}}\d)(?!{FILE}|{MASK})(?P<secret>[^\s,;]{{4,}})"
    ),
    # "Password x", "PIN 1234", "changed the password from x to y".
    _rule("passwords", rf"(?<!unexpected ){_NAME}[\"')]?(?: -)?[ \t\r\n]{{1,3}}\(?(?P<secret>{_made_up()})"),
    _rule(
        "passwords",
        r"\b(?:pin|puk|t?otp|pass-?(?:code|word)|passwort|kennwort|geheimzahl|mdp|codice|(?:pin|otp) ?code)"
        r"(?:[ \t]{1,3}(?:pin|otp|number|nummer))?[ \t]{1,3}(?P<secret>\d{4,12})(?![\w.:/])",
    ),
    _rule(
        "passwords",
        rf"(?:\b{_CHANGED}\s[^\n.;]{{0,40}}?{_NAME}[^\n.;]{{0,30}}?"
        rf"|{_NAME}[^\n.;]{{0,30}}?\s{_CHANGED})\s{_INTO}\s{{1,3}}(?P<secret>{_made_up()})"
        rf"(?:\s(?:to|in|auf|a|en|zu)\s(?P<other>{_made_up()}))?",
    ),
    # A user and their password: "login bob/x", "le credenziali sono bob / x".
    _rule(
        "credentials",
        r"\b(?:log(?:s|ged|ging)?[ -]?in|sign[ -]?in|entro|accedo|anmelde|connecte|creds|credentials?"
        r"|credenziali|zugangsdaten|anmeldedaten|identifiants|credenciales"
        r"|account|utente)"
        rf"(?:\s{_BE}|\s(?:with|as|con|come|mit|als|avec|comme|como))?\s{{0,3}}:?\s{{1,3}}"
        rf"[\w.@+-]{{1,64}}\s{{0,3}}[:/]\s{{0,3}}"
        rf"(?P<secret>{_made_up()})",
    ),
    _rule(
        "credentials",
        r"\bu(?:ser)?(?:/p(?:ass(?:word)?|w)?)?\s?[:=]\s?[\w.@+-]{1,64}[\s,;]{0,3}(?:/|\bp(?:ass"
        r"|w)?\s?[:=])\s?(?P<secret>[^\s,;]{4,})",
    ),
    _rule(
        "passwords",
        r"\bcod\w{1,4}\s(?:for|of|di|per|fur|de|pour)\s(?:\w{2,3}\s)?(?:a[ct]tiva\w*|access\w*|acces\w*|aktivier\w*)"
        rf"\s{{1,3}}(?:{_BE}|:)\s{{1,3}}(?P<secret>{_made_up()})",
    ),
    # The parameters that sign an address.
    _rule(
        "tokens",
        r"[?&;](?:x-amz-|x-goog-)?(?:sig|signature|hmac|sid|jsessionid|phpsessid|security-token)="
        r"(?P<secret>[^\s&#\"'<>]+)",
    ),
    # Stored digests of passwords.
    _rule(
        "password digests",
        r"(?<![\w$])(?P<secret>\$(?:[1-9]|2[abxy]|gy|y|7|apr1|argon2\w{1,2}|pbkdf2[\w-]*|scrypt|sha1"
        r"|bcrypt[\w-]*)\$[\w./+=,$-]{8,})"
        r"|\{S?(?:SHA|MD5|CRYPT|SSHA|SHA256|SHA512|SSHA512)\}(?P<other>[\w+/=$.-]{8,})",
    ),
    _rule("password digests", r"\bSCRAM-SHA-\d+\$\d+:(?P<secret>[\w+/=$:]+)"),
    _rule("password digests", r"(?<![\w:])[\w.+-]{1,64}:[\w.-]{1,64}:(?P<secret>[0-9a-f]{32})(?![\w:])"),
    # Forms that only secrets have: JSON Web Tokens, keys of well-known services.
    _rule(
        "tokens",
        r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_\w{20,}|\bglpat-[\w-]{16,}"
        r"|\bgithub_pat_\w{20,}|\bx(?:ox[abeprs]|app)-[\w-]{10,}|\b[sr]k_(?:live|test)_\w{10,}"
        r"|\bwhsec_\w{16,}|\bAIza[\w-]{30,}"
        r"|\b(?:npm|hf|dop_v1|dckr_pat|pypi|shpat|glrt|lin_api|sq0\w{3})[-_][\w-]{24,}"
        r"|\bSG\.[\w-]{16,}\.[\w-]{16,}|\bsk-[\w-]{20,}"
        r"|\bya29\.[\w-]{20,}|\bbot(?=\d{6})|(?<!\w)\d{8,10}:AA[\w-]{30,}|(?<=bot)\d{6,10}:[\w-]{30,}"
        r"|\bAGE-SECRET-KEY-\w{20,}",
        0,
    ),
    _rule(
        "tokens",
        r"(?<![\w/+=:-])(?=[A-Za-z0-9/+]{0,39}[/+])(?=[^a-z]{0,39}[a-z])(?=[^A-Z]{0,39}[A-Z])"
        r"(?=\D{0,39}\d)(?!/)[A-Za-z0-9/+]{40}(?![\w/+=.-])",
        0,
    ),
)


@functools.cache
def _compiled() -> list[tuple[str, re.Pattern[str], bool]]:
    """The rules, and whether each needs a name. To compile them takes longer than to load anything else here, and most
    commands redact nothing."""
    return [
        (kind, re.compile(pattern, flags), _SECRET in pattern.replace(_made_up(), ""))
        for kind, pattern, flags in _RULES
    ]


# A text without one of these holds nothing that a rule would find.
_HINT = re.compile(
    rf"{_SECRET}|[@=$?]|:|/|=|inline:|PRIVATE KEY|basic|ntlm|negotiate|bearer|identified|community|-[a-z]"
    rf"|log|sign|\(|cod\w{{1,4}}\s"
    r"|[A-Za-z0-9+/_-]{12,}",
    re.IGNORECASE,
)


def find(text: str, known: Sequence[str] = ()) -> list[Found]:
    """Where secrets stand in a text, and of what kind they are; `known` are folded texts that may appear nowhere."""
    if not text.isascii() or "\\" in text or "%" in text or _HINT.search(text):
        folded = Folded(text)
        return [(*folded.origin(start, end), kind) for start, end, kind in _found(folded.text, known) if end > start]
    return []


def _found(text: str, known: Sequence[str]) -> Iterator[Found]:
    for secret in known:
        for match in re.finditer(re.escape(secret), text):
            yield (*match.span(), "known secrets")
    named = _PLAIN_NAME.search(text) is not None
    for kind, pattern, needs_name in _compiled():
        for match in pattern.finditer(text) if named or not needs_name else ():
            groups = [name for name in ("secret", "other") if match.groupdict().get(name) is not None]
            for span in map(match.span, groups) if groups else (match.span(),):
                yield (*span, kind)
    yield from _tail_of_key(text)
    if named:
        yield from _tables(text)
    yield from _statements(text)
    yield from _encoded(text, known)


def _tail_of_key(text: str) -> Iterator[Found]:
    """A private key whose first lines are not there."""
    for end in re.finditer(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----", text):
        place = end.start()
        while line := re.search(r"(?:\s|\\n)*([A-Za-z0-9+/=]{8,80})(?:\s|\\n)*\Z", text[max(place - 100, 0) : place]):
            place = max(place - 100, 0) + line.start(1)
        yield place, end.start(), "private keys"


# --- Rows, and the columns that say which of their cells is a secret

_BORDER = re.compile(r"[\s|+:=-]+")
_COLUMN = re.compile(r"\s*[\"'`]?[A-Za-z][\w .-]{0,40}[\"'`]?\s*")
_CELLS = {
    **{sign: re.compile(rf"(?:\"(?:\"\"|[^\"\n])*\"|[^{sign}\n])*") for sign in ("|", "\t", ",", ";")},
    "  ": re.compile(r"\S+(?: \S+)*"),
}
# What a cell of a row is: a text in quotes, a call, a word.
_VALUE_OF_ROW = re.compile(r"(?:'(?:''|\\.|[^'\\])*'|\"(?:\"\"|\\.|[^\"\\])*\"|\((?:'[^']*'|[^()'])*\)|[^,()'\"])+")
_INSERT = re.compile(
    r"\b(?:insert|replace)\s(?:[\w\s]{0,40}\s)?into\s{1,9}[\w.`\"]{1,120}\s{0,9}(?:\((?P<columns>[^"
    r"()]{1,4000})\)\s{0,9})?"
    r"values?\s{0,9}(?=\()",
    re.IGNORECASE,
)
_COPY = re.compile(
    r"\bcopy\s{1,9}\S{1,120}\s{0,9}\((?P<columns>[^()\n]{1,4000})\)\s{1,9}from\s[^\n]{1,80}", re.IGNORECASE
)


def _tables(text: str) -> Iterator[Found]:
    """The cells below a column of a secret's name: CSV, the answer of a database's client, `sip show users`."""
    place, sign, width, below = 0, "", 0, list[tuple[int, int]]()
    for line in text.splitlines(keepends=True):
        row = line.rstrip("\r\n")
        if below and not _BORDER.fullmatch(row):
            cells = _cells(row, sign)
            if sign == "  " and row.strip():
                # Columns by their place; a cell may be empty.
                spans = [span for span in cells if any(span[0] < end and span[1] > start for start, end in below)]
            else:
                spans = [cells[number] for number, _ in below] if len(cells) == width else []
                below = below if spans else []
            for start, end in spans:
                yield place + start, place + end, "passwords"
        elif not row.strip():
            below = []
        if not below:
            sign, width, below = _header(row)
        place += len(line)


def _header(row: str) -> tuple[str, int, list[tuple[int, int]]]:
    """What divides the cells of a table that begins with this row, how many they are, and which are secret."""
    if copy := _COPY.search(row):
        columns = copy["columns"].split(",")
        return "\t", len(columns), [(number, 0) for number, name in enumerate(columns) if is_secret_name(name.strip())]
    for sign in _CELLS if _PLAIN_NAME.search(row) else ():
        cells = _cells(row, sign)
        names = [row[start:end].strip().strip("\"'`") for start, end in cells]
        if len(cells) < 2 or not all(map(_COLUMN.fullmatch, names)):
            continue
        secret = [number for number, name in enumerate(names) if _COLUMN_NAME.fullmatch(name) and is_secret_name(name)]
        if secret and sign == "  ":
            ends = [start for start, _ in cells[1:]] + [1 << 30]
            return sign, 0, [(cells[number][0], ends[number]) for number in secret]
        if secret:
            return sign, len(cells), [(number, 0) for number in secret]
    return "", 0, []


_PLAIN_NAME = re.compile(_SECRET, re.IGNORECASE)
_COLUMN_NAME = re.compile(r"[\w.-]+(?: [\w.-]+)?")


def _cells(row: str, sign: str) -> list[tuple[int, int]]:
    """Where the cells of a row stand, without the spaces and bars around them."""
    if sign == "  ":
        return [match.span() for match in _CELLS[sign].finditer(row)]
    begin, end = 0, len(row)
    if sign == "|":
        begin, end = len(row) - len(row.lstrip(" |")), len(row.rstrip(" |"))
    spans, place = [], begin
    while place <= end:
        match = _CELLS[sign].match(row, place, end)
        stop = match.end() if match else place
        word = row[place:stop]
        start = place + len(word) - len(word.lstrip())
        spans.append((start, max(start, place + len(word.rstrip()))))
        place = stop + 1
    return spans


def _statements(text: str) -> Iterator[Found]:
    """The values that a statement inserts into columns of a secret's name; every text, if it names no columns."""
    for insert in _INSERT.finditer(text):
        columns = [name.strip(' \t\r\n`"[]') for name in (insert["columns"] or "").split(",")]
        place = insert.end()
        while text[place : place + 1] == "(":
            number, place = 0, place + 1
            while value := _VALUE_OF_ROW.match(text, place):
                word = value[0].strip()
                secret = is_secret_name(columns[number]) if number < len(columns) else False
                if secret if insert["columns"] else word[:1] in ("'", '"'):
                    start = value.start() + value[0].index(word)
                    yield start, start + len(word), "passwords"
                number, place = number + 1, value.end()
                if text[place : place + 1] != ",":
                    break
                place += 1
            following = re.compile(r"\)\s{0,9},\s{0,9}(?=\()").match(text, place)
            if not following:
                break
            place = following.end()


# --- What was encoded

_BASE64 = re.compile(r"(?<![\w+/-])[A-Za-z0-9+/]{12,4000}={0,2}(?![\w+/=])")
_PAIR = re.compile(r"[\w.@+-]{0,80}\0?[\w.@+-]{1,80}[:\0][!-~][ -~]*")


def _encoded(text: str, known: Sequence[str]) -> Iterator[Found]:
    """A user and their password, or a text with a secret in it, in Base64."""
    for match in _BASE64.finditer(text):
        if len(match[0]) % 4 == 0:
            try:
                said = base64.b64decode(match[0], validate=True).decode()
            except (binascii.Error, ValueError):
                continue
            if (
                _PAIR.fullmatch(said)
                or (said.isprintable() and _NAMED.search(said))
                or any(secret in Folded(said).text for secret in known)
            ):
                yield *match.span(), "credentials"


_NAMED = re.compile(rf"{_NAME}[\"']?\s{{0,3}}[:=]", re.IGNORECASE)
