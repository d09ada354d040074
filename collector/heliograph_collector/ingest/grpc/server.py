"""gRPC server around the Intake service: TLS, limits, health and reflection."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha import reflection

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
