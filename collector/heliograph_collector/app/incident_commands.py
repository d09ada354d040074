"""Incidents for the command line: what is logged, and entries by the running collector."""

import asyncio
from pathlib import Path

import msgspec

from heliograph_collector.config.errors import CannotServeError
from heliograph_collector.console.incident_commands import (
    build_request,
    describe_incident,
    describe_publication,
    read_incidents,
)
from heliograph_collector.console.incident_socket import EntryRequest, NoReplyError, send_request
from heliograph_collector.console.publication import Publication

__all__ = [
    "build_request",
    "describe_incident",
    "describe_publication",
    "publish",
    "read_incidents",
    "request_preview",
]


def request_preview(data: Path, request: EntryRequest) -> Publication:
    """Ask what readers would see. Raises CannotServeError."""
    try:
        reply = asyncio.run(send_request(data, request))
    except NoReplyError as error:
        raise CannotServeError(
            f"nothing was published: the collector on {data} {error}."
        ) from error
    except UnicodeEncodeError as error:
        raise CannotServeError(
            "nothing was published: the text or name is not in UTF-8; set this terminal to it."
        ) from error
    except OSError as error:
        raise CannotServeError(
            f"no collector that leads runs on {data} ({error}): start `serve`, and in a cluster "
            "run this command where the leader runs."
        ) from error
    if reply.publication is None:
        raise CannotServeError(f"nothing was published: {reply.refusal}")
    return reply.publication


def publish(data: Path, request: EntryRequest, shown: Publication) -> None:
    """Publish what was shown. Raises CannotServeError."""
    try:
        reply = asyncio.run(send_request(data, msgspec.structs.replace(request, shown=shown)))
    except OSError as error:
        raise CannotServeError(
            f"nothing was published: the collector on {data} has ended ({error}); start `serve`."
        ) from error
    except NoReplyError as error:  # it may have been written before that
        raise CannotServeError(
            f"the collector on {data} {error}; `incidents show {request.operator_entry.incident}` "
            "tells whether it was published."
        ) from error
    if reply.publication is None:
        raise CannotServeError(f"nothing was published: {reply.refusal}")
