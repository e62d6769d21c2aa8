"""Whether a text means what it names: some name what they leave out, are not sure of, or what others have said."""

from __future__ import annotations

import re
from collections.abc import Collection

#: What a text leaves out, or takes back: "all except extension 1005", "1005 works, mine does not", "instead of 1005".
_LEFT_OUT = re.compile(
    r"\b(?:except|but for|apart from|other than|besides|tranne|eccetto|fuorch[eé]|salvo|a parte|fuori che|au(?:ß|ss)er"
    r"|bis auf (?!weiter)|ausgenommen|abgesehen von|sauf|excepté|hormis|à part|excepto|aparte de|tod[oa]s menos"
    r"|instead of|anstatt|anstelle|statt|invece d\w{1,4}|al posto d\w{1,4}|au lieu d\w{1,2}|en lugar de|en vez de"
    r"|mine|ours|theirs|meins|unseres|le mien|la mienne|l[ea] nôtre|el mío|la mía|(?:el|la) nuestr[oa]"
    r"|(?:(?:il|la) (?:mi[oa]|nostr[oa])|(?:mein|unser)e)(?= (?:non?|è|e'|invece|va|nicht|geht|tut|ist|schon)\b"
    r"|[.,;!]|\Z))\b"
    r"|[,;:] (?:but |ma |aber |mais |pero )?(?:not me|io no|ich nicht|moi non|pas moi|yo no)\b",
    re.IGNORECASE,
)
#: What is said not to be it.
_DENIED = re.compile(
    r"(?:\bnot|n't) (?:the (?:problem|one|affected)|affected)|\bnon (?:è il problema|è quello|c'entra|(?:è )?coinvolt)"
    r"|\bnicht (?:das problem|der richtige|betroffen)|\bpas (?:le problème|le bon|concerné|touché)"
    r"|\bno (?:es el problema|es esa?|está afectad)",
    re.IGNORECASE,
)
_NOT_BEFORE = re.compile(r"\b(?:not|nicht|non|pas|n't) (?:the |die |der |das |l['’]|il |la |le |el )?\Z", re.IGNORECASE)
#: An answer that no person wrote.
_AUTOMATIC = re.compile(
    # A telephone answers automatically, too.
    r"^\W{0,3}(?:(?:re|aw|r|sv): ?)?(?:out[- ]of[- ](?:the[- ])?office|auto(?:matic|mated)?[- ]?(?:reply|response)"
    r"|abwesenheit\w{0,8}|automatische (?:antwort|abwesenheit\w{0,8})|risposta automatica|fuori (?:ufficio|sede)"
    r"|réponse automatique|absence du bureau|respuesta automática|fuera de la oficina)(?:\s?[:.–-]|$)"
    r"|\b(?:this is an|questa è una|dies ist eine|ceci est une|esta es una)"
    r" (?:auto|risposta auto|réponse auto|respuesta auto)"
    r"|\bi(?:['’]m| am) (?:currently )?(?:on (?:annual |parental |sick )?(?:leave|vacation|holiday)|away"
    r"|out of (?:the )?office) until"
    r"|\bbin (?:ich )?(?:derzeit |bis .{1,30})(?:nicht im büro|im urlaub|außer haus)"
    r"|\b(?:sono|sarò) (?:fuori (?:ufficio|sede)|assente|in ferie) fino|\babsente? du bureau jusqu"
    r"|\b(?:en congés?|absente?) jusqu|\best(?:oy|aré) (?:de vacaciones|ausente|fuera) hasta",
    re.IGNORECASE | re.MULTILINE,
)
#: What stands before one that is named for comparison, or for the way: "same as ext 1005", "next to ext 1005".
_COMPARED_BEFORE = re.compile(
    r"(?:\A|[,;(] ?)(?:come|comme|como) ?\Z"
    r"|\b(?:(?:compar(?:ed?|ing) (?:with|to)|in (?:comparison|contrast) (?:with|to)|unlike|as opposed to|verglichen mit"
    r"|anders als|im (?:vergleich|gegensatz|unterschied) (?:mit|zu\w?)|a differenza d\w{1,4}|in confronto a\w{0,3}"
    r"|rispetto a\w{0,3}|al contrario d\w{1,4}|par rapport (?:à|aux?)|comparée? (?:à|aux?)|contrairement (?:à|aux?)"
    r"|à la différence d\w{1,2}|en comparación con|comparad[oa] con|a diferencia del?|al contrario que"
    r"|same (?:\w{1,12} )?(?:as|like)|(?:genau(?:so)?|so) wie|igual que)(?: [\w'’]{2,14}){0,3}"
    r"|(?<!looks )(?<!seems )(?<!sounds )(?<!would )(?<!'d )like|next to|beside|as (?:on|with|at)"
    r"|replacement (?:of|for)"
    r"|wie(?: bei| auf)?|neben|ersatz für|accanto al?|vicino al?|à côté du?|junto a|al lado de"
    r"|(?:come|comme|como)(?: (?:su|per|con|pour|sur|avec|en))?(?= (?:l['’]|il |la |le |el )\Z))"
    r"[ '’]?(?:the |l['’]|il |la |le |el |der |die |dem )?\Z",
    re.IGNORECASE,
)
#: What is not known for sure.
_UNSURE = re.compile(
    r"\b(?:i (?:think|guess|believe|suppose)|maybe|perhaps|probably|possibly|might|not sure|or so|or something|credo"
    r"|penso|forse|probabilmente|magari|dovrebbe|mi (?:sembra|pare)|o simil[ei]|o qualcosa|glaube?|denke|vermutlich"
    r"|vielleicht|wahrscheinlich|wohl|eventuell|oder so|oder ähnlich|je (?:crois|pense)|peut[- ]être|probablement"
    r"|quelque chose|creo|quizás?|tal vez|probablemente|a lo mejor|supongo|o algo)\b",
    re.IGNORECASE,
)
#: Everybody, or somebody else. "All day" is nobody.
_ALL = (
    r"every(?:one|body)|(?:the )?others|the rest|other (?:users|extensions|phones|accounts)|altri (?:utenti|interni)"
    r"|andere (?:benutzer|nutzer|nebenstellen|telefone|konten|kollegen)|gli altri|les autres|l[oa]s demás"
    r"|die (?:andere|übrige)n"
    r"|all (?:the |our |my )?(?:users?|phones?|extensions?|accounts?|others?|colleagues|people"
    r"|clients?|are|offline|down)|whole (?:office|company|team)|alle (?:anderen|unsere|benutzer|nutzer|nebenstellen"
    r"|telefone|konten|kollegen|teilnehmer|geräte|offline|sind)|sämtliche|das ganze (?:büro|team)|die ganze firma"
    r"|tutti (?:gli|sono|offline|i (?:colleghi|telefoni|numeri))|tutto l'ufficio|tutta l'azienda"
    r"|tous (?:les (?:postes|utilisateurs|collègues|comptes|téléphones)|sont|hors)|tout le (?:bureau|monde)"
    r"|tod[oa]s (?:l[oa]s (?:usuarios|extensiones|teléfonos|compañeros|cuentas)|están|sin|caíd)"
    r"|toda la (?:oficina|empresa)"
)
_SOMEBODY = (
    r"colleagues?|co-?workers?|boss|kolleg\w{1,5}|chefs?|chefin|(?<!si )(?<!si è )colleg(?:a|hi|he)|capo|collègues?"
    r"|patron|compañer[oa]s?|jef[ea]"
)
_NOBODY = r"(?:nobody|no ?one)(?! else)|no registrations?|(?:niemand|keiner)(?! sonst)|nessuno|personne|nadie(?! más)"
_PLACE = (
    r"(?:whole|entire|all of the) \w+|gesamte[rns]? \w+|ganze[rns]? \w+|(?:tutta|intera) (?:la )?\w+|sede|filiale"
    r"|toute l['’]\w+|tout le site|tod[oa] (?:la|el) \w+|standort|branch|site"
)
_OTHERS = re.compile(rf"\b(?:{_ALL}|(?P<place>{_PLACE}|{_NOBODY})|(?P<somebody>{_SOMEBODY}))\b", re.IGNORECASE)
#: Whose account follows, who only says so, or whom somebody else is near.
_REPORTER = re.compile(
    r"\b(?:contact|contatto|kontakt|ansprechpartner\w{0,2}|melder\w{0,2}|reporter|caller"
    r"|(?:reported|called|sent|opened|raised|created) by|gemeldet von|eröffnet von|segnala(?:to da)?|apert[oa] da"
    r"|signalé par|ouvert par|reportado por|abierto por|avisa|chiama(?:re|te|temi)?|referente|contatta(?:re|te)"
    r"|callback|call back|(?:call|reach) (?:me |us |back ){1,2}(?:at|on)|for info call|reply to"
    r"|copy of|copia d\w{1,5}|kopie von|neighbou?r of|vicino d\w{1,5}|colleg(?:a|hi) d\w{1,5}|the colleagues? of)"
    r"[\s:='’]{1,3}"
    r"(?:is |ist |è )?"
    r"(?:the |l['’]|il |la |le |el |die |der )?\Z",
    re.IGNORECASE,
)
#: What follows was it before, or is left out.
_FORMERLY = re.compile(
    r"\b(?:(?:moved?|migrated?|switched|away|left|leaving) (?:away )?(?:from )?|was (?:on|at) |previously (?:on |at )?"
    r"|formerly (?:on |at )?|ex |except (?:on |for )?|but for |instead of |prima (?:era |stava )?(?:su |sul )?"
    r"|(?:migrat|spostat|passat)[oaie] da |tranne (?:su )?|eccetto |invece d\w{1,4} |as on |früher (?:auf |an )?"
    r"|umgezogen von |weg von |außer (?:auf )?|statt |avant (?:sur )?|migré de |sauf (?:sur )?|antes (?:en )?"
    r"|migrado de |excepto (?:en )?)(?:the |server |il |la |dem |le |el )?\Z",
    re.IGNORECASE,
)
#: More than the one that is named: "1005 and others", "several users, 1005 among them".
_SEVERAL = re.compile(
    r"\b(?:not (?:only|just)|nicht (?:nur|bloß)|non solo|pas seulement|no (?:es |son )?s[oó]lo)\b"
    r"|\b(?:several|many|multiple|various|mehrere|viele|diverse|diversi|parecchi|molti|vari|plusieurs|divers|varios"
    r"|muchos) (?:other |andere |altri |autres |otros )?(?:users?|phones?|extensions?|accounts?|colleagues|people"
    r"|benutzer|nutzer|nebenstellen|telefone|konten|kollegen|teilnehmer|utenti|interni|telefoni|colleghi|utilisateurs"
    r"|postes|comptes|collègues|usuarios|extensiones|teléfonos|cuentas|compañeros)\b",
    re.IGNORECASE,
)
_MORE = (
    r"(?:the |die |den |gli |i |le |les |l[oa]s? |el )?(?:\d |two |zwei |due |deux |dos |some |few )?(?:others?|more"
    r"|whole|entire|rest|several|weiter[en]\w?|andere\w?|mehr|restlich\w{2}|ganze\w?|altr[ei]|resto|d['’]autres"
    r"|autres|plusieurs"
    r"|otr[oa]s|más|todo)\b"
)
_AND_MORE = re.compile(
    rf"[\s,)]{{0,3}}(?:[+&]|\b(?:and|und|e|ed|et|y|plus|sowie|oltre a|as well as|incl\w*|including))\s?{_MORE}",
    re.IGNORECASE,
)
_ANYBODY = re.compile(rf"\b(?:{_ALL}|all|alle|tutt[ie]|tous|toutes|tod[oa]s|{_MORE})", re.IGNORECASE)
#: Something is wrong, with them, too.
_TROUBLE = re.compile(
    r"\b(?:nobody|no ?one|niemand|keiner|nessuno|personne|nadie|isolat[ao]|coupée?|isoliert|too|also|as well|likewise"
    r"|same|issues?|errors?|fehler|error[ei]|erreurs?|soucis?|problèmes?|problemas?"
    r"|anche|pure|idem|auch|ebenfalls|genauso|aussi|également|pareil|también|igual"
    r"|not?|non|nicht|pas|cannot|kein\w{0,2}|nessun\w?|aucune?|ningún|ninguna|sin|ohne|senza|sans|offline|down|dead"
    r"|tot|ko|giù|fuori|hs|en panne|hors|caíd\w{1,2}|unregistered|affected|betroffen|fail\w{0,4}|problem\w{0,2}"
    r"|weg)\b|n't\b",
    re.IGNORECASE,
)
#: It works.
_WORKS = re.compile(
    r"\b(?:works?|working|ok(?:ay)?|fine|registers|registered|is up|rings?|funziona(?:nte)?|va(?: bene)?|a posto"
    r"|geht|funktioniert|läuft|klingelt|marche|fonctionne|va bien|funciona)"
    r"\b(?! (?:only|on and off|solo|nur|seulement))",
    re.IGNORECASE,
)
#: … or is not: "the others are not affected".
_UNHARMED = re.compile(
    r"\b(?:not?|nicht|non|pas|sin|ohne|senza|sans|kein\w{0,2}|nessun\w?|aucune?|ningún)\b.{0,20}\b(?:affected|betroffen"
    r"|problem\w{0,2}|probleme|problème|touché\w{0,2}|concerné\w{0,2}|coinvolt\w|afectad\w{1,2}|soucis?|issues?"
    r"|errors?)\b",
    re.IGNORECASE,
)
_CLAUSE = re.compile(
    r"[,;:.!?](?!\w)|[(\n]|\s[-–—]\s|\b(?:but|while|that|ma|mentre|che|aber|während|dass|mais|alors que|que|pero"
    r"|mientras)\b",
    re.IGNORECASE,
)
#: What may stand between somebody and the account that is theirs: "colleague (ext 1006)", "interno 1005 del collega".
_OWNS = re.compile(r"(?:[\s('’]{1,3}[^\W\d]{1,15}){0,3}[\s(,'’:-]{1,3}", re.IGNORECASE)
_OWNED = re.compile(
    r"[\s(,]{1,3}(?:of|from|del|della|dello|dei|von|vom|meine[rs]|de|du"
    r"|d['’])\b[\s('’]{0,2}(?:[^\W\d]{1,15}[\s'’]{1,2}){0,2}",
    re.IGNORECASE,
)


def is_automatic(text: str) -> bool:
    """Whether nobody wrote a text: whoever it names is for others."""
    return _AUTOMATIC.search(text) is not None


def is_sure(text: str) -> bool:
    """Whether a field that names something means that, and is sure of it."""
    return not (_LEFT_OUT.search(text) or _DENIED.search(text) or _UNSURE.search(text))


def is_one(text: str) -> bool:
    """Whether a field names nobody beside the one."""
    return not _ANYBODY.search(text)


def is_another_server(sentence: str, servers: Collection[re.Match[str]]) -> bool:
    """Whether a sentence that names servers is, or may be, about another one: one was before, works, or is left out."""
    befores = (sentence[: one.start()] for one in servers)
    if any(before.search(text) for text in befores for before in (_NOT_BEFORE, _REPORTER, _FORMERLY)):
        return True
    denied = any(_DENIED.search(sentence, *_clause(sentence, one)) for one in servers)
    return denied or works(sentence, servers)


def is_of_others(sentence: str, accounts: Collection[re.Match[str]]) -> bool:
    """Whether a sentence that names accounts is, or may be, about others: one is left out, or somebody else has it."""
    befores = (_NOT_BEFORE, _REPORTER, _COMPARED_BEFORE)
    if any(before.search(sentence, 0, one.start()) for one in accounts for before in befores):
        return True
    others = [(found, *_clause(sentence, found)) for found in _OTHERS.finditer(sentence)]
    denied = (one.start() for one in _DENIED.finditer(sentence))
    if _LEFT_OUT.search(sentence) or any(not any(begin <= at < end for _, begin, end in others) for at in denied):
        return True
    if accounts and (_SEVERAL.search(sentence) or any(_AND_MORE.match(sentence, one.end()) for one in accounts)):
        return True
    if works(sentence, accounts):
        return True
    for found, begin, end in others:
        owned = found["somebody"] and any(_has(found, one, sentence) for one in accounts)
        here = found["place"] and any(begin <= one.start() < end for one in accounts)
        if owned or here or _UNHARMED.search(sentence, begin, end):
            continue
        if _TROUBLE.search(sentence, begin, end):
            return True
    return False


def works(sentence: str, named: Collection[re.Match[str]]) -> bool:
    """Whether what is named works, and something else does not: "1005 works, the reception does not"."""
    clauses = {_clause(sentence, one) for one in named}
    rest = sentence
    for begin, end in clauses:
        rest = f"{rest[:begin]}{' ' * (end - begin)}{rest[end:]}"
    fine = any(_WORKS.search(sentence, *where) and not _TROUBLE.search(sentence, *where) for where in clauses)
    return fine and bool(_TROUBLE.search(rest))


def _clause(sentence: str, found: re.Match[str]) -> tuple[int, int]:
    """Where the clause begins and ends that something stands in."""
    ends = [one.start() for one in _CLAUSE.finditer(sentence)]
    begin = max((end for end in ends if end < found.start()), default=0)
    return begin, min((end for end in ends if end >= found.end()), default=len(sentence))


def _has(somebody: re.Match[str], account: re.Match[str], sentence: str) -> bool:
    """Whether somebody is who has an account."""
    if somebody.end() <= account.start():
        return bool(_OWNS.fullmatch(sentence, somebody.end(), account.start()))
    return bool(_OWNED.fullmatch(sentence, account.end(), somebody.start()))
