"""Label the closed vocabulary in plain words, and format text for a terminal."""

from collections.abc import Mapping
from http import HTTPStatus

from heliograph.experiments import REGISTRY
from heliograph.failure import Failure, Operation
from heliograph.observation import Dns, Exchange, Hop, Http, Observation, Tls

STEPS: Mapping[Operation, str] = {
    Operation.RESOLVE: "look up",
    Operation.CONNECT: "connect",
    Operation.TLS_HANDSHAKE: "TLS",
    Operation.QUIC_HANDSHAKE: "QUIC",
    Operation.HTTP_ROUND_TRIP: "request",
    Operation.READ_BODY: "body",
    Operation.EXCHANGE: "send",
    Operation.HOP: "hop",
}
FAILURES: Mapping[Failure, str] = {
    Failure.ADDRESS_FAMILY_NOT_SUPPORTED: "this machine has no such address family",
    Failure.ADDRESS_NOT_AVAILABLE: "this machine has no address for it",
    Failure.CONNECTION_ABORTED: "connection aborted",
    Failure.CONNECTION_REFUSED: "connection refused",
    Failure.CONNECTION_RESET: "connection reset",
    Failure.HOST_UNREACHABLE: "host unreachable",
    Failure.INVALID_ARGUMENT: "the system takes no such packet",
    Failure.MESSAGE_SIZE: "the packet is too long for the way",
    Failure.NETWORK_DOWN: "the network is down",
    Failure.NETWORK_RESET: "the network dropped the connection",
    Failure.NETWORK_UNREACHABLE: "no route from this machine",
    Failure.NO_BUFFER_SPACE: "this machine has no room left",
    Failure.NOT_CONNECTED: "not connected",
    Failure.PERMISSION_DENIED: "this machine forbids it",
    Failure.EOF_ERROR: "closed too early",
    Failure.GENERIC_TIMEOUT_ERROR: "no answer in time",
    Failure.INTERRUPTED: "interrupted",
    Failure.DNS_BOGON_ERROR: "an address that no public host has",
    Failure.DNS_NXDOMAIN_ERROR: "no such name",
    Failure.DNS_NO_ANSWER: "the name has none",
    Failure.DNS_REFUSED_ERROR: "the resolver refused",
    Failure.DNS_REPLY_WITH_WRONG_QUERY_ID: "an answer to another question",
    Failure.DNS_SERVER_MISBEHAVING: "the resolver's answer is no DNS",
    Failure.DNS_SERVFAIL_ERROR: "the resolver failed",
    Failure.DNS_NO_RESOLVER: "this machine names no resolver",
    Failure.SSL_FAILED_HANDSHAKE: "handshake failed",
    Failure.SSL_UNSUPPORTED: "a kind of TLS that this program does not speak",
    Failure.SSL_INVALID_CERTIFICATE: "certificate not valid",
    Failure.SSL_INVALID_HOSTNAME: "certificate of another host",
    Failure.SSL_UNKNOWN_AUTHORITY: "certificate of an unknown authority",
    Failure.QUIC_INCOMPATIBLE_VERSION: "no common version of QUIC",
    Failure.HTTP_INVALID_REDIRECT_LOCATION_HOST: "sent on to a host that cannot be",
    Failure.HTTP_REQUEST_FAILED: "the answer is no HTTP",
    Failure.HTTP_TRUNCATED_BODY: "shorter than announced",
    Failure.UNEXPECTED_REPLY: "answered, but not in this protocol",
    Failure.UNKNOWN_FAILURE: "a failure without a name",
}
# Failures that concern this machine and prove nothing about the target.
LOCAL_FAILURES = frozenset(
    {
        Failure.INTERRUPTED,
        Failure.ADDRESS_FAMILY_NOT_SUPPORTED,
        Failure.ADDRESS_NOT_AVAILABLE,
        Failure.DNS_NO_RESOLVER,
        Failure.NETWORK_DOWN,
        Failure.NETWORK_UNREACHABLE,
        Failure.NO_BUFFER_SPACE,
        Failure.PERMISSION_DENIED,
    }
)
_SENT: Mapping[str, str] = {"syn": "SYN", "client_hello": "ClientHello", "dns": "query"}
_PROTOCOLS: Mapping[str, str] = {
    word: label for entry in REGISTRY.values() for word, label in entry.protocols.items()
}
_REPLIES: Mapping[str, str] = {
    word: label for entry in REGISTRY.values() for word, label in entry.replies.items()
}
_CHANGES: Mapping[str, str] = {
    "http_reply": "",  # the label of the reply has the same meaning
    "header_name_capitalization": "capitals of header names",
    "request_line_capitalization": "capitals of the request line",
}


def describe_failure(step: Observation) -> str:
    """Describe a step's failure, "" for a successful step."""
    if step.failure is None:
        return ""
    description = FAILURES.get(step.failure, step.failure.value.replace("_", " "))
    if step.tls is not None and step.tls.alert is not None:
        description += f" (alert {step.tls.alert})"
    if step.failure is not Failure.HTTP_TRUNCATED_BODY and step.http and step.http.body_bytes:
        description += f" after {step.http.body_bytes:,} bytes"
    return description


def describe_request(step: Observation) -> str:
    """Describe the request and its recipient."""
    if step.dns is not None:
        return f"{step.dns.query_type} {step.dns.name} by {describe_resolver(step.dns)}"
    if step.hop is not None:
        return f"{step.hop.ttl:>2} {_SENT.get(step.hop.sent, step.hop.sent)}"
    if step.exchange is not None:
        return _describe_exchange(step, step.exchange)
    address = format_address(step)
    if address and step.tls is None:
        return address
    if step.tls is not None:
        name = f"for {step.tls.server_name}" if step.tls.server_name else "without a name"
        return f"{address} {name}".lstrip()
    if step.http is not None and step.operation is Operation.HTTP_ROUND_TRIP:
        return f"{step.http.method} {step.http.url}"
    return ""


def describe_resolver(dns: Dns) -> str:
    """Describe engine and resolver: `udp 9.9.9.9:53`, `doh dns.example`."""
    host = dns.resolver.partition("://")[2].partition("/")[0] or dns.resolver
    return f"{dns.engine} {host}".rstrip()


def describe_outcome(step: Observation) -> str:
    """Describe the outcome of a step."""
    if step.failure is not None:
        return describe_failure(step)
    if step.dns is not None:
        return _describe_answers(step.dns)
    if step.hop is not None:
        return _describe_hop(step.hop)
    if step.exchange is not None:
        return describe_reply(step.exchange)
    if step.tls is not None:
        return _describe_tls(step.tls)
    if step.http is not None:
        is_head = step.operation is Operation.HTTP_ROUND_TRIP
        return _describe_status(step.http) if is_head else _describe_body(step.http)
    return "connected"


def format_address(step: Observation) -> str:
    """Format ADDRESS:PORT of a step, "" for a step without one."""
    peer = step.tcp or step.udp
    if peer is None:
        return ""
    return f"[{peer.address}]:{peer.port}" if ":" in peer.address else f"{peer.address}:{peer.port}"


def describe_reply(exchange: Exchange) -> str:
    """Describe the reply in a protocol, and the changes of an echo."""
    description = _REPLIES.get(exchange.reply, exchange.reply.replace("_", " ")) or "answered"
    changes = describe_changes(exchange)
    return f"{description}, changed: {changes}" if changes else description


def describe_changes(exchange: Exchange) -> str:
    """Describe the differences between an echo and the request."""
    changes = (_CHANGES.get(change, change.replace("_", " ")) for change in exchange.differences)
    return ", ".join(change for change in changes if change)


def compute_rate(http: Http) -> float | None:
    """Compute bytes per second between a body's first and last recorded arrival.

    None when fewer than two arrivals, or no time between them, are recorded.
    """
    if len(http.arrivals) < 2:
        return None
    first = http.arrivals[0]
    last = http.arrivals[-1]
    elapsed_us = last.at_us - first.at_us
    return (last.bytes - first.bytes) * 1_000_000 / elapsed_us if elapsed_us > 0 else None


def format_rate(rate: float) -> str:
    """Format a rate in MB/s, kB/s or B/s."""
    for unit, size in (("MB/s", 1_000_000), ("kB/s", 1_000)):
        if rate >= size:
            return f"{rate / size:.3g} {unit}"
    return f"{rate:.0f} B/s"


def format_duration(duration_us: int) -> str:
    """Format milliseconds, or seconds from one second on."""
    if duration_us < 1_000_000:
        return f"{duration_us / 1000:.0f} ms"
    return f"{duration_us / 1e6:.2f} s"


def make_printable(value: str, width: int) -> str:
    """Make one line of at most `width` characters, without control characters.

    A control character could move the terminal's cursor.
    """
    safe = "".join(c if c.isprintable() else "·" for c in value)
    return safe if len(safe) <= width else safe[: width - 1] + "…"


def join_items(items: "list[str]", max_items: int = 6) -> str:
    """Join items as `a, b and c`; count those beyond `max_items`."""
    if len(items) > max_items:
        return f"{', '.join(items[:max_items])} and {len(items) - max_items} more"
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def _describe_exchange(step: Observation, exchange: Exchange) -> str:
    protocol = _PROTOCOLS.get(exchange.protocol, exchange.protocol.replace("_", " "))
    tls = step.tls
    address = format_address(step)
    if tls is None:
        return f"{protocol} {address}".rstrip()
    name = f"for {tls.server_name}" if tls.server_name else "without a name"
    kind = {"real": "sealed hello", "grease": "GREASE hello"}.get(tls.ech, "hello")
    kind = f"{tls.profile.split()[0].capitalize()}'s hello" if tls.profile else kind
    return f"{kind} {name}{f', outside {tls.outer_name}' if tls.outer_name else ''}"


def _describe_answers(dns: Dns) -> str:
    description = ", ".join(answer.data for answer in dns.answers) or "no records"
    for reply in dns.later[:2]:
        data = ", ".join(answer.data for answer in reply.answers) or f"rcode {reply.rcode}"
        description += f"; after {format_duration(reply.after_us)} also {data}"
    return description


def _describe_hop(hop: Hop) -> str:
    description = _REPLIES.get(hop.reply, hop.reply)
    if hop.network:
        description += f" in {hop.network}"
    if hop.reply in ("rst", "fin", "data", "dns"):
        description += f", ttl {hop.reply_ttl}, id {hop.reply_ipid}"
    return description


def _describe_tls(tls: Tls) -> str:
    parts = [tls.version or "done", f"by {tls.chain[0].issuer}" if tls.chain else "", tls.alpn]
    return ", ".join(part for part in parts if part and part not in ("h2", "http/1.1"))


def _describe_status(http: Http) -> str:
    try:
        phrase = f" {HTTPStatus(http.status).phrase}"
    except ValueError:
        phrase = ""
    location = f" → {http.location}" if http.location else ""
    return f"{http.status}{phrase}{' by HTTP/3' if http.version == '3' else ''}{location}"


def _describe_body(http: Http) -> str:
    more = ", and more" if http.truncated else ""
    rate = compute_rate(http)
    rate_text = f", {format_rate(rate)}" if rate is not None else ""
    excerpt = http.title or http.text
    title = f", “{excerpt}”" if excerpt else ""
    return f"{http.body_bytes:,} bytes{more}{rate_text}{title}"
