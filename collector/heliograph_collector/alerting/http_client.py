"""One try to deliver: over HTTP with a deadline, nothing followed, hardly anything read."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp

from heliograph_collector.alerting.payloads import Request
from heliograph_collector.alerting.ssrf_guard import PrivateTargetError

DEADLINE_S = 20.0
MOST_BYTES = 65_536  # of an answer, of which nothing is used
_GONE = 410
_MOST_RETRY_S = 4 * 3_600


@dataclass(frozen=True, slots=True)
class Arrived:
    said: str  # for the delivery log


class DeliveryError(Exception):
    """str() says what came instead, never quoting a stranger or a secret.

    `after_s`: when the receiver wants to be asked again; `final`: it never does.
    """

    def __init__(self, said: str, *, after_s: float | None = None, final: bool = False) -> None:
        super().__init__(said)
        self.after_s, self.final = after_s, final


Send = Callable[[Request, bool], Awaitable[Arrived]]  # the request, whether it may be private


class Sender:
    """`public` and `private` are the sessions for either kind of receiver."""

    def __init__(
        self,
        public: aiohttp.ClientSession,
        private: aiohttp.ClientSession,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._public, self._private, self._deadline_s = public, private, deadline_s

    async def __call__(self, request: Request, private: bool) -> Arrived:
        """Raises DeliveryError."""
        session = self._private if private else self._public
        try:
            async with asyncio.timeout(self._deadline_s):
                return await _send(session, request)
        except TimeoutError:
            raise DeliveryError(f"no whole answer in {self._deadline_s:g} s") from None
        except PrivateTargetError as error:
            raise DeliveryError(f"{error}; `private: true` would allow it") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise DeliveryError(_why(error)) from None


async def _send(session: aiohttp.ClientSession, request: Request) -> Arrived:
    async with session.request(
        request.method,
        request.url,
        data=request.body,
        headers=request.headers,
        allow_redirects=False,
        timeout=aiohttp.ClientTimeout(total=None),
    ) as answer:
        status = answer.status
        if 200 <= status < 300:
            await _drain(answer)
            return Arrived(f"answered {status}")
        told = f"answered {status}"
        if 300 <= status < 400:
            told += ", a redirect, which is not followed"
        raise DeliveryError(told, after_s=_after_s(answer), final=status == _GONE)


async def _drain(answer: aiohttp.ClientResponse) -> None:
    """A good answer is good however long it is; we read no more than it takes to be polite."""
    read = 0
    async for chunk in answer.content.iter_chunked(8_192):
        read += len(chunk)
        if read > MOST_BYTES:
            answer.close()
            return


def _after_s(answer: aiohttp.ClientResponse) -> float | None:
    text = answer.headers.get("Retry-After", "")
    return float(min(int(text[:9]), _MOST_RETRY_S)) if text.isascii() and text.isdigit() else None


def _why(error: BaseException) -> str:
    inner = getattr(error, "os_error", None) or error.__cause__
    if isinstance(inner, PrivateTargetError):
        return f"{inner}; `private: true` would allow it"
    if isinstance(error, aiohttp.InvalidURL):
        return "its address is none that can be used"
    if isinstance(error, aiohttp.ClientSSLError):
        return "its certificate cannot be trusted"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name leads nowhere"
    if isinstance(error, aiohttp.ClientConnectorError | OSError):
        return "no connection"
    return f"no answer that can be read ({type(error).__name__})"
