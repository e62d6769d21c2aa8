"""Errors as problem documents (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from reconnect import invalid
from reconnect.errors import InputError, ReconnectError, TrackerError
from reconnect.text import one_line

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """A request that is answered with an error; `detail` is one sentence for a person."""

    def __init__(self, status: int, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def explained(error: Exception) -> Problem:
    """An error as its sender is told. What a database or a defect says stays in the log."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):
        return Problem(error.status_code, f"{HTTPStatus(error.status_code).phrase}.", **dict(error.headers or {}))
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        return Problem(422, f"{invalid.where(first)}: {invalid.sentence(first)}.")
    if isinstance(error, InputError):
        return Problem(422, one_line(error, 1000))
    if isinstance(error, TrackerError):
        return Problem(502, one_line(error, 400))
    return Problem(503, "The service cannot do this at the moment. Try again later.", Retry_After="10")


#: Errors that are no defects.
EXPECTED = (Problem, HTTPException, RequestValidationError, ReconnectError)


def answer(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """The problem document."""
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return JSONResponse(content, status, headers, MEDIA_TYPE)


def handle(app: FastAPI) -> None:
    """Has every error answered so."""

    def told(request: Request, error: Exception) -> JSONResponse:
        problem = explained(error)
        return answer(problem.status, problem.detail, problem.headers)

    for kind in EXPECTED:
        app.add_exception_handler(kind, told)
