"""Dataclass ↔ protobuf, both ways, and nothing else.

Decoding raises CodecError, which names the field, on a word outside the vocabulary or a text that
is too long.
"""

from enum import StrEnum
from typing import TypeVar

from heliograph import observation as o
from heliograph import plan as p
from heliograph.failure import Failure, Operation
from heliograph.v1 import observation_pb2 as opb
from heliograph.v1 import plan_pb2 as ppb

MAX_TEXT = 2_048  # characters of any one text field
MAX_OBSERVATIONS = 512
MAX_ANSWERS = 64
MAX_CHAIN = 16

_Word = TypeVar("_Word", bound=StrEnum)


class CodecError(ValueError):
    """A message that is well-formed protobuf and yet not ours; `place` names the field."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}")
        self.place = place


def measurement_to_pb(m: o.Measurement) -> opb.Measurement:
    return opb.Measurement(
        sequence=m.sequence,
        experiment=m.experiment,
        experiment_version=m.experiment_version,
        service=m.service,
        target=m.target,
        started_us=m.started_us,
        monotonic_us=m.monotonic_us,
        boot=m.boot,
        runtime_us=m.runtime_us,
        epoch=m.epoch,
        link=m.link,
        plan_version=m.plan_version,
        services_version=m.services_version,
        not_measured=m.not_measured,
        observations=[_observation_to_pb(x) for x in m.observations],
        clock_offset_us=m.clock_offset_us,
    )


def measurement_from_pb(m: opb.Measurement) -> o.Measurement:
    """Raises CodecError."""
    if len(m.observations) > MAX_OBSERVATIONS:
        raise CodecError("observations", f"more than {MAX_OBSERVATIONS}")
    return o.Measurement(
        sequence=m.sequence,
        experiment=_text("experiment", m.experiment),
        experiment_version=m.experiment_version,
        service=_text("service", m.service),
        target=_text("target", m.target),
        started_us=m.started_us,
        monotonic_us=m.monotonic_us,
        boot=_text("boot", m.boot),
        runtime_us=m.runtime_us,
        epoch=_text("epoch", m.epoch),
        link=_word("link", o.Link, m.link),
        plan_version=m.plan_version,
        services_version=_text("services_version", m.services_version),
        not_measured=_text("not_measured", m.not_measured),
        observations=tuple(
            _observation_from_pb(index, x) for index, x in enumerate(m.observations)
        ),
        clock_offset_us=m.clock_offset_us if m.HasField("clock_offset_us") else None,
    )


def epoch_to_pb(e: o.Epoch) -> opb.Epoch:
    return opb.Epoch(
        id=e.id,
        started_us=e.started_us,
        country=e.country,
        region=e.region,
        access=e.access,
        ipv4=e.ipv4,
        ipv6=e.ipv6,
    )


def epoch_from_pb(e: opb.Epoch) -> o.Epoch:
    """Raises CodecError."""
    return o.Epoch(
        id=_text("epoch.id", e.id),
        started_us=e.started_us,
        country=_text("epoch.country", e.country, 2),
        region=_text("epoch.region", e.region, 16),
        access=_word("epoch.access", o.Access, e.access),
        ipv4=e.ipv4,
        ipv6=e.ipv6,
    )


def plan_to_pb(plan: p.Plan) -> ppb.Plan:
    return ppb.Plan(
        version=plan.version,
        issued_s=plan.issued_s,
        expires_s=plan.expires_s,
        services_version=plan.services_version,
        services=[_service_to_pb(s) for s in plan.services],
        tasks=[
            ppb.PlannedTask(
                experiment=t.experiment,
                service=t.service,
                target=t.target,
                interval_s=t.interval_s,
                options=t.options,
            )
            for t in plan.tasks
        ],
        limits=ppb.Limits(
            bytes_per_month=plan.limits.bytes_per_month,
            concurrency=plan.limits.concurrency,
            target_pause_s=plan.limits.target_pause_s,
        ),
        heartbeat_s=plan.heartbeat_s,
    )


def plan_from_pb(plan: ppb.Plan) -> p.Plan:
    """Raises CodecError."""
    return p.Plan(
        version=plan.version,
        issued_s=plan.issued_s,
        expires_s=plan.expires_s,
        services_version=_text("services_version", plan.services_version),
        services=tuple(_service_from_pb(s) for s in plan.services),
        tasks=tuple(
            p.PlannedTask(
                experiment=_text("tasks.experiment", t.experiment),
                service=_text("tasks.service", t.service),
                target=_text("tasks.target", t.target),
                interval_s=t.interval_s,
                options=dict(t.options),
            )
            for t in plan.tasks
        ),
        limits=p.Limits(
            bytes_per_month=plan.limits.bytes_per_month,
            concurrency=plan.limits.concurrency,
            target_pause_s=plan.limits.target_pause_s,
        ),
        heartbeat_s=plan.heartbeat_s,
    )


def _service_to_pb(s: p.Service) -> ppb.Service:
    return ppb.Service(
        name=s.name,
        title=s.title,
        experiment=s.experiment,
        endpoints=[
            ppb.Endpoint(
                id=e.id,
                kind=e.kind,
                host=e.host,
                port=e.port,
                path=e.path,
                method=e.method,
                group=e.group,
                trust=e.trust,
            )
            for e in s.endpoints
        ],
    )


def _service_from_pb(s: ppb.Service) -> p.Service:
    return p.Service(
        name=_text("service.name", s.name),
        title=_text("service.title", s.title),
        experiment=_text("service.experiment", s.experiment),
        endpoints=tuple(
            p.Endpoint(
                id=_text("endpoint.id", e.id),
                kind=_word("endpoint.kind", p.EndpointKind, e.kind),
                host=_text("endpoint.host", e.host, 253),
                port=_port("endpoint.port", e.port),
                path=_text("endpoint.path", e.path) or "/",
                method=_text("endpoint.method", e.method, 16) or "GET",
                group=_text("endpoint.group", e.group),
                trust=_text("endpoint.trust", e.trust),
            )
            for e in s.endpoints
        ),
    )


def _observation_to_pb(x: o.Observation) -> opb.Observation:
    return opb.Observation(
        operation=x.operation,
        started_us=x.started_us,
        duration_us=x.duration_us,
        failure=x.failure or "",
        failure_detail=x.failure_detail,
        parent=x.parent,
        endpoint=x.endpoint,
        dns=None if x.dns is None else _dns_to_pb(x.dns),
        tcp=None if x.tcp is None else opb.TcpFacts(address=x.tcp.address, port=x.tcp.port),
        tls=None if x.tls is None else _tls_to_pb(x.tls),
        http=None if x.http is None else _http_to_pb(x.http),
    )


def _observation_from_pb(index: int, x: opb.Observation) -> o.Observation:
    if x.HasField("parent") and x.parent >= index:
        raise CodecError("observation.parent", "must name an earlier observation")
    return o.Observation(
        operation=_word("observation.operation", Operation, x.operation),
        started_us=x.started_us,
        duration_us=x.duration_us,
        failure=_word("observation.failure", Failure, x.failure) if x.failure else None,
        failure_detail=_text("observation.failure_detail", x.failure_detail),
        parent=x.parent if x.HasField("parent") else None,
        endpoint=_text("observation.endpoint", x.endpoint),
        dns=_dns_from_pb(x.dns) if x.HasField("dns") else None,
        tcp=_tcp_from_pb(x.tcp) if x.HasField("tcp") else None,
        tls=_tls_from_pb(x.tls) if x.HasField("tls") else None,
        http=_http_from_pb(x.http) if x.HasField("http") else None,
    )


def _dns_to_pb(d: o.Dns) -> opb.DnsFacts:
    return opb.DnsFacts(
        engine=d.engine,
        resolver=d.resolver,
        name=d.name,
        query_type=d.query_type,
        rcode=d.rcode,
        answers=[opb.DnsAnswer(type=a.type, data=a.data, ttl_s=a.ttl_s) for a in d.answers],
    )


def _dns_from_pb(d: opb.DnsFacts) -> o.Dns:
    if len(d.answers) > MAX_ANSWERS:
        raise CodecError("dns.answers", f"more than {MAX_ANSWERS}")
    return o.Dns(
        engine=_text("dns.engine", d.engine),
        resolver=_text("dns.resolver", d.resolver),
        name=_text("dns.name", d.name),
        query_type=_text("dns.query_type", d.query_type),
        rcode=d.rcode if d.HasField("rcode") else None,
        answers=tuple(
            o.DnsAnswer(
                type=_text("dns.answer.type", a.type),
                data=_text("dns.answer.data", a.data),
                ttl_s=a.ttl_s,
            )
            for a in d.answers
        ),
    )


def _tcp_from_pb(t: opb.TcpFacts) -> o.Tcp:
    return o.Tcp(address=_text("tcp.address", t.address), port=_port("tcp.port", t.port))


def _tls_to_pb(t: o.Tls) -> opb.TlsFacts:
    return opb.TlsFacts(
        server_name=t.server_name,
        version=t.version,
        cipher=t.cipher,
        alpn=t.alpn,
        alert=t.alert,
        chain=[
            opb.CertificateFacts(
                sha256=c.sha256,
                spki_sha256=c.spki_sha256,
                subject=c.subject,
                issuer=c.issuer,
                not_before_s=c.not_before_s,
                not_after_s=c.not_after_s,
            )
            for c in t.chain
        ],
    )


def _tls_from_pb(t: opb.TlsFacts) -> o.Tls:
    if len(t.chain) > MAX_CHAIN:
        raise CodecError("tls.chain", f"more than {MAX_CHAIN}")
    return o.Tls(
        server_name=_text("tls.server_name", t.server_name),
        version=_text("tls.version", t.version),
        cipher=_text("tls.cipher", t.cipher),
        alpn=_text("tls.alpn", t.alpn),
        alert=t.alert if t.HasField("alert") else None,
        chain=tuple(
            o.Certificate(
                sha256=_text("tls.chain.sha256", c.sha256, 64),
                spki_sha256=_text("tls.chain.spki_sha256", c.spki_sha256, 64),
                subject=_text("tls.chain.subject", c.subject),
                issuer=_text("tls.chain.issuer", c.issuer),
                not_before_s=c.not_before_s,
                not_after_s=c.not_after_s,
            )
            for c in t.chain
        ),
    )


def _http_to_pb(h: o.Http) -> opb.HttpFacts:
    return opb.HttpFacts(
        method=h.method,
        url=h.url,
        status=h.status,
        title=h.title,
        server=h.server,
        location=h.location,
        body_bytes=h.body_bytes,
        body_sha256=h.body_sha256,
        truncated=h.truncated,
    )


def _http_from_pb(h: opb.HttpFacts) -> o.Http:
    return o.Http(
        method=_text("http.method", h.method),
        url=_text("http.url", h.url),
        status=h.status,
        title=_text("http.title", h.title),
        server=_text("http.server", h.server),
        location=_text("http.location", h.location),
        body_bytes=h.body_bytes,
        body_sha256=_text("http.body_sha256", h.body_sha256, 64),
        truncated=h.truncated,
    )


def _text(place: str, value: str, limit: int = MAX_TEXT) -> str:
    if len(value) > limit:
        raise CodecError(place, f"longer than {limit} characters")
    return value


def _port(place: str, value: int) -> int:
    if value > 65_535:
        raise CodecError(place, f"{value} is no port")
    return value


def _word(place: str, words: type[_Word], value: str) -> _Word:
    try:
        return words(value)
    except ValueError:
        raise CodecError(place, f"{value[:64]!r} is outside the vocabulary") from None
