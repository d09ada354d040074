"""Send one GET with a deadline and a size limit, without redirects.

The polled sources use it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TypeVar

import aiohttp
import msgspec

from heliograph_collector.corroborate.incident import Entity
from heliograph_collector.corroborate.source import RequestPacer, SourceContext, SourceError

DEADLINE_S = 30.0
MAX_BYTES = 1_048_576
_CHUNK = 65_536
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRequest:
    """A request; `name` is the source in the log, and the headers may hold a token."""

    name: str
    url: str
    params: Mapping[str, str]
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


async def fetch_body(
    session: aiohttp.ClientSession,
    request: SourceRequest,
    *,
    now_us: int,
    deadline_s: float = DEADLINE_S,
) -> bytes:
    """Return the body of a 200 answer.

    A redirect is an error, because it would reveal the query to another server. Raises SourceError.
    """
    try:
        async with asyncio.timeout(deadline_s):
            async with session.get(
                request.url,
                params=request.params,
                headers=request.headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None),
            ) as response:
                _check_response(request.name, response, now_us)
                return await _read_body(request.name, response)
    except TimeoutError:
        raise SourceError(f"{request.name} gave no whole answer in {deadline_s:g} s.") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # The text of the error may quote remote data, so the message names only its type.
        raise SourceError(f"{request.name} cannot be read ({type(error).__name__}).") from None


def _check_response(name: str, response: aiohttp.ClientResponse, now_us: int) -> None:
    if response.status != 200:
        retry_s = parse_retry_after_s(response.headers.get("Retry-After", ""), now_us)
        raise SourceError(f"{name} answered {response.status}.", retry_s)
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise SourceError(f"{name} sent a packed answer, which nobody asked for.")


async def _read_body(name: str, response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > MAX_BYTES:
            raise SourceError(f"{name} answered with more than {MAX_BYTES} bytes.")
    return bytes(body)


def parse_retry_after_s(header: str, now_us: int) -> float | None:
    """Parse the header Retry-After: seconds or a date. None if it is not readable."""
    if header.isascii() and header.isdigit():
        return float(header[:9])
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - now_us / 1e6)
    except (ValueError, OverflowError, TypeError):
        return None


def decode_json(name: str, body: bytes, shape: type[_T]) -> _T:
    """Decode JSON of exactly this shape, ignoring unknown fields. Raises SourceError."""
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise SourceError(f"{name} answered with something else than expected.") from None


class PolledSource:
    """A source with a queryable history; it needs no background work.

    `title` names it in the log.
    """

    title: str

    def __init__(self, url: str, gap_s: float, deadline_s: float, context: SourceContext) -> None:
        self._url = url
        self._deadline_s = deadline_s
        self._context = context
        self._pacer = RequestPacer(gap_s, context)

    async def fetch(
        self, path: str, params: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> bytes:
        """Query a path in turn. Raises SourceError."""
        await self._pacer.wait_turn()
        request = SourceRequest(
            name=self.title, url=f"{self._url}{path}", params=params, headers=headers or {}
        )
        return await fetch_body(
            self._context.session,
            request,
            now_us=self._context.clock.wall_us(),
            deadline_s=self._deadline_s,
        )

    async def run(self) -> None:
        """Return at once."""

    def follow(self, entities: Sequence[Entity]) -> None:
        """Do nothing."""
