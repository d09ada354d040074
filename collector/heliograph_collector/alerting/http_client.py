"""One delivery try over HTTP: with a deadline and a size limit, without redirects."""

import asyncio
from dataclasses import dataclass

import aiohttp

from heliograph_collector.alerting.payloads import AlertRequest
from heliograph_collector.config.outgoing_http import PrivateTargetError

DEADLINE_S = 20.0
MAX_BYTES = 65_536  # of an answer; its content is not used
_STATUS_GONE = 410
# What an operator does who tests a receiver.
REACH = "check its host and port, and that a firewall lets this machine out to it"
RESOLVE = "correct its host, or the resolver of this machine"
TRUST = "have its certificate renewed, or name the host that it is for"
ADDRESS = "correct its address"
PROOF = "correct what its secret file holds"
_WAIT = "try later, or ask who runs it"
_STATUS_CURES = {401: PROOF, 403: PROOF, 404: ADDRESS, 405: ADDRESS, _STATUS_GONE: ADDRESS}
_MAX_RETRY_S = 4 * 3_600


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    summary: str  # for the delivery log


class DeliveryError(Exception):
    """A delivery failed; the text quotes neither remote data nor a secret.

    `cure` is what an operator can do, "" if that is unknown. `retry_after_s` is the delay that the
    receiver asked for. `is_final`: further tries are useless.
    """

    def __init__(
        self,
        reason: str,
        cure: str = "",
        *,
        retry_after_s: float | None = None,
        is_final: bool = False,
    ) -> None:
        super().__init__(reason)
        self.cure = cure
        self.retry_after_s = retry_after_s
        self.is_final = is_final


class HttpSender:
    """Sender of requests, with separate sessions for public and private receivers."""

    def __init__(
        self,
        public_session: aiohttp.ClientSession,
        private_session: aiohttp.ClientSession,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._public_session = public_session
        self._private_session = private_session
        self._deadline_s = deadline_s

    async def send_request(self, request: AlertRequest, *, is_private: bool) -> DeliveryResult:
        """Send a request once. Raises DeliveryError."""
        session = self._private_session if is_private else self._public_session
        try:
            async with asyncio.timeout(self._deadline_s):
                return await _send_request(session, request)
        except TimeoutError:
            raise DeliveryError(f"no whole answer in {self._deadline_s:g} s", REACH) from None
        except PrivateTargetError as error:
            raise DeliveryError(f"{error}; `private: true` would allow it") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise DeliveryError(*_describe_failure(error)) from None


async def _send_request(session: aiohttp.ClientSession, request: AlertRequest) -> DeliveryResult:
    async with session.request(
        request.method,
        request.url,
        data=request.body,
        headers=request.headers,
        allow_redirects=False,
        timeout=aiohttp.ClientTimeout(total=None),
    ) as response:
        status = response.status
        if 200 <= status < 300:
            await _drain_body(response)
            return DeliveryResult(f"answered {status}")
        reason = f"answered {status}"
        cure = _STATUS_CURES.get(status, _WAIT)
        if 300 <= status < 400:
            reason += ", a redirect, which is not followed"
            cure = ADDRESS
        raise DeliveryError(
            reason,
            cure,
            retry_after_s=_parse_retry_after(response),
            is_final=status == _STATUS_GONE,
        )


async def _drain_body(response: aiohttp.ClientResponse) -> None:
    """Read the rest of a successful answer, up to MAX_BYTES.

    The delivery counts as successful at any length.
    """
    size = 0
    async for chunk in response.content.iter_chunked(8_192):
        size += len(chunk)
        if size > MAX_BYTES:
            response.close()
            return


def _parse_retry_after(response: aiohttp.ClientResponse) -> float | None:
    header = response.headers.get("Retry-After", "")
    return (
        float(min(int(header[:9]), _MAX_RETRY_S)) if header.isascii() and header.isdigit() else None
    )


def _describe_failure(error: BaseException) -> tuple[str, str]:
    """Return the reason of a failure and its cure."""
    cause = getattr(error, "os_error", None) or error.__cause__
    if isinstance(cause, PrivateTargetError):
        return f"{cause}; `private: true` would allow it", ""
    if isinstance(error, aiohttp.InvalidURL):
        return "its address is none that can be used", ADDRESS
    if isinstance(error, aiohttp.ClientSSLError):
        return "its certificate cannot be trusted", TRUST
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name leads nowhere", RESOLVE
    if isinstance(error, aiohttp.ClientConnectorError | OSError):
        return "no connection", REACH
    return f"no answer that can be read ({type(error).__name__})", ADDRESS
