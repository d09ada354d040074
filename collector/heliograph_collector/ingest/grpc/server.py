"""Run the gRPC server of the Intake service: TLS, limits, health, reflection, log."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha import reflection

from heliograph.clock import Clock
from heliograph.units import MINUTE_US
from heliograph.v1 import intake_pb2, intake_pb2_grpc
from heliograph_collector.fleet.keyring import Keyring
from heliograph_collector.ingest import rate_limits
from heliograph_collector.ingest.grpc.request_guard import RequestGuard
from heliograph_collector.ingest.grpc.service import IntakeService
from heliograph_collector.ingest.rate_limits import raise_file_limit
from heliograph_collector.model.errors import PortTakenError

SERVICE_NAME = intake_pb2.DESCRIPTOR.services_by_name["Intake"].full_name
HEALTH_SERVICE_NAME = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
_STOP_GRACE_S = 0.7
_RESERVED_FILES = 200  # for the store, the journal and the HTTP server
LOGGER = "grpc._cython.cygrpc"
_LOG_EVERY_US = MINUTE_US  # between two lines of a kind; assumed
log = logging.getLogger("heliograph.intake")


@asynccontextmanager
async def serve_grpc(
    service: IntakeService, endpoint: str, keyring: Keyring, sessions: int
) -> AsyncIterator[int]:
    """Serve on `endpoint` inside the block and yield the port. Raises PortTakenError."""
    if not raise_file_limit(sessions + _RESERVED_FILES):
        log.warning(
            "limits.sessions is %d, and fewer files may be open: raise ulimit -n.", sessions
        )
    server = grpc.aio.server(
        interceptors=[RequestGuard(service)],
        options=rate_limits.build_server_options(sessions),
        maximum_concurrent_rpcs=rate_limits.max_open_rpcs(sessions),
    )
    intake_pb2_grpc.add_IntakeServicer_to_server(service, server)
    health_status = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health_status, server)
    reflection.enable_server_reflection(
        (SERVICE_NAME, HEALTH_SERVICE_NAME, reflection.SERVICE_NAME), server
    )
    credentials = grpc.ssl_server_credentials([(keyring.tls_key, keyring.tls_certificate)])
    try:
        port = server.add_secure_port(endpoint, credentials)
    except RuntimeError as error:
        raise PortTakenError(endpoint) from error
    await server.start()
    for name in ("", SERVICE_NAME):
        await health_status.set(name, health_pb2.HealthCheckResponse.SERVING)
    try:
        yield port
    finally:
        service.end_all_sessions()
        await asyncio.shield(server.stop(_STOP_GRACE_S))


class MalformedRequestFilter(logging.Filter):
    """Log one line a minute on malformed messages, one traceback a minute on bugs.

    gRPC logs a traceback of some ten lines for each message that is no protobuf, before our code
    sees it. Anybody can send those without a login, and could fill the disk with logs.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._logged_us: dict[bool, int] = {}  # by whether the message was malformed
        self._left_out = {True: 0, False: 0}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log; a malformed message becomes one line without a traceback."""
        error = record.exc_info[1] if record.exc_info else None
        is_malformed = isinstance(error, DecodeError)
        now_us = self._clock.monotonic_us()
        logged_us = self._logged_us.get(is_malformed)
        if logged_us is not None and now_us - logged_us < _LOG_EVERY_US:
            self._left_out[is_malformed] += 1
            return False
        self._logged_us[is_malformed] = now_us
        if is_malformed:
            count = 1 + self._left_out[True]
            record.msg = "Malformed requests refused: %d since the last such line."
            record.args = (count,)
            record.exc_info = None
            record.exc_text = None
        self._left_out[is_malformed] = 0
        return True
