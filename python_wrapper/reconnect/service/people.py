"""Who may use the service: users with passwords, programs with tokens, and what each role may do.

Only digests are stored: Argon2 of a password, SHA-256 of a token's or a session's secret, which has 256 random bits.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hmac import compare_digest
from typing import Literal, get_args

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from reconnect import names
from reconnect.errors import InputError
from reconnect.result import now
from reconnect.runs import tables
from reconnect.runs.database import engine_of, reading, writing
from reconnect.service import audit
from reconnect.settings import Settings
from reconnect.settings.service import Role
from reconnect.text import one_line
from reconnect.texts import Language

_USERS, _TOKENS, _SESSIONS, _SELFCHECKS = tables.users, tables.tokens, tables.sessions, tables.selfchecks

#: `diagnose`: begin and watch runs that change nothing. `confirm`: have fixes of account and client carried out.
#: `approve`: have any plan of somebody else carried out. `correct`: say that a verdict is wrong. `test`: options that
#: ask for it (runs/request.py). `hold`: hold and release servers. `audit`: read who did what, and the statistics.
Right = Literal["diagnose", "confirm", "approve", "correct", "test", "hold", "audit"]
RIGHTS: dict[str, frozenset[Right]] = {
    "first_level": frozenset({"diagnose", "confirm"}),
    "second_level": frozenset({"diagnose", "confirm", "approve", "correct", "test", "hold", "audit"}),
    "admin": frozenset({"diagnose", "hold", "audit"}),
}
LEAST_PASSWORD, MOST_PASSWORD = 12, 256
SESSION_HOURS = 10
MOST_TOKEN_DAYS = 366
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,79}")
#: How the name of who asks with a token begins.
_OF_TOKEN = "token:"
_TOKEN = re.compile(r"rct_([0-9a-f]{12})_([0-9a-f]{64})")


@dataclass(frozen=True)
class Person:
    """Whoever asks: a user, or a token in the name of `name`. Without `servers` all of them are theirs."""

    name: str
    role: str
    servers: frozenset[str] | None = None
    language: Language = "en"

    def may(self, right: Right) -> bool:
        """Whether the role has this right. The audit is of all servers."""
        return right in RIGHTS[self.role] and (right != "audit" or self.servers is None)

    def sees(self, servers: Sequence[str]) -> bool:
        """Whether all of these servers are theirs. What is of no server is for those alone who see all of them."""
        return self.servers is None or (bool(servers) and self.servers.issuperset(servers))

    def is_among(self, names: Iterable[str | None]) -> bool:
        """Whether one of these names is theirs: a token and the user of its name are one person."""
        return self.name.removeprefix(_OF_TOKEN) in {name.removeprefix(_OF_TOKEN) for name in names if name}


def _end(connection: sa.Connection, users: Sequence[str]) -> None:
    """Ends the sessions of these users, and the links for self-checks that they made."""
    connection.execute(_SESSIONS.delete().where(_SESSIONS.c.user.in_(users)))
    connection.execute(_SELFCHECKS.delete().where(_SELFCHECKS.c.created_by.in_(users)))


class People:
    """Users, tokens and sessions of one store. Whatever it does raises StoreError when the database fails."""

    def __init__(self, settings: Settings) -> None:
        self._engine = engine_of(settings)
        local, provider = settings.service.local_users, settings.service.oidc
        #: Who may have a session.
        self._welcome = sa.or_(
            _USERS.c.subject.is_(None) if local else sa.false(),
            _USERS.c.subject.startswith(_subject(provider.issuer, ""), autoescape=True) if provider else sa.false(),
        )

    def add_user(self, name: str, role: str, password: str, language: Language, by: str) -> None:
        """Adds a user, or gives one another role and password, which ends the sessions. Raises InputError."""
        _check(name, role)
        if not LEAST_PASSWORD <= len(password) <= MOST_PASSWORD:
            raise InputError(f"A password has {LEAST_PASSWORD} to {MOST_PASSWORD} characters.")
        row = {"name": name, "role": role, "digest": _hasher().hash(password), "language": language}
        with writing(self._engine) as connection:
            connection.execute(_SESSIONS.delete().where(_SESSIONS.c.user == name))
            connection.execute(_USERS.delete().where(_USERS.c.name == name))
            connection.execute(_USERS.insert().values(**row, created_at=now()))
            audit.append(connection, audit.Deed(by, "shell", "", "user added", name, data={"role": role}))

    def remove_user(self, name: str, by: str) -> None:
        """Removes a user with the sessions and the links for self-checks. Raises InputError where there is none."""
        with writing(self._engine) as connection:
            _end(connection, [name])
            if not connection.execute(_USERS.delete().where(_USERS.c.name == name)).rowcount:
                raise names.unknown("user", one_line(name, 80), list(connection.scalars(sa.select(_USERS.c.name))))
            audit.append(connection, audit.Deed(by, "shell", "", "user removed", name))

    def users(self) -> list[Person]:
        """Every user, by name."""
        with reading(self._engine) as connection:
            found = connection.execute(sa.select(_USERS.c.name, _USERS.c.role, _USERS.c.language).order_by("name"))
            return [Person(row.name, row.role, None, row.language) for row in found]

    def provided(self, issuer: str, sub: str, name: str, role: Role, language: Language) -> Person | None:
        """The user that an identity provider knows as `sub`, with the role of today; None where the name is somebody
        else's. Another role ends the sessions. A name stays as it was first: who could change it at the provider would
        be a second person, and approve their own requests."""
        subject = _subject(issuer, sub)
        with writing(self._engine) as connection:
            old = connection.execute(sa.select(_USERS).where(_USERS.c.subject == subject)).first()
            if old:
                name, language = old.name, old.language
                if old.role == role:
                    return Person(name, role, None, language)
                _end(connection, [name])
                connection.execute(_USERS.update().where(_USERS.c.subject == subject).values(role=role))
            elif connection.scalar(sa.select(_USERS.c.name).where(_USERS.c.name == name)) is not None:
                return None
            else:
                row = {"name": name, "role": role, "digest": "", "language": language, "subject": subject}
                connection.execute(_USERS.insert().values(**row, created_at=now()))
            deed = audit.Deed(
                name, role, "", "user added", name, data={"role": role, "subject": one_line(subject, 400)}
            )
            audit.append(connection, deed)
        return Person(name, role, None, language)

    def withdrawn(self, issuer: str, sub: str) -> None:
        """Ends the sessions of a user to whom the identity provider gives no role any more. The name stays theirs."""
        with writing(self._engine) as connection:
            own = sa.select(_USERS.c.name).where(_USERS.c.subject == _subject(issuer, sub))
            _end(connection, list(connection.scalars(own)))

    def signed_in(self, name: str, password: str) -> Person | None:
        """The user with this name and password. An unknown name takes as long as a wrong password."""
        local = sa.select(_USERS).where(_USERS.c.name == name, _USERS.c.subject.is_(None), self._welcome)
        with reading(self._engine) as connection:
            row = connection.execute(local).first() if is_name(name) else None
        right = False
        with contextlib.suppress(Argon2Error, InvalidHashError):
            right = _hasher().verify(row.digest if row else _nobody(), password[: MOST_PASSWORD + 1])
        return Person(row.name, row.role, None, row.language) if row and right else None

    def add_token(self, name: str, role: str, servers: Sequence[str], days: int, by: str) -> str:
        """A new token, which is shown once: only a digest of its secret is kept. Raises InputError."""
        _check(name, role)
        if not 1 <= days <= MOST_TOKEN_DAYS:
            raise InputError(f"A token is valid for 1 to {MOST_TOKEN_DAYS} days.")
        token_id, secret = secrets.token_hex(6), secrets.token_hex(32)
        row = {
            "token_id": token_id,
            "name": name,
            "role": role,
            "digest": digest_of(secret),
            "servers": [names.checked("server", one) for one in servers] or None,
            "created_by": by,
            "created_at": now(),
            "expires_at": now() + timedelta(days=days),
        }
        with writing(self._engine) as connection:
            connection.execute(_TOKENS.insert().values(**row))
            audit.append(connection, audit.Deed(by, "shell", "", "token added", token_id, data={"role": role}))
        return f"rct_{token_id}_{secret}"

    def remove_token(self, token_id: str, by: str) -> None:
        """Removes a token, and the links for self-checks that it made. Raises InputError where there is none."""
        with writing(self._engine) as connection:
            name = sa.select(_OF_TOKEN + _TOKENS.c.name).where(_TOKENS.c.token_id == token_id).scalar_subquery()
            connection.execute(_SELFCHECKS.delete().where(_SELFCHECKS.c.created_by == name))
            if not connection.execute(_TOKENS.delete().where(_TOKENS.c.token_id == token_id)).rowcount:
                raise InputError(f"There is no token '{one_line(token_id, 40)}'.")
            audit.append(connection, audit.Deed(by, "shell", "", "token removed", token_id))

    def tokens(self) -> list[tuple[str, Person]]:
        """Every token that is valid, by its id."""
        with reading(self._engine) as connection:
            found = connection.execute(sa.select(_TOKENS).where(_TOKENS.c.expires_at > now()).order_by("token_id"))
            return [(row.token_id, _of_token(row)) for row in found]

    def by_token(self, token: str) -> Person | None:
        """Whose token this is; None where it is invalid or has expired."""
        match = _TOKEN.fullmatch(token)
        if match is None:
            return None
        with reading(self._engine) as connection:
            row = connection.execute(sa.select(_TOKENS).where(_TOKENS.c.token_id == match[1])).first()
        same = compare_digest(row.digest if row else digest_of(""), digest_of(match[2]))
        return _of_token(row) if row and same and row.expires_at > now() else None

    def begin_session(self, person: Person, address: str) -> str:
        """The secret of a new session, for the cookie."""
        secret = secrets.token_hex(32)
        row = {"digest": digest_of(secret), "user": person.name, "expires_at": now() + timedelta(hours=SESSION_HOURS)}
        with writing(self._engine) as connection:
            connection.execute(_SESSIONS.delete().where(_SESSIONS.c.expires_at < now()))
            connection.execute(_SESSIONS.insert().values(**row))
            audit.append(connection, audit.Deed(person.name, person.role, address, "signed in"))
        return secret

    def by_session(self, secret: str) -> Person | None:
        """Whose session this is."""
        found = (
            sa.select(_USERS.c.name, _USERS.c.role, _USERS.c.language)
            .join(_SESSIONS, _SESSIONS.c.user == _USERS.c.name)
            .where(_SESSIONS.c.digest == digest_of(secret), _SESSIONS.c.expires_at > now(), self._welcome)
        )
        with reading(self._engine) as connection:
            row = connection.execute(found).first()
        return Person(row.name, row.role, None, row.language) if row else None

    def end_session(self, secret: str) -> None:
        """Ends a session, if there is one."""
        with writing(self._engine) as connection:
            connection.execute(_SESSIONS.delete().where(_SESSIONS.c.digest == digest_of(secret)))


def is_name(name: str) -> bool:
    """Whether a user or a token may have this name."""
    return _NAME.fullmatch(name) is not None


def digest_of(secret: str) -> str:
    """The digest that is kept of a random secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _of_token(row: sa.Row[tuple[object, ...]]) -> Person:
    servers = frozenset(row.servers) if row.servers else None
    return Person(f"{_OF_TOKEN}{row.name}", row.role, servers)


def _subject(issuer: str, sub: str) -> str:
    """An issuer has no space."""
    return f"{issuer} {sub}"


def _check(name: str, role: str) -> None:
    if not is_name(name):
        raise InputError(f"'{one_line(name, 80)}' is not a name: use letters, digits, dot, hyphen, underscore and @.")
    if role not in get_args(Role):
        raise names.unknown("role", one_line(role, 80), get_args(Role))


@functools.cache
def _hasher() -> PasswordHasher:
    return PasswordHasher()


@functools.cache
def _nobody() -> str:
    return _hasher().hash(secrets.token_hex(16))
