"""Convert one observation and its facts to protobuf and back."""

from collections.abc import Sequence
from functools import lru_cache

from heliograph import observation as o
from heliograph.codec.checks import (
    CodecError,
    check_count,
    check_lines,
    check_port,
    check_text,
    parse_word,
)
from heliograph.codec.encoding import build_message
from heliograph.failure import Failure, Operation
from heliograph.v1 import observation_pb2 as opb

MAX_ANSWERS = 64
MAX_LATER = 16
MAX_CHAIN = 16
MAX_HEADERS = 64
MAX_ARRIVALS = 64
MAX_REFERENCES = 32
MAX_DIFFERENCES = 32


# Servers' answers are the same from many vantages, and are decoded once. Small messages only, so
# that no agent can fill memory: 1,024 of some 8 KiB at most. Assumed.
_KEPT = 1_024
_MAX_KEPT_BYTES = 2_048


def observation_to_pb(observation: o.Observation) -> opb.Observation:
    return build_message(opb.Observation, observation)


def observation_from_pb(index: int, x: opb.Observation) -> o.Observation:
    """Decode a step. Raises CodecError.

    A collector decodes forty for each result, so that each field is read once.
    """
    has = x.HasField
    parent = x.parent if has("parent") else None
    if parent is not None and parent >= index:
        raise CodecError("observation.parent", "must name an earlier observation")
    failure = x.failure
    detail = x.failure_detail
    return o.Observation(
        operation=parse_word("observation.operation", Operation, x.operation),
        started_us=x.started_us,
        duration_us=x.duration_us,
        failure=parse_word("observation.failure", Failure, failure) if failure else None,
        failure_detail=check_lines("observation.failure_detail", detail) if detail else "",
        parent=parent,
        endpoint=check_text("observation.endpoint", x.endpoint),
        dns=_dns_from_pb(x.dns) if has("dns") else None,
        tcp=_tcp_from_pb(x.tcp) if has("tcp") else None,
        tls=_tls_from_pb(x.tls) if has("tls") else None,
        http=_http_from_pb(x.http) if has("http") else None,
        udp=_udp_from_pb(x.udp) if has("udp") else None,
        exchange=_exchange_from_pb(x.exchange) if has("exchange") else None,
        hop=_hop_from_pb(x.hop) if has("hop") else None,
    )


def _dns_from_pb(d: opb.DnsFacts) -> o.Dns:
    if d.later:
        return _decode_dns(d)
    message = d.SerializeToString()  # `ByteSize` would do so as well
    return _decode_kept_dns(message) if len(message) <= _MAX_KEPT_BYTES else _decode_dns(d)


@lru_cache(_KEPT)
def _decode_kept_dns(message: bytes) -> o.Dns:
    return _decode_dns(opb.DnsFacts.FromString(message))


def _decode_dns(d: opb.DnsFacts) -> o.Dns:
    check_count("dns.later", d.later, MAX_LATER)
    return o.Dns(
        engine=check_text("dns.engine", d.engine),
        resolver=check_text("dns.resolver", d.resolver),
        name=check_text("dns.name", d.name),
        query_type=check_text("dns.query_type", d.query_type),
        rcode=d.rcode if d.HasField("rcode") else None,
        answers=_answers_from_pb("dns.answers", d.answers),
        later=tuple(
            o.DnsReply(
                after_us=r.after_us,
                rcode=r.rcode,
                answers=_answers_from_pb("dns.later.answers", r.answers),
            )
            for r in d.later
        ),
    )


def _answers_from_pb(field_name: str, answers: Sequence[opb.DnsAnswer]) -> tuple[o.DnsAnswer, ...]:
    check_count(field_name, answers, MAX_ANSWERS)
    return tuple(
        o.DnsAnswer(
            type=check_text("dns.answer.type", a.type),
            data=check_lines("dns.answer.data", a.data),
            ttl_s=a.ttl_s,
        )
        for a in answers
    )


def _udp_from_pb(u: opb.UdpFacts) -> o.Udp:
    return o.Udp(address=check_text("udp.address", u.address), port=check_port("udp.port", u.port))


def _tcp_from_pb(t: opb.TcpFacts) -> o.Tcp:
    return _build_tcp(t.address, t.port)


@lru_cache(_KEPT)  # one that is refused is not kept
def _build_tcp(address: str, port: int) -> o.Tcp:
    return o.Tcp(address=check_text("tcp.address", address), port=check_port("tcp.port", port))


def _tls_from_pb(t: opb.TlsFacts) -> o.Tls:
    message = t.SerializeToString()
    return _decode_kept_tls(message) if len(message) <= _MAX_KEPT_BYTES else _decode_tls(t)


@lru_cache(_KEPT)
def _decode_kept_tls(message: bytes) -> o.Tls:
    return _decode_tls(opb.TlsFacts.FromString(message))


def _decode_tls(t: opb.TlsFacts) -> o.Tls:
    check_count("tls.chain", t.chain, MAX_CHAIN)
    return o.Tls(
        server_name=check_text("tls.server_name", t.server_name),
        version=check_text("tls.version", t.version),
        cipher=check_text("tls.cipher", t.cipher),
        alpn=check_text("tls.alpn", t.alpn),
        alert=t.alert if t.HasField("alert") else None,
        chain=tuple(
            o.Certificate(
                sha256=check_text("tls.chain.sha256", c.sha256, 64),
                spki_sha256=check_text("tls.chain.spki_sha256", c.spki_sha256, 64),
                subject=check_lines("tls.chain.subject", c.subject),
                issuer=check_lines("tls.chain.issuer", c.issuer),
                not_before_s=c.not_before_s,
                not_after_s=c.not_after_s,
            )
            for c in t.chain
        ),
        ech=check_text("tls.ech", t.ech, 16),
        outer_name=check_text("tls.outer_name", t.outer_name),
        profile=check_text("tls.profile", t.profile, 64),
        library=check_text("tls.library", t.library, 64),
        ja4=check_text("tls.ja4", t.ja4, 64),
        hello_bytes=t.hello_bytes,
        hello_segments=t.hello_segments,
        name_segment=t.name_segment,
    )


def _http_from_pb(h: opb.HttpFacts) -> o.Http:
    if h.arrivals:
        return _decode_http(h)
    message = h.SerializeToString()  # `ByteSize` would do so as well
    return _decode_kept_http(message) if len(message) <= _MAX_KEPT_BYTES else _decode_http(h)


@lru_cache(_KEPT)
def _decode_kept_http(message: bytes) -> o.Http:
    return _decode_http(opb.HttpFacts.FromString(message))


def _decode_http(h: opb.HttpFacts) -> o.Http:
    check_count("http.header_names", h.header_names, MAX_HEADERS)
    check_count("http.arrivals", h.arrivals, MAX_ARRIVALS)
    check_count("http.references", h.references, MAX_REFERENCES)
    return o.Http(
        method=check_text("http.method", h.method),
        url=check_lines("http.url", h.url),
        status=h.status,
        title=check_lines("http.title", h.title),
        server=check_lines("http.server", h.server),
        location=check_lines("http.location", h.location),
        body_bytes=h.body_bytes,
        coded_bytes=h.coded_bytes,
        body_sha256=check_text("http.body_sha256", h.body_sha256, 64),
        truncated=h.truncated,
        version=check_text("http.version", h.version, 8),
        header_names=_check_header_names(tuple(h.header_names)),
        text=check_lines("http.text", h.text),
        arrivals=tuple(o.Arrival(at_us=a.at_us, bytes=a.bytes) for a in h.arrivals),
        references=tuple(
            o.Reference(
                element=check_text("http.references.element", r.element, 32),
                address=check_lines("http.references.address", r.address),
            )
            for r in h.references
        ),
    )


@lru_cache(_KEPT)  # one that is refused is not kept
def _check_header_names(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(check_lines("http.header_names", name, 128) for name in names)


def _exchange_from_pb(e: opb.ExchangeFacts) -> o.Exchange:
    check_count("exchange.differences", e.differences, MAX_DIFFERENCES)
    return o.Exchange(
        protocol=check_text("exchange.protocol", e.protocol, 32),
        reply=check_text("exchange.reply", e.reply, 64),
        sent_bytes=e.sent_bytes,
        received_bytes=e.received_bytes,
        differences=tuple(check_text("exchange.differences", d, 64) for d in e.differences),
    )


def _hop_from_pb(h: opb.HopFacts) -> o.Hop:
    return o.Hop(
        ttl=h.ttl,
        sent=check_text("hop.sent", h.sent, 16),
        reply=check_text("hop.reply", h.reply, 16),
        network=check_text("hop.network", h.network, 64),
        reply_ttl=h.reply_ttl,
        reply_ipid=h.reply_ipid,
    )
