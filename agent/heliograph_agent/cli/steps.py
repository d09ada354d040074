"""Observations put in plain words: a line per step, and a closing sentence that judges nothing."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from http import HTTPStatus

from heliograph.failure import Failure, Operation
from heliograph.observation import Dns, Http, Observation, Tls

_FRAME = 24  # columns of a line that are neither what was asked nor what came of it
_LEAST = 20

STEPS: Mapping[Operation, str] = {
    Operation.RESOLVE: "look up",
    Operation.CONNECT: "connect",
    Operation.TLS_HANDSHAKE: "TLS",
    Operation.QUIC_HANDSHAKE: "QUIC",
    Operation.HTTP_ROUND_TRIP: "request",
    Operation.READ_BODY: "body",
}
WORDS: Mapping[Failure, str] = {
    Failure.ADDRESS_FAMILY_NOT_SUPPORTED: "this machine has no such address family",
    Failure.ADDRESS_NOT_AVAILABLE: "this machine has no address for it",
    Failure.CONNECTION_ABORTED: "connection aborted",
    Failure.CONNECTION_REFUSED: "connection refused",
    Failure.CONNECTION_RESET: "connection reset",
    Failure.HOST_UNREACHABLE: "host unreachable",
    Failure.NETWORK_DOWN: "the network is down",
    Failure.NETWORK_UNREACHABLE: "no route from this machine",
    Failure.PERMISSION_DENIED: "this machine forbids it",
    Failure.EOF_ERROR: "closed too early",
    Failure.GENERIC_TIMEOUT_ERROR: "no answer in time",
    Failure.INTERRUPTED: "interrupted",
    Failure.DNS_BOGON_ERROR: "an address that no public host has",
    Failure.DNS_NXDOMAIN_ERROR: "no such name",
    Failure.DNS_NO_ANSWER: "the name has none",
    Failure.DNS_REFUSED_ERROR: "the resolver refused",
    Failure.DNS_SERVER_MISBEHAVING: "the resolver's answer is no DNS",
    Failure.DNS_SERVFAIL_ERROR: "the resolver failed",
    Failure.DNS_NO_RESOLVER: "this machine names no resolver",
    Failure.SSL_FAILED_HANDSHAKE: "handshake failed",
    Failure.SSL_INVALID_CERTIFICATE: "certificate not valid",
    Failure.SSL_INVALID_HOSTNAME: "certificate of another host",
    Failure.SSL_UNKNOWN_AUTHORITY: "certificate of an unknown authority",
    Failure.HTTP_REQUEST_FAILED: "the answer is no HTTP",
    Failure.HTTP_TRUNCATED_BODY: "shorter than announced",
}
# What says something about this machine and nothing about the target.
OWN = frozenset(
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
_DEPTH = {operation: depth for depth, operation in enumerate(Operation)}


class Answer(StrEnum):
    """What one endpoint was seen to do. No verdict: that takes a control."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


def table(observations: Sequence[Observation], columns: int = 120) -> list[str]:
    """Aligned lines of at most `columns`, the steps of an endpoint together, as they began."""
    what, outcome = _widths(observations, columns)
    lines: list[str] = []
    for label, steps in by_endpoint(observations).items():
        lines += [label] if label else []
        lines += [_line(step, what, outcome) for step in steps]
    return lines


def closing(observations: Sequence[Observation]) -> str:
    """One sentence in three states: it answered, it did not, or nothing was seen that tells."""
    answers = {label: answer_of(steps) for label, steps in by_endpoint(observations).items()}
    if len(answers) > 1:
        return _counted(answers)
    if Answer.YES in answers.values():
        return "Observed: it answers."
    if Answer.NO in answers.values():
        last = next(s for s in _deepest(observations) if s.failure not in OWN)
        return (
            f"Observed: it fails ({STEPS[last.operation]}: {_failure(last)}). "
            "Who or what is to blame, one place alone cannot tell."
        )
    return "Observed: nothing that tells; it was stopped, or this machine could not ask."


def answer_of(steps: Sequence[Observation]) -> Answer:
    """By the deepest step that was tried: it worked once, or failed for a reason of the network."""
    deepest = _deepest(steps)
    if any(step.failure is None for step in deepest):
        return Answer.YES
    return Answer.UNKNOWN if all(step.failure in OWN for step in deepest) else Answer.NO


def by_endpoint(observations: Iterable[Observation]) -> dict[str, list[Observation]]:
    """In the order in which their visits began: steps are written down as they end."""
    groups: dict[str, list[Observation]] = {}
    for observation in sorted(observations, key=lambda step: step.started_us):
        groups.setdefault(observation.endpoint, []).append(observation)
    return groups


def printable(text: str, width: int) -> str:
    """One line of at most `width` characters that cannot move a terminal's cursor."""
    safe = "".join(c if c.isprintable() else "·" for c in text)
    return safe if len(safe) <= width else safe[: width - 1] + "…"


def _counted(answers: Mapping[str, Answer]) -> str:
    count = len(answers)
    silent = [label or "the URL itself" for label, a in answers.items() if a is Answer.NO]
    unknown = sum(a is Answer.UNKNOWN for a in answers.values())
    sentence = f"Observed: {count - len(silent) - unknown} of {count} answer"
    if silent:
        names = ", ".join(silent[:6]) + (", …" if len(silent) > 6 else "")
        sentence += f", {len(silent)} {'does' if len(silent) == 1 else 'do'} not ({names})"
    if unknown:
        sentence += f", {unknown} could not be asked from here"
    return sentence + "."


def _deepest(steps: Sequence[Observation]) -> list[Observation]:
    depth = max((_DEPTH[step.operation] for step in steps), default=0)
    return [step for step in steps if _DEPTH[step.operation] == depth]


def _widths(observations: Sequence[Observation], columns: int) -> tuple[int, int]:
    """For what was asked and what came of it: as wide as needed, as narrow as there is room."""
    what = max((len(_what(step)) for step in observations), default=0)
    outcome = max((len(_outcome(step)) for step in observations), default=0)
    room = max(columns - _FRAME, 2 * _LEAST)
    if what + outcome <= room:
        return what, outcome
    outcome = min(outcome, max(_LEAST, room // 2, room - what))
    return min(what, room - outcome), outcome


def _line(step: Observation, what: int, outcome: int) -> str:
    return (
        f"  {_mark(step)} {STEPS[step.operation]:<8} {printable(_what(step), what):<{what}}  "
        f"{printable(_outcome(step), outcome):<{outcome}} {_took(step.duration_us):>8}"
    )


def _mark(step: Observation) -> str:
    """✓ it worked, ✗ it did not, - there was nothing to be had or no way to ask."""
    if step.failure is None:
        return "✓"
    return "-" if step.failure in OWN or step.failure is Failure.DNS_NO_ANSWER else "✗"


def _failure(step: Observation) -> str:
    if step.failure is None:
        return ""
    words = WORDS.get(step.failure, step.failure.value)
    if step.tls is not None and step.tls.alert is not None:
        words += f" (alert {step.tls.alert})"
    return words


def _what(step: Observation) -> str:
    if step.dns is not None:
        return f"{step.dns.query_type} {step.dns.name} by {_way(step.dns)}"
    if step.tcp is not None:
        host = f"[{step.tcp.address}]" if ":" in step.tcp.address else step.tcp.address
        return f"{host}:{step.tcp.port}"
    if step.tls is not None:
        return f"for {step.tls.server_name}" if step.tls.server_name else "without a name"
    if step.http is not None and step.operation is Operation.HTTP_ROUND_TRIP:
        return f"{step.http.method} {step.http.url}"
    return ""


def _way(dns: Dns) -> str:
    return f"{dns.engine} {dns.resolver}".rstrip()


def _outcome(step: Observation) -> str:
    if step.failure is not None:
        return _failure(step)
    if step.dns is not None:
        return ", ".join(a.data for a in step.dns.answers) or "no records"
    if step.tls is not None:
        return _secured(step.tls)
    if step.http is not None:
        return (
            _replied(step.http) if step.operation is Operation.HTTP_ROUND_TRIP else _read(step.http)
        )
    return "connected"


def _secured(tls: Tls) -> str:
    issuer = f", by {tls.chain[0].issuer}" if tls.chain else ""
    return f"{tls.version}{issuer}"


def _replied(http: Http) -> str:
    try:
        phrase = f" {HTTPStatus(http.status).phrase}"
    except ValueError:
        phrase = ""
    to = f" → {http.location}" if http.location else ""
    return f"{http.status}{phrase}{to}"


def _read(http: Http) -> str:
    cut = ", and more" if http.truncated else ""
    title = f", “{http.title}”" if http.title else ""
    return f"{http.body_bytes:,} bytes{cut}{title}"


def _took(duration_us: int) -> str:
    return (
        f"{duration_us / 1000:.0f} ms" if duration_us < 1_000_000 else f"{duration_us / 1e6:.2f} s"
    )
