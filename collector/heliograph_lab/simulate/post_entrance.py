"""Upload single envelopes by HTTPS, as agents do when our address is blocked."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
from google.protobuf.message import DecodeError

from heliograph.http_envelope import PATH
from heliograph.v1 import intake_pb2 as pb
from heliograph_lab.simulate.channel import CollectorEndpoint

if TYPE_CHECKING:
    from heliograph.v1.intake_pb2 import _Status

UPLOAD_S = 30.0  # of a collector with thousands of uploads; assumed
_STATUSES = (200, 422, 503)  # of answers that bear a receipt


@dataclass(frozen=True, slots=True)
class PostEntrance:
    """The entrance of one collector, which all agents of a process share."""

    url: str
    session: aiohttp.ClientSession

    async def upload(self, envelope: bytes, address: str) -> "_Status.ValueType":
        """Upload an envelope over a separate connection; repeat it after STATUS_RETRY.

        Args:
            address: The address that the agent claims, "" for its own.
        """
        headers = {"x-forwarded-for": address} if address else {}
        try:
            async with self.session.post(self.url, data=envelope, headers=headers) as answer:
                body = await answer.read() if answer.status in _STATUSES else b""
            return pb.SubmitResponse.FromString(body).receipt.status or pb.STATUS_RETRY
        except (aiohttp.ClientError, TimeoutError, DecodeError):
            return pb.STATUS_RETRY


@asynccontextmanager
async def open_post_entrance(endpoint: CollectorEndpoint) -> AsyncIterator[PostEntrance | None]:
    """Open the entrance of a collector, None if it has none."""
    if not endpoint.post:
        yield None
        return
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust.check_hostname = False  # the pinned key is its only certificate
    trust.load_verify_locations(cadata=endpoint.certificate)
    connector = aiohttp.TCPConnector(ssl=trust, force_close=True)
    limits = aiohttp.ClientTimeout(total=UPLOAD_S)
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=limits,
        auto_decompress=False,
        headers={"Accept-Encoding": "identity"},
    ) as session:
        yield PostEntrance(f"https://{endpoint.post}{PATH.decode()}", session)
