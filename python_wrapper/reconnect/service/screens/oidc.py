"""An identity provider: OpenID Connect Core 1.0, authorization code with PKCE (RFC 7636), its answers verified.

From here to the provider and back, a cookie keeps one random secret. State, nonce and PKCE's verifier are digests
of it: an answer that was not asked for in this browser has another state.
"""

from __future__ import annotations

import base64
import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from reconnect.errors import TrackerError
from reconnect.incidents.trackers.http import Http, secret
from reconnect.service.people import digest_of
from reconnect.settings.service import OidcSettings, Role
from reconnect.settings.trackers import Server
from reconnect.text import one_line

CALLBACK = "/sign-in/oidc/callback"
#: So long its description and its keys are kept, in seconds.
_KEEP = 3600
#: So long the provider may take for one answer, somebody waits behind others who ask it, and it is left alone after it
#: failed to answer, in seconds.
_ANSWER, _PATIENCE, _PAUSE = 5.0, 2.0, 10.0
#: So many ask it at the same time, for every one holds a thread of the service.
_MOST = 4
#: So far clocks may be apart, in seconds.
_LEEWAY = 60
#: Signatures with a public key: nobody who knows the client's secret can make a token.
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
_PUBLIC = frozenset({"RSA", "EC", "OKP"})
_NAME = "The identity provider"
#: What it answers to a client or a code that it does not accept.
_REFUSALS = frozenset({400, 401, 403})


class Refused(Exception):
    """A sign-in that does not succeed: the id of what its person is told, and for the log why."""

    def __init__(self, told: str, why: str, **arguments: str) -> None:
        super().__init__(why)
        self.told = told
        self.arguments = arguments


@dataclass(frozen=True)
class Identity:
    """Whom the provider knows: `sub` is never given to anybody else; without a `role`, somebody who may do nothing."""

    sub: str
    name: str
    role: Role | None
    locale: str


_T = TypeVar("_T")


class _Published(Generic[_T]):
    """A document of the provider: one thread reads it, and meanwhile the others have the old one or wait."""

    def __init__(self, read: Callable[[], _T]) -> None:
        self._read = read
        self._reading = threading.Lock()
        self._known: tuple[float, _T] | None = None

    def get(self, useless: _T | None = None) -> _T:
        """The document; it is read again where it is old, or the one that was `useless`."""
        if (known := self._fresh(useless)) is not None:
            return known
        if not self._reading.acquire(timeout=_PATIENCE):
            raise _busy()
        try:
            # Somebody else may just have read it.
            if (known := self._fresh(useless)) is None:
                known = self._read()
                self._known = time.monotonic() + _KEEP, known
            return known
        finally:
            self._reading.release()

    def _fresh(self, useless: _T | None) -> _T | None:
        known = self._known
        return known[1] if known and known[0] > time.monotonic() and known[1] is not useless else None


class _Address(Server):
    """One address of the provider."""

    def variable(self, name: str) -> str:
        """Where the settings file has it."""
        return f"service.oidc.{name.replace('token', 'client_secret')} of the settings file"


class Provider:
    """The provider of this site, which sends browsers back to `origin`.

    Whatever asks it raises TrackerError, and InputError for a secret or a certificate file that cannot be read. A
    provider that does not answer holds few threads, and is then left alone for some seconds."""

    def __init__(self, settings: OidcSettings, origin: str) -> None:
        self.issuer = settings.issuer
        self._settings = settings
        self._callback = f"{origin}{CALLBACK}"
        self._back = f"{origin}/sign-in"
        self._description = _Published(self._read_description)
        self._keys = _Published(self._read_keys)
        self._asking = threading.BoundedSemaphore(_MOST)
        self._failed: tuple[float, str] | None = None

    def begin(self, kept: str) -> str:
        """Where a browser signs in that has the secret `kept` in its cookie."""
        said = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": self._callback,
            "scope": self._settings.scopes,
            "state": state_of(kept),
            "nonce": _nonce(kept),
            "code_challenge": create_s256_code_challenge(_verifier(kept)),
            "code_challenge_method": "S256",
        }
        return _with(self._endpoint("authorization_endpoint"), said)

    def end(self) -> str | None:
        """Where a browser signs out of the provider, too, if that is possible."""
        if not self._description.get().get("end_session_endpoint"):
            return None
        said = {"client_id": self._settings.client_id, "post_logout_redirect_uri": self._back}
        return _with(self._endpoint("end_session_endpoint"), said)

    def identity(self, kept: str, code: str) -> Identity:
        """Whom the code is for, which the provider takes once. Raises Refused where a claim is not as it has to be."""
        tokens = self._exchange(kept, code)
        claims = self._verified(kept, tokens)
        sub, name = claims.get("sub"), claims.get(self._settings.name_claim)
        if not isinstance(sub, str) or not sub or len(sub) > 255:
            raise Refused("screen.oidc_invalid", "the ID token has no usable sub")
        if not isinstance(name, str):
            raise Refused("screen.oidc_invalid", f"the ID token has no name in {self._settings.name_claim}")
        return Identity(sub, name, self._role(claims), str(claims.get("locale", "")))

    def _exchange(self, kept: str, code: str) -> Mapping[str, Any]:
        own = self._settings
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._callback,
            "client_id": own.client_id,
            "code_verifier": _verifier(kept),
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if own.client_secret is not None or own.client_secret_file is not None:
            words = secret(_NAME, self._address(own.issuer), own.client_secret, own.client_secret_file, "token")
            methods = self._description.get().get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
            if "client_secret_basic" in methods:
                pair = f"{quote(own.client_id, safe='')}:{quote(words, safe='')}"
                headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
            else:
                form["client_secret"] = words
        asked = Http(_NAME, "", self._address(self._endpoint("token_endpoint")), headers)
        try:
            with self._question():
                tokens = asked.ask("POST", "", {200}, content=urlencode(form).encode())
        except TrackerError as error:
            if error.code in _REFUSALS:
                raise Refused("screen.oidc_refused", str(error)) from None
            raise
        return tokens if isinstance(tokens, dict) else {}

    def _verified(self, kept: str, tokens: Mapping[str, Any]) -> Mapping[str, Any]:
        token, own = tokens.get("id_token"), self._settings
        if not isinstance(token, str):
            raise Refused("screen.oidc_invalid", "the answer has no ID token")
        try:
            keys = self._keys.get()
            try:
                decoded = jwt.decode(token, keys, _ALGORITHMS)
            except (JoseError, ValueError):
                # It may have been signed with a key that is new.
                decoded = jwt.decode(token, self._keys.get(useless=keys), _ALGORITHMS)
            wanted = {
                "iss": {"essential": True, "value": self.issuer},
                "aud": {"essential": True, "value": own.client_id},
            }
            more = {"nonce": _nonce(kept), "client_id": own.client_id, "access_token": tokens.get("access_token")}
            claims: Any = CodeIDToken(decoded.claims, decoded.header, wanted, more)
            claims.validate(leeway=_LEEWAY)
        except (JoseError, ValueError, TypeError) as error:
            raise Refused("screen.oidc_invalid", f"the ID token is invalid: {one_line(error, 200)}") from None
        return dict(claims)

    def _role(self, claims: Mapping[str, Any]) -> Role | None:
        found: Any = claims
        for part in self._settings.role_claim.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        has = [found] if isinstance(found, str) else found if isinstance(found, list) else []
        return next((role for value, role in self._settings.roles.items() if value in has), None)

    def _read_description(self) -> dict[str, Any]:
        base = self.issuer.removesuffix("/")
        with self._question():
            said = self._ask(f"{base}/.well-known/openid-configuration")
            if said.get("issuer") != self.issuer:
                raise TrackerError(f"{_NAME} is another one than {self.issuer}: compare service.oidc.issuer.")
        return said

    def _endpoint(self, name: str) -> str:
        """An address that the provider names. It is as safe as the issuer's."""
        found = self._description.get().get(name)
        if not isinstance(found, str) or not _is_safe(found, self.issuer):
            raise TrackerError(f"{_NAME} has no usable {name}.")
        return found

    def _read_keys(self) -> KeySet:
        url = self._endpoint("jwks_uri")
        with self._question():
            said = self._ask(url).get("keys")
            keys = list(_public(said)) if isinstance(said, list) else []
            if not keys:
                raise TrackerError(f"{_NAME} has no key to verify its tokens by.")
        return KeySet.import_key_set({"keys": keys})

    @contextlib.contextmanager
    def _question(self) -> Iterator[None]:
        """One question to the provider. Raises TrackerError at once where it has just failed to answer one."""
        if self._failed and self._failed[0] > time.monotonic():
            raise TrackerError(self._failed[1])
        if not self._asking.acquire(timeout=_PATIENCE):
            raise _busy()
        try:
            yield
        except TrackerError as error:
            # Whoever comes with an invalid code is refused alone.
            if error.code not in _REFUSALS:
                self._failed = time.monotonic() + _PAUSE, str(error)
            raise
        finally:
            self._asking.release()

    def _ask(self, url: str) -> dict[str, Any]:
        said = Http(_NAME, "", self._address(url), {}).ask("GET", "", {200})
        if not isinstance(said, dict):
            raise TrackerError(f"{_NAME}'s answer is not as OpenID Connect has it.")
        return said

    def _address(self, url: str) -> _Address:
        return _Address(url=url, ca_file=self._settings.ca_file, seconds=_ANSWER)


def _busy() -> TrackerError:
    return TrackerError(f"{_NAME} has not answered yet. Sign in again in a few seconds.")


def state_of(kept: str) -> str:
    """The state of a sign-in, by the secret in its browser's cookie."""
    return digest_of(f"state {kept}")


def _nonce(kept: str) -> str:
    return digest_of(f"nonce {kept}")


def _verifier(kept: str) -> str:
    return digest_of(f"verifier {kept}")


def _public(keys: list[Any]) -> Iterator[dict[str, Any]]:
    for key in keys:
        if isinstance(key, dict) and key.get("kty") in _PUBLIC and key.get("use", "sig") == "sig":
            yield key


def _is_safe(url: str, issuer: str) -> bool:
    try:
        parts, own = urlsplit(url), urlsplit(issuer)
    except ValueError:
        return False
    return parts.scheme == "https" or (
        own.scheme == "http" and (parts.scheme, parts.netloc) == (own.scheme, own.netloc)
    )


def _with(url: str, said: Mapping[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(said)}"
