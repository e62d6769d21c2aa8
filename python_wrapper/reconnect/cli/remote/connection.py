"""Asks the service over HTTP: bounded in time and in size, its certificate verified, its token for its host only.

What it answers is as hostile as what a server says: it is bounded, compared with the documents of the API, and made
printable before anybody reads it.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator
from typing import Any, TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from reconnect import files, names, tls
from reconnect.common import plain_json
from reconnect.errors import InputError, ReconnectError
from reconnect.service.contract.documents import RunShown
from reconnect.settings import Settings
from reconnect.text import one_line, printable_document

#: The most bytes of an answer, of a bundle or a page, and of one event.
MOST_ANSWER = 16 * 1024**2
MOST_FILE = 64 * 1024**2
MOST_EVENT = 64 * 1024
#: Seconds that an answer may take beyond those that it was asked to wait; and that a stream may say nothing.
_SECONDS = 30.0
_IDLE_SECONDS = 60.0
#: How often, and after how many seconds, a request is sent again that may be.
_ATTEMPTS, _PAUSE = 4, 1.0
#: For so many seconds it is sent again while the service carries out the first one, once in so many.
_UNDER_WAY_SECONDS, _UNDER_WAY_PAUSE = 120.0, 2.0
#: What is read of an event.
_FIELDS = frozenset({"id", "event", "data"})

Shape = TypeVar("Shape")


class ServiceError(ReconnectError):
    """The service did not answer, or not now: the same request may be sent again."""


class UnderWay(InputError):
    """The service refuses this as long as something else is under way there."""


class Interrupted(ReconnectError):
    """Whoever sent the request did not wait for its answer."""


class Connection:
    """The service of these settings. Raises InputError where they name none, or no token."""

    def __init__(self, settings: Settings) -> None:
        self.address = _address(settings)
        self._headers = {"Authorization": f"Bearer {_token(settings)}", "Accept-Encoding": "identity"}
        self._verify = tls.context(settings.ca_file)

    def begin(self, path: str, body: dict[str, Any]) -> RunShown:
        """The run that the request begins, once, however often it has to be sent."""
        key = {"Idempotency-Key": secrets.token_hex(16)}
        return self.ask(RunShown, "POST", path, again=True, json=body, headers=key)

    def ask(self, shape: type[Shape], method: str, path: str, *, again: bool = False, **more: Any) -> Shape:
        """The answer as the document that it has to be. A request that may be sent `again` is, after an error that
        passes.

        Raises InputError where the service refuses it, ServiceError where it does not answer, Interrupted.
        """
        try:
            content = self._content(method, path, again, **more)
        except KeyboardInterrupt:
            if method == "GET":
                raise
            raise Interrupted(
                f"Interrupted. {self.address} may still carry out the request. 'reconnect runs' lists its runs."
            ) from None
        try:
            return TypeAdapter(shape).validate_python(printable_document(plain_json(content)) if content else None)
        except (ValidationError, InputError, ValueError, RecursionError):
            raise ReconnectError(
                f"Cannot read the answer of {self.address}. Check that RECONNECT_URL is the address of the service, "
                "and that service and command have the same version."
            ) from None

    def file(self, path: str) -> bytes:
        """The content of a page or an archive."""
        with self._answer("GET", path, _SECONDS) as answer:
            return self._bounded(answer, MOST_FILE, time.monotonic() + 4 * _SECONDS)

    def events(self, path: str, after: int) -> Iterator[tuple[int, str, dict[str, Any]]]:
        """Number, kind and data of every event after the one numbered `after`, as they come."""
        with self._answer("GET", path, _IDLE_SECONDS, params={"after": after}) as answer:
            said: dict[str, str] = {}
            size = 0
            for line in self._lines(answer):
                size += len(line)
                if size > MOST_EVENT:
                    raise self._too_large()
                if line:
                    name, _, value = line.partition(":")
                    if name in _FIELDS:
                        said[name] = value.removeprefix(" ")
                    continue
                with contextlib.suppress(ValueError, RecursionError):
                    data = printable_document(plain_json(said.get("data", "")))
                    if isinstance(data, dict):
                        yield int(said.get("id", "")[:9]), said.get("event", ""), data
                said, size = {}, 0

    def _content(self, method: str, path: str, again: bool, **more: Any) -> bytes:
        """The answer; see `ask`."""
        wait = float((more.get("params") or {}).get("wait", 0))
        attempt, until = 1, time.monotonic() + _UNDER_WAY_SECONDS
        while True:
            try:
                with self._answer(method, path, _SECONDS + wait, **more) as answer:
                    return self._bounded(answer, MOST_ANSWER, time.monotonic() + _SECONDS + wait)
            except UnderWay:
                if not again or time.monotonic() > until:
                    raise
                time.sleep(_UNDER_WAY_PAUSE)
            except ServiceError:
                if not again or attempt == _ATTEMPTS:
                    raise
                time.sleep(_PAUSE * attempt)
                attempt += 1

    def _lines(self, answer: httpx.Response) -> Iterator[str]:
        kept = b""
        for chunk in answer.iter_raw():
            *lines, kept = (kept + chunk).split(b"\n")
            yield from (line.decode(errors="replace").rstrip("\r") for line in lines)
            if len(kept) > MOST_EVENT:
                raise self._too_large()

    def _too_large(self) -> ReconnectError:
        return ReconnectError(f"An event of {self.address} is larger than {MOST_EVENT // 1024} KiB.")

    def _client(self, seconds: float) -> httpx.Client:
        try:
            # A redirect is not followed: the token is for this host alone.
            return httpx.Client(verify=self._verify, timeout=seconds, follow_redirects=False)
        except (ImportError, ValueError) as error:
            raise InputError(
                f"Cannot use the proxy of this environment: {one_line(error, 200).rstrip('.')}. Set HTTPS_PROXY and "
                "ALL_PROXY to an HTTP proxy, or add the service to NO_PROXY."
            ) from None

    @contextlib.contextmanager
    def _answer(self, method: str, path: str, seconds: float, **more: Any) -> Iterator[httpx.Response]:
        try:
            with (
                self._client(seconds) as client,
                client.stream(
                    method, f"{self.address}/v1{path}", headers=self._headers | more.pop("headers", {}), **more
                ) as answer,
            ):
                if not answer.is_success:
                    raise self._refusal(answer)
                yield answer
        except httpx.TimeoutException:
            raise ServiceError(f"{self.address} did not answer within {seconds:g} s.") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            # httpx's words for an untrusted certificate come from OpenSSL; none holds a header.
            raise ServiceError(f"Cannot reach {self.address}: {one_line(error, 200).rstrip('.')}.") from None

    def _bounded(self, answer: httpx.Response, most: int, deadline: float) -> bytes:
        content = bytearray()
        for chunk in answer.iter_raw():
            content += chunk
            if len(content) > most:
                raise ReconnectError(f"The answer of {self.address} is larger than {most // 1024**2} MiB.")
            if time.monotonic() > deadline:
                raise ServiceError(f"The answer of {self.address} did not end in time.")
        return bytes(content)

    def _refusal(self, answer: httpx.Response) -> ReconnectError:
        code = answer.status_code
        detail = _detail(self._bounded(answer, MOST_EVENT, time.monotonic() + _SECONDS))
        if code == 401:
            return InputError(f"{self.address} refuses the token (401). Set RECONNECT_TOKEN to a valid token.")
        if code == 429:
            return ServiceError(f"{self.address} got too many requests (429). Wait a minute, then try again.")
        if code >= 500:
            return ServiceError(f"{self.address} failed ({code}): {detail or 'no reason given.'}")
        if 300 <= code < 400:
            return InputError(f"{self.address} redirects to another address ({code}). Set RECONNECT_URL to that one.")
        if code == 409 and "Retry-After" in answer.headers:
            return UnderWay(f"{self.address} refuses this ({code}): {detail}")
        if not detail:
            return InputError(f"{self.address} refuses this ({code}) without a reason. Check RECONNECT_URL.")
        return InputError(f"{self.address} refuses this ({code}): {detail}")


def _address(settings: Settings) -> str:
    url = settings.url or ""
    if names.is_address(url):
        return url.rstrip("/")
    raise InputError("Set RECONNECT_URL to the address of the service, for example https://reconnect.example.org.")


def _token(settings: Settings) -> str:
    words = files.secret(settings.token, settings.token_file, f"token file {one_line(settings.token_file)}")
    if not words or not words.isascii() or not words.isprintable():
        raise InputError("The service needs a token. Set RECONNECT_TOKEN or RECONNECT_TOKEN_FILE.")
    return words


def _detail(content: bytes) -> str:
    """The sentence of a problem document."""
    with contextlib.suppress(ValueError):
        document = plain_json(content)
        if isinstance(document, dict) and isinstance(document.get("detail"), str):
            return one_line(document["detail"], 400)
    return ""
