"""Asks a tracker over HTTP: bounded in time and in size, certificates verified, credentials for one host only."""

from __future__ import annotations

import contextlib
import email.utils
import functools
import ssl
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict, Unpack
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from reconnect import files, names, tls
from reconnect.common import plain_json
from reconnect.errors import InputError, TrackerError
from reconnect.incidents.trackers.tracker import Attachment
from reconnect.settings.trackers import Server
from reconnect.text import one_line

MAX_ANSWER_BYTES = 1024 * 1024
#: The longest wait that a server may ask for, in seconds.
MAX_RETRY_AFTER = 24 * 3600.0


class Content(TypedDict, total=False):
    """What a request carries; `limit` is the most bytes of its answer (MAX_ANSWER_BYTES)."""

    json_body: Any
    content: bytes
    headers: Mapping[str, str]
    query: Mapping[str, str | int]
    upload: Sequence[Attachment]
    limit: int


class Http:
    """Requests to the server of `settings`, which people call `name`; `reference` is the incident."""

    def __init__(self, name: str, reference: str, settings: Server, headers: Mapping[str, str]) -> None:
        self._name = name
        self._reference = reference
        self._seconds = settings.seconds
        self._headers = {"Accept": "application/json", **headers}
        self._base = base_address(name, settings)
        self._ca_file = settings.ca_file
        if settings.ca_file:
            # One that cannot be read is an error of the settings, and is said before anything is asked.
            _ = self._verify

    @functools.cached_property
    def _verify(self) -> ssl.SSLContext:
        """Made for the first request: reading the system's certificates takes longer than all else that a hook does."""
        return tls.context(self._ca_file)

    def ask(self, method: str, path: str, expected: Collection[int], **content: Unpack[Content]) -> Any:
        """The parsed answer, None where it has no content. Raises TrackerError for any other status than expected."""
        answer = self.raw(method, path, expected, **content)
        if not answer.strip():
            return None
        try:
            return plain_json(answer)
        except ValueError:
            raise TrackerError(f"{self._name}'s answer is not JSON: is {self._base} its address?") from None

    def raw(self, method: str, path: str, expected: Collection[int], **content: Unpack[Content]) -> bytes:
        """The answer's bytes; see `ask`."""
        upload = content.get("upload", ())
        files = [("file", (one.name, one.content, one.content_type)) for one in upload] or None
        deadline = time.monotonic() + self._seconds
        try:
            with (
                self._client() as client,
                client.stream(
                    method,
                    self._base + path if path else self._base.removesuffix("/"),
                    headers={**self._headers, **content.get("headers", {})},
                    params=content.get("query"),
                    json=content.get("json_body"),
                    content=content.get("content"),
                    files=files,
                ) as response,
            ):
                answer = self._bounded(response, deadline, content.get("limit", MAX_ANSWER_BYTES))
        except httpx.TimeoutException:
            raise TrackerError(f"{self._name} did not answer within {self._seconds:g} s.") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            # httpx's words for an untrusted certificate come from OpenSSL; none holds a header.
            raise TrackerError(f"Cannot reach {self._name}: {one_line(error, 200)}.") from None
        if response.status_code not in expected:
            raise self._refusal(response, answer)
        return answer

    def _client(self) -> httpx.Client:
        try:
            # A redirect is not followed: the credentials are for this host alone.
            return httpx.Client(verify=self._verify, timeout=self._seconds, follow_redirects=False)
        except (ImportError, ValueError, httpx.InvalidURL):
            # httpx reads the environment here; what it says may hold the address of the proxy.
            raise TrackerError(
                f"Cannot reach {self._name}: ALL_PROXY, HTTPS_PROXY or HTTP_PROXY names no proxy for HTTP. "
                "Correct or unset it."
            ) from None

    def _bounded(self, response: httpx.Response, deadline: float, limit: int) -> bytes:
        content = bytearray()
        for chunk in response.iter_bytes():
            content += chunk
            if len(content) > limit:
                raise TrackerError(f"{self._name}'s answer is larger than {limit // 1024} KiB.")
            if time.monotonic() > deadline:
                raise TrackerError(f"{self._name}'s answer did not end in time.")
        return bytes(content)

    def _refusal(self, response: httpx.Response, content: bytes) -> TrackerError:
        code = response.status_code
        if code == 401:
            return TrackerError(f"{self._name} does not accept the credentials (401).", code=code)
        if code == 403:
            return TrackerError(f"{self._name} does not let this user change {self._reference} (403).", code=code)
        if code == 404:
            return TrackerError(f"{self._name} has no incident {self._reference} (404).", code=code)
        if code in {429, 503}:
            seconds = retry_after(response.headers.get("Retry-After", ""))
            asks = "asks for fewer requests" if code == 429 else "is not available"
            wait = f", again in {seconds:g} s" if seconds is not None else ""
            return TrackerError(f"{self._name} {asks} ({code}){wait}.", code=code, retry_after=seconds)
        if 300 <= code < 400:
            with contextlib.suppress(ValueError):
                host = urlsplit(response.headers.get("Location", "")).netloc
                target = one_line(host.rpartition("@")[2], 80) or "another address"
                return TrackerError(f"{self._name} points to {target} ({code}), which is not followed.", code=code)
        said = _message(content) or one_line(response.reason_phrase, 80) or "no reason given"
        return TrackerError(f"{self._name} refused with {code}: {said}.", code=code)


def base_address(name: str, settings: Server) -> str:
    """The address of the server with a slash at its end. Raises InputError when there is none."""
    url = settings.url or ""
    if names.is_address(url):
        return url.rstrip("/") + "/"
    raise InputError(
        f"{name} needs its address in {settings.variable('url')}, for example https://tracker.example.org."
    )


def secret(name: str, settings: Server, value: SecretStr | None, file: Path | None, variable: str) -> str:
    """A secret of the settings: itself, else the content of its file. Raises InputError when there is none."""
    words = files.secret(value, file, f"{variable} file {one_line(file)}")
    if not words or not words.isascii() or not words.isprintable():
        by_file, by_value = settings.variable(f"{variable}_file"), settings.variable(variable)
        raise InputError(f"{name} needs a {variable} in {by_file} or {by_value}.")
    return words


def retry_after(header: str) -> float | None:
    """The seconds a server asks us to wait: it says so in seconds or by a date. None when it says neither."""
    text = header.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return min(float(text), MAX_RETRY_AFTER)
    try:
        at = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(max((at - datetime.now(UTC)).total_seconds(), 0.0), MAX_RETRY_AFTER)


def _message(content: bytes) -> str:
    """The reason of a refusal, from the field that the tracker has for it."""
    try:
        answer = plain_json(content)
    except ValueError:
        return ""
    if not isinstance(answer, dict):
        return ""
    said = answer.get("message") or answer.get("error") or answer.get("errorMessages") or ""
    if isinstance(said, dict):
        said = said.get("message") or ""
    if isinstance(said, list):
        said = "; ".join(str(line) for line in said)
    return one_line(said, 200).rstrip(".")
