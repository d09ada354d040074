"""Metadata of a gRPC call: the addresses that it passed, and what a refusal adds."""

from typing import Any, TypeAlias

import grpc

from heliograph.http_envelope import INTERMEDIARY_HEADER, parse_intermediary
from heliograph.upload import SENDER_HEADER

AnyContext: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
_FORWARDED = "x-forwarded-for"


def list_addresses(context: AnyContext) -> str:
    """Return the addresses that a call passed, with intermediaries (`find_origin`)."""
    forwarded = [
        str(value) for key, value in context.invocation_metadata() or () if key == _FORWARDED
    ]
    return ",".join([*forwarded, context.peer()])


def read_declared_place(context: AnyContext) -> str:
    return parse_intermediary(
        str(v) for key, v in context.invocation_metadata() or () if key == INTERMEDIARY_HEADER
    )


def read_sender(context: AnyContext) -> str:
    """Return the value of SENDER_HEADER, "" unless there is exactly one."""
    values = [v for key, v in context.invocation_metadata() or () if key == SENDER_HEADER]
    return str(values[0]) if len(values) == 1 else ""


def build_retry_metadata(wait_s: int) -> tuple[tuple[str, str]]:
    """Build trailing metadata of a refusal for lack of capacity."""
    return (("retry-after-s", str(wait_s)),)
