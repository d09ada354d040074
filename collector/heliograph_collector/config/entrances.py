"""The entrances that the plan announces to agents."""

import logging
from dataclasses import replace

from heliograph.plan import Carrier, Entrance
from heliograph_collector.config.settings import Config, split_endpoint

log = logging.getLogger("heliograph")

_WILDCARD_HOSTS = {"0.0.0.0", "::"}  # noqa: S104 - compared, to keep them out of announcements


def build_entrances(config: Config, grpc_port: int, post_port: int) -> tuple[Entrance, ...]:
    """Return the configured entrances, else those open to agents.

    The gRPC stream alone needs no entrance, because every agent knows it from its invite.
    """
    if config.entrances or not post_port:
        return config.entrances
    host, port = split_endpoint(config.endpoint or config.grpc)
    if host in _WILDCARD_HOSTS:
        log.warning("Agents are not told of %s: set the key endpoint or entrances.", config.post)
        return ()
    stream = Entrance(carrier=Carrier.STREAM, host=host, port=port or grpc_port)
    return stream, replace(stream, carrier=Carrier.POST, port=post_port)
