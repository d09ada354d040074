"""Label the closed vocabulary in plain words of the reader's language."""

from collections.abc import Mapping
from http import HTTPStatus

from heliograph.experiments import REGISTRY
from heliograph.failure import Failure, Operation
from heliograph.observation import Dns, Exchange, Hop, Http, Observation, Tls
from heliograph.translation import decimal_mark, mark
from heliograph.translation import translate as _

JOINERS = "\u200c\u200d"  # Persian needs them; they are invisible and reorder nothing
STEPS: Mapping[Operation, str] = {
    Operation.RESOLVE: mark("look up"),
    Operation.CONNECT: mark("connect"),
    Operation.TLS_HANDSHAKE: mark("TLS"),
    Operation.QUIC_HANDSHAKE: mark("QUIC"),
    Operation.HTTP_ROUND_TRIP: mark("request"),
    Operation.READ_BODY: mark("body"),
    Operation.EXCHANGE: mark("send"),
    Operation.HOP: mark("hop"),
}
FAILURES: Mapping[Failure, str] = {
    Failure.ADDRESS_FAMILY_NOT_SUPPORTED: mark("this machine has no such address family"),
    Failure.ADDRESS_NOT_AVAILABLE: mark("this machine has no address for it"),
    Failure.CONNECTION_ABORTED: mark("connection aborted"),
    Failure.CONNECTION_REFUSED: mark("connection refused"),
    Failure.CONNECTION_RESET: mark("connection reset"),
    Failure.HOST_UNREACHABLE: mark("host unreachable"),
    Failure.INVALID_ARGUMENT: mark("the system takes no such packet"),
    Failure.MESSAGE_SIZE: mark("the packet is too long for the way"),
    Failure.NETWORK_DOWN: mark("the network is down"),
    Failure.NETWORK_RESET: mark("the network dropped the connection"),
    Failure.NETWORK_UNREACHABLE: mark("no route from this machine"),
    Failure.NO_BUFFER_SPACE: mark("this machine has no room left"),
    Failure.NOT_CONNECTED: mark("not connected"),
    Failure.PERMISSION_DENIED: mark("this machine forbids it"),
    Failure.EOF_ERROR: mark("closed too early"),
    Failure.GENERIC_TIMEOUT_ERROR: mark("no answer in time"),
    Failure.INTERRUPTED: mark("interrupted"),
    Failure.DNS_BOGON_ERROR: mark("an address that no public host has"),
    Failure.DNS_NXDOMAIN_ERROR: mark("no such name"),
    Failure.DNS_NO_ANSWER: mark("the name has none"),
    Failure.DNS_REFUSED_ERROR: mark("the resolver refused"),
    Failure.DNS_REPLY_WITH_WRONG_QUERY_ID: mark("an answer to another question"),
    Failure.DNS_SERVER_MISBEHAVING: mark("the resolver's answer is no DNS"),
    Failure.DNS_SERVFAIL_ERROR: mark("the resolver failed"),
    Failure.DNS_NO_RESOLVER: mark("this machine names no resolver"),
    Failure.SSL_FAILED_HANDSHAKE: mark("handshake failed"),
    Failure.SSL_UNSUPPORTED: mark("a kind of TLS that this program does not speak"),
    Failure.SSL_INVALID_CERTIFICATE: mark("certificate not valid"),
    Failure.SSL_INVALID_HOSTNAME: mark("certificate of another host"),
    Failure.SSL_UNKNOWN_AUTHORITY: mark("certificate of an unknown authority"),
    Failure.QUIC_INCOMPATIBLE_VERSION: mark("no common version of QUIC"),
    Failure.HTTP_INVALID_REDIRECT_LOCATION_HOST: mark("sent on to a host that cannot be"),
    Failure.HTTP_REQUEST_FAILED: mark("the answer is no HTTP"),
    Failure.HTTP_TRUNCATED_BODY: mark("shorter than announced"),
    Failure.UNEXPECTED_REPLY: mark("answered, but not in this protocol"),
    Failure.UNKNOWN_FAILURE: mark("a failure without a name"),
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
_SENT: Mapping[str, str] = {"syn": "SYN", "client_hello": "ClientHello", "dns": mark("query")}
_PROTOCOLS: Mapping[str, str] = {
    word: label for entry in REGISTRY.values() for word, label in entry.protocols.items()
}
_ENGLISH_REPLIES: Mapping[str, str] = {
    word: label for entry in REGISTRY.values() for word, label in entry.replies.items()
}
_REPLIES: Mapping[str, str] = {  # the registry has these labels in English, for both programs
    "echo": mark("came back"),
    "http_reply": mark("a web server answered instead"),
    "server_hello_ech_accepted": mark("ServerHello, name decrypted"),
    "hello_retry": mark("asked for another hello"),
    "time_exceeded": mark("router"),
    "rst": mark("reset"),
    "fin": mark("closed"),
    "unreachable": mark("unreachable"),
    "dns": mark("DNS answer"),
    "data": mark("data"),
}
_CHANGES: Mapping[str, str] = {
    "http_reply": "",  # the label of the reply has the same meaning
    "header_name": mark("header names"),
    "header_name_capitalization": mark("capitals of header names"),
    "header_number": mark("number of headers"),
    "header_order": mark("order of headers"),
    "header_value": mark("header values"),
    "request_line": mark("the request line"),
    "request_line_capitalization": mark("capitals of the request line"),
}
_MAX_BYTES = 10_000  # a size is exact below


def describe_failure(step: Observation) -> str:
    """Describe a step's failure, "" for a successful step."""
    if step.failure is None:
        return ""
    description = label_failure(step.failure)
    if step.tls is not None and step.tls.alert is not None:
        alert = _("alert {n}").format(n=step.tls.alert)
        description = f"{description} ({alert})"
    if step.failure is not Failure.HTTP_TRUNCATED_BODY and step.http and step.http.body_bytes:
        description = _("{failure} after {size}").format(
            failure=description, size=format_size(step.http.body_bytes)
        )
    return description


def label_failure(failure: Failure) -> str:
    """Return the failure in plain words."""
    return _(FAILURES[failure]) if failure in FAILURES else failure.value.replace("_", " ")


def describe_request(step: Observation) -> str:
    """Describe the request and its recipient."""
    if step.dns is not None:
        return _("{query} by {resolver}").format(
            query=f"{step.dns.query_type} {step.dns.name}", resolver=describe_resolver(step.dns)
        )
    if step.hop is not None:
        return f"{step.hop.ttl:>2} {_(_SENT.get(step.hop.sent, step.hop.sent))}"
    if step.exchange is not None:
        return _describe_exchange(step, step.exchange)
    address = format_address(step)
    if address and step.tls is None:
        return address
    if step.tls is not None:
        return f"{address} {_describe_name(step.tls)}".lstrip()
    if step.http is not None and step.operation is Operation.HTTP_ROUND_TRIP:
        return f"{step.http.method} {step.http.url}"
    return ""


def describe_resolver(dns: Dns) -> str:
    """Describe engine and resolver: `udp 9.9.9.9:53`, `doh dns.example`."""
    if dns.engine == "system":
        return dns.engine
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
    return _("connected")


def format_address(step: Observation) -> str:
    """Format ADDRESS:PORT of a step, "" for a step without one."""
    peer = step.tcp or step.udp
    if peer is None:
        return ""
    return f"[{peer.address}]:{peer.port}" if ":" in peer.address else f"{peer.address}:{peer.port}"


def describe_reply(exchange: Exchange) -> str:
    """Describe the reply in a protocol, and the changes of an echo."""
    description = _label_reply(exchange.reply) or _("answered")
    changes = describe_changes(exchange)
    if not changes:
        return description
    return _("{reply}, changed: {changes}").format(reply=description, changes=changes)


def describe_changes(exchange: Exchange) -> str:
    """Describe the differences between an echo and the request."""
    changes = (_CHANGES.get(change, change.replace("_", " ")) for change in exchange.differences)
    return _(", ").join(_(change) for change in changes if change)


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
    if rate >= 1_000_000:
        return _("{n} MB/s").format(n=decimal_mark(f"{rate / 1_000_000:.3g}"))
    if rate >= 1_000:
        return _("{n} kB/s").format(n=decimal_mark(f"{rate / 1_000:.3g}"))
    return _("{n} B/s").format(n=f"{rate:.0f}")


def format_size(size: int) -> str:
    """Format a number of bytes; kB and MB have three digits."""
    if size >= 1_000_000:
        return _("{n} MB").format(n=decimal_mark(f"{size / 1_000_000:.3g}"))
    if size >= _MAX_BYTES:
        return _("{n} kB").format(n=decimal_mark(f"{size / 1_000:.3g}"))
    return _("{n} bytes").format(n=size)


def format_duration(duration_us: int) -> str:
    """Format milliseconds, or seconds from one second on."""
    if duration_us < 1_000_000:
        return _("{n} ms").format(n=f"{duration_us / 1000:.0f}")
    return _("{n} s").format(n=decimal_mark(f"{duration_us / 1e6:.2f}"))


def make_printable(value: str, width: int) -> str:
    """Make one line of at most `width` characters, without control characters.

    A control character could move the terminal's cursor.
    """
    safe = "".join(c if c.isprintable() or c in JOINERS else "·" for c in value)
    return safe if len(safe) <= width else safe[: width - 1] + "…"


def join_items(items: "list[str]", max_items: int = 6) -> str:
    """Join items as `a, b and c`; count those beyond `max_items`."""
    if len(items) > max_items:
        return _("{items} and {n} more").format(
            items=_(", ").join(items[:max_items]), n=len(items) - max_items
        )
    if len(items) < 2:
        return "".join(items)
    return _("{items} and {last}").format(items=_(", ").join(items[:-1]), last=items[-1])


def _label_reply(reply: str) -> str:
    if reply in _REPLIES:
        return _(_REPLIES[reply])
    kind, _underscore, number = reply.rpartition("_")
    if kind == "alert" and number.isdecimal():
        return _("alert {n}").format(n=number)
    if kind == "progress":  # of Tor's start
        return _("{n} % done").format(n=number)
    return _ENGLISH_REPLIES.get(reply, reply.replace("_", " "))


def _describe_name(tls: Tls) -> str:
    if not tls.server_name:
        return _("without a name")
    return _("for {name}").format(name=tls.server_name)


def _describe_exchange(step: Observation, exchange: Exchange) -> str:
    protocol = _PROTOCOLS.get(exchange.protocol, exchange.protocol.replace("_", " "))
    tls = step.tls
    address = format_address(step)
    if tls is None:
        return f"{protocol} {address}".rstrip()
    kind = {"real": "ECH hello", "grease": "GREASE hello"}.get(tls.ech, "hello")
    kind = f"{tls.profile.split()[0].capitalize()} hello" if tls.profile else kind
    outer = f" ({tls.outer_name})" if tls.outer_name else ""
    return f"{kind} {_describe_name(tls)}{outer}"


def _describe_answers(dns: Dns) -> str:
    parts = [", ".join(answer.data for answer in dns.answers) or _("no records")]
    for reply in dns.later[:2]:
        data = ", ".join(answer.data for answer in reply.answers) or f"rcode {reply.rcode}"
        parts.append(
            _("after {time} also {answer}").format(
                time=format_duration(reply.after_us), answer=data
            )
        )
    return "; ".join(parts)


def _describe_hop(hop: Hop) -> str:
    description = _label_reply(hop.reply)
    if hop.network:
        description += f", {hop.network}"
    if hop.reply in ("rst", "fin", "data", "dns"):
        description += f", ttl {hop.reply_ttl}, id {hop.reply_ipid}"
    return description


def _describe_tls(tls: Tls) -> str:
    issuer = _("certificate by {issuer}").format(issuer=tls.chain[0].issuer) if tls.chain else ""
    parts = [tls.version or _("done"), issuer, tls.alpn]
    return ", ".join(part for part in parts if part and part not in ("h2", "http/1.1"))


def _describe_status(http: Http) -> str:
    try:
        phrase = f" {HTTPStatus(http.status).phrase}"
    except ValueError:
        phrase = ""
    location = f" → {http.location}" if http.location else ""
    return f"{http.status}{phrase}{', HTTP/3' if http.version == '3' else ''}{location}"


def _describe_body(http: Http) -> str:
    rate = compute_rate(http)
    excerpt = http.title or http.text
    parts = [describe_size(http), format_rate(rate) if rate is not None else ""]
    return ", ".join([*filter(None, parts), *([f"“{excerpt}”"] if excerpt else [])])


def describe_size(http: Http) -> str:
    """Describe how much of a body came, and whether it went on."""
    size = format_size(http.body_bytes)
    return _("more than {size}").format(size=size) if http.truncated else size
