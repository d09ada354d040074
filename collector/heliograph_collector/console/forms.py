"""Form data: read with size limit and deadline, and only from our own pages."""

import asyncio
from collections.abc import Mapping
from urllib.parse import parse_qsl

from aiohttp import web

from heliograph_collector.http.problem import Problem

MAX_BODY_BYTES = 524_288  # the longest is a plan in a text field
_MAX_FIELDS = 2_000  # a plan of 512 tasks has three for each
_DEADLINE_S = 10.0
_FORM = "application/x-www-form-urlencoded"


async def read_form(request: web.Request) -> Mapping[str, str]:
    """Read the fields, of a repeated one the first. Raises Problem 400, 408, 413, 415."""
    if request.content_type != _FORM:
        raise Problem(415, "Not a form", f"A form is sent as {_FORM}.")
    try:
        async with asyncio.timeout(_DEADLINE_S):
            body = await _read_body(request)
    except TimeoutError:
        raise Problem(408, "Too slow", f"A form must be here within {_DEADLINE_S:g} s.") from None
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MAX_FIELDS,
        )
    except ValueError:
        raise Problem(400, "Not a form", "The fields cannot be read as UTF-8.") from None
    return dict(reversed(pairs))


async def _read_body(request: web.Request) -> bytes:
    body = bytearray()
    if (request.content_length or 0) <= MAX_BODY_BYTES:
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                break
        else:
            return bytes(body)
    raise Problem(413, "Too large", f"A form has at most {MAX_BODY_BYTES} bytes.")


def is_same_origin(request: web.Request) -> bool:
    """Return whether a form was sent from our own page; all browsers declare it."""
    return request.headers.get("Origin", "") == f"{request_scheme(request)}://{request.host}"


def request_scheme(request: web.Request) -> str:
    """Return the scheme that the browser sees; a proxy with TLS reports it.

    A client that forges it harms only itself.
    """
    forwarded_proto = request.headers.get("X-Forwarded-Proto", "").strip().lower()
    return "https" if forwarded_proto == "https" or request.secure else "http"


def parse_number(digits: str, max_digits: int) -> int | None:
    """Parse a whole number of at most `max_digits` digits; None for anything else."""
    is_number = digits.isascii() and digits.isdigit() and len(digits) <= max_digits
    return int(digits) if is_number else None
