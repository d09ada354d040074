"""Convert plans to protobuf and back."""

from collections.abc import Sequence

from heliograph import plan as p
from heliograph.codec.checks import (
    CodecError,
    check_count,
    check_host,
    check_port,
    check_text,
)
from heliograph.codec.encoding import build_message
from heliograph.v1 import plan_pb2 as ppb

MAX_ENTRANCES = 16
MAX_ADDRESSES = 8  # addresses of one entrance
PIN = 32
_FUNCTIONS = frozenset(p.ServiceFunction)
_KINDS = frozenset(p.EndpointKind)


def plan_to_pb(plan: p.Plan) -> ppb.Plan:
    return build_message(ppb.Plan, plan, entrances=[entrance_to_pb(e) for e in plan.entrances])


def plan_from_pb(plan: ppb.Plan) -> p.Plan:
    """Decode a plan. Raises CodecError."""
    return p.Plan(
        version=plan.version,
        issued_s=plan.issued_s,
        expires_s=plan.expires_s,
        services_version=check_text("services_version", plan.services_version),
        services=tuple(_service_from_pb(s) for s in plan.services),
        tasks=tuple(
            p.PlannedTask(
                experiment=check_text("tasks.experiment", t.experiment),
                service=check_text("tasks.service", t.service),
                target=check_text("tasks.target", t.target),
                interval_s=t.interval_s,
                options=dict(t.options),
                role=check_text("tasks.role", t.role),
            )
            for t in plan.tasks
        ),
        limits=p.Limits(
            bytes_per_month=plan.limits.bytes_per_month,
            concurrency=plan.limits.concurrency,
            target_pause_s=plan.limits.target_pause_s,
        ),
        heartbeat_s=plan.heartbeat_s,
        entrances=entrances_from_pb(plan.entrances),
        beacon_zone=check_host("beacon_zone", plan.beacon_zone),
        fixed_schedule=plan.fixed_schedule,
        hello_profiles=plan.hello_profiles,
        newest_version=check_text("newest_version", plan.newest_version),
        insecure_before=check_text("insecure_before", plan.insecure_before),
    )


def entrance_to_pb(entrance: p.Entrance) -> ppb.Entrance:
    return build_message(ppb.Entrance, entrance, pin=bytes.fromhex(entrance.pin))


def entrances_from_pb(entrances: Sequence[ppb.Entrance]) -> tuple[p.Entrance, ...]:
    """Decode the entrances whose carrier this version knows. Raises CodecError."""
    check_count("entrances", entrances, MAX_ENTRANCES)
    carriers = frozenset(p.Carrier)
    return tuple(_entrance_from_pb(e) for e in entrances if e.carrier in carriers)


def _entrance_from_pb(e: ppb.Entrance) -> p.Entrance:
    check_count("entrance.addresses", e.addresses, MAX_ADDRESSES)
    if len(e.pin) != (PIN if e.carrier == p.Carrier.RELAY else 0):
        raise CodecError("entrance.pin", f"a relay has one of {PIN} bytes, and nobody else any")
    return p.Entrance(
        carrier=p.Carrier(e.carrier),
        host=check_host("entrance.host", e.host),
        port=check_port("entrance.port", e.port),
        addresses=tuple(check_text("entrance.addresses", a, 64) for a in e.addresses),
        server_name=check_host("entrance.server_name", e.server_name),
        pin=e.pin.hex(),
    )


def _service_from_pb(s: ppb.Service) -> p.Service:
    return p.Service(
        name=check_text("service.name", s.name),
        title=check_text("service.title", s.title),
        experiment=check_text("service.experiment", s.experiment),
        endpoints=tuple(
            p.Endpoint(
                id=check_text("endpoint.id", e.id),
                kind=p.EndpointKind(e.kind),
                host=check_text("endpoint.host", e.host, 253),
                port=check_port("endpoint.port", e.port),
                path=check_text("endpoint.path", e.path) or "/",
                method=check_text("endpoint.method", e.method, 16) or "GET",
                group=check_text("endpoint.group", e.group),
                trust=check_text("endpoint.trust", e.trust),
                alpn=_texts("endpoint.alpn", e.alpn, p.MAX_ALPN),
                addresses=_texts("endpoint.addresses", e.addresses, p.MAX_BUILT_IN),
                resolver=_check_resolver(e.resolver),
            )
            for e in s.endpoints
            if e.kind in _KINDS  # a later version may know others
        ),
        functions=tuple(
            p.FunctionGroups(
                function=p.ServiceFunction(f.function),
                groups=tuple(check_text("service.groups", group) for group in f.groups),
            )
            for f in s.functions
            if f.function in _FUNCTIONS  # a later version may know others
        ),
        stages=_stages_from_pb(s.stages),
        roots=_roots_from_pb(s.roots),
    )


def _stages_from_pb(stages: Sequence[ppb.ConnectStage]) -> tuple[p.ConnectStage, ...]:
    check_count("service.stages", stages, p.MAX_STAGES)
    return tuple(
        p.ConnectStage(
            endpoints=_texts("stage.endpoints", stage.endpoints, p.MAX_STAGE_ENDPOINTS),
            seconds=min(stage.seconds, p.MAX_STAGE_S),
            if_unresolved=stage.if_unresolved,
        )
        for stage in stages
    )


def _roots_from_pb(roots: Sequence[bytes]) -> tuple[bytes, ...]:
    check_count("service.roots", roots, p.MAX_ROOTS)
    if any(len(root) > p.MAX_ROOT_BYTES for root in roots):
        raise CodecError("service.roots", f"a certificate has at most {p.MAX_ROOT_BYTES} bytes")
    return tuple(roots)


def _check_resolver(url: str) -> str:
    if url and not url.startswith("https://"):
        raise CodecError("endpoint.resolver", "is no https URL")
    return check_text("endpoint.resolver", url, 253)


def _texts(field_name: str, texts: Sequence[str], most: int) -> tuple[str, ...]:
    check_count(field_name, texts, most)
    return tuple(check_text(field_name, text) for text in texts)
