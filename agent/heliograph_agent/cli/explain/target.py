"""Explain one target: the last step that worked, and causes of the failure."""

from collections.abc import Mapping, Sequence

from heliograph.failure import Failure, Operation
from heliograph.observation import Http, Observation
from heliograph_agent.cli.labels import (
    LOCAL_FAILURES,
    describe_failure,
    describe_outcome,
    describe_reply,
)
from heliograph_agent.cli.observation_tree import EndpointAnswer, classify_answer, deepest_steps

Groups = Mapping[str, Sequence[Observation]]
ONLY_A_CONTROL = "only a comparison with a control can tell which"
NOTHING = (
    "Nothing that tells was seen: it was stopped, or this machine had no way to ask. "
    "That says nothing about the target."
)
_CERTIFICATE = (
    Failure.SSL_INVALID_CERTIFICATE,
    Failure.SSL_INVALID_HOSTNAME,
    Failure.SSL_UNKNOWN_AUTHORITY,
)
_SELF_EXPLANATORY = (  # their labels repeat the sentence
    Failure.DNS_NXDOMAIN_ERROR,
    Failure.DNS_NO_ANSWER,
    Failure.DNS_BOGON_ERROR,
    Failure.UNEXPECTED_REPLY,
)
REFUSALS = (Failure.CONNECTION_REFUSED, Failure.CONNECTION_RESET)
_REDIRECTS = "redirect-"


def explain_target(target: str, steps: Sequence[Observation]) -> str:
    """Explain the result for one target."""
    answer = classify_answer(steps)
    if answer is EndpointAnswer.UNKNOWN:
        return NOTHING
    if answer is EndpointAnswer.NO:
        return explain_stop(steps)
    last = next(step for step in deepest_steps(steps) if step.failure is None)
    return _explain_success(target, last)


def explain_stop(steps: Sequence[Observation]) -> str:
    """Explain the step that failed and its possible causes."""
    last = [step for step in deepest_steps(steps) if step.failure not in LOCAL_FAILURES][-1]
    description, hypotheses = describe_stage(last)
    detail = "" if last.failure in _SELF_EXPLANATORY else f" ({_describe_detail(last)})"
    return f"{description}{detail}. That looks like {hypotheses}; {ONLY_A_CONTROL}."


def describe_stage(step: Observation) -> tuple[str, str]:
    """Describe the step that failed, and its two possible causes."""
    operation = step.operation
    if operation is Operation.RESOLVE:
        return _explain_lookup(step)
    if operation is Operation.CONNECT:
        return _explain_connect(step)
    is_tls = step.tls is not None and step.failure is not Failure.UNEXPECTED_REPLY
    if is_tls and operation is not Operation.HOP:
        return _explain_handshake(step)
    if operation is Operation.HTTP_ROUND_TRIP:
        if step.failure is Failure.HTTP_REQUEST_FAILED:
            return "Somebody answered the request, and not as a web server", _STRANGER
        return "The request was sent and not answered", _INTERFERENCE.format("with the request")
    if operation is Operation.READ_BODY:
        return (
            "The answer began and did not come to its end",
            "a connection that is cut or frozen on the way, or a fault of that server",
        )
    return _explain_exchange(step)


_STRANGER = "a proxy or another server in its place, or a fault of that server"
_INTERFERENCE = "interference {}, or a fault of that server"
# A refusal over UDP is an ICMP message: its sender received the packet, so nothing was dropped.
_REJECTION = "a server that does not listen there, or a refusal by somebody in between"


def _explain_lookup(step: Observation) -> tuple[str, str]:
    if step.failure is Failure.DNS_NXDOMAIN_ERROR:
        return (
            "The resolver says that there is no such name",
            "a resolver that hides it, or a name that does not exist",
        )
    if step.failure is Failure.DNS_BOGON_ERROR:
        return (
            "The name leads to an address that no public host has",
            "a forged answer, or an error",
        )
    if step.failure is Failure.DNS_NO_ANSWER:
        return "The name has no address", "a resolver that hides it, or a name without one"
    return (
        "The name could not be looked up",
        "a resolver that hides it, or one that is out of order",
    )


def _explain_connect(step: Observation) -> tuple[str, str]:
    if step.failure in REFUSALS:
        return (
            "No connection came about, somebody turned it away",
            "a server that does not listen there, or a reset by somebody in between",
        )
    return (
        "No connection came about",
        "packets that are dropped on the way, or a server that is down",
    )


def _explain_handshake(step: Observation) -> tuple[str, str]:
    if step.failure in _CERTIFICATE:
        return (
            "Somebody answered who could not prove to be that server",
            "an interception, or a server that is set up wrongly",
        )
    if step.operation is Operation.QUIC_HANDSHAKE:
        if step.failure in REFUSALS:
            return "QUIC did not come about, somebody turned it away", _REJECTION
        return "QUIC did not come about", "QUIC that is dropped on the way, or a server without it"
    name = bool(step.tls and step.tls.server_name)
    sent = "the name" if name else "the hello"
    if step.tls is not None and step.tls.alert is not None:  # also with no failure at all
        description = "The handshake was turned away"
    elif step.failure in (Failure.CONNECTION_RESET, Failure.EOF_ERROR):
        description = f"The connection was broken off once {sent} was sent"
    else:
        description = f"There was a connection, and no answer once {sent} was sent"
    return description, _INTERFERENCE.format("with that name" if name else "with TLS")


def _explain_exchange(step: Observation) -> tuple[str, str]:
    if step.failure is Failure.UNEXPECTED_REPLY:
        return "Somebody answered, and not in the protocol asked for", _STRANGER
    if step.failure is None:
        return "Somebody answered and turned us away", _INTERFERENCE.format("with the protocol")
    if step.udp is not None and step.failure in REFUSALS:
        return "No answer came, somebody turned the packet away", _REJECTION
    if step.udp is not None:
        return "No answer came", "packets that are dropped on the way, or a server that is down"
    return (
        "There was a connection, and the first message was not answered",
        _INTERFERENCE.format("with the protocol"),
    )


def _describe_detail(step: Observation) -> str:
    if step.failure is None and step.exchange is not None:
        return describe_reply(step.exchange)
    if step.tls is not None and step.tls.alert is not None:
        return f"alert {step.tls.alert}"
    return describe_failure(step)


_WORKED: Mapping[Operation, tuple[str, str]] = {
    Operation.RESOLVE: ("has an address", "whether it is the true one"),
    Operation.CONNECT: ("takes connections", "who it is that takes them"),
    Operation.TLS_HANDSHAKE: ("shook hands", "whether what lies behind it works"),
    Operation.QUIC_HANDSHAKE: ("shook hands by QUIC", "whether what lies behind it works"),
    Operation.HTTP_ROUND_TRIP: ("answered", "whether others get the same"),
    Operation.READ_BODY: ("answered", "whether others get the same"),
    Operation.EXCHANGE: ("answered", "whether it keeps working"),
    Operation.HOP: ("answered", "who it was"),
}


def _explain_success(target: str, last: Observation) -> str:
    verb_phrase, open_question = _WORKED[last.operation]
    detail = "" if last.operation is Operation.CONNECT else f" ({describe_outcome(last)})"
    return f"{target} {verb_phrase}{detail}. This cannot tell {open_question}."


def explain_web(target: str, groups: Groups) -> str:
    """Explain the last page of the redirect chain, which is the page that a user gets."""
    chain = [label for label in groups if not label or label.startswith(_REDIRECTS)]
    steps = groups[chain[-1]] if chain else [s for each in groups.values() for s in each]
    hops = len(chain) - 1
    prefix = f"After {hops} redirect{'s' if hops > 1 else ''}: " if hops > 0 else ""
    answer = classify_answer(steps)
    last = deepest_steps(steps)[-1]
    if answer is not EndpointAnswer.YES or last.operation is not Operation.READ_BODY:
        explanation = explain_target(target, steps)
        return (
            _prefix_sentence(prefix, explanation)
            if answer is EndpointAnswer.NO
            else prefix + explanation
        )
    page = next(step.http for step in deepest_steps(steps) if step.failure is None and step.http)
    return _prefix_sentence(prefix, _describe_page(page))


def _prefix_sentence(prefix: str, explanation: str) -> str:
    return prefix + explanation[0].lower() + explanation[1:] if prefix else explanation


def _describe_page(http: Http) -> str:
    size = f"{http.body_bytes:,} bytes{' and more' if http.truncated else ''}"
    title = f", “{http.title}”" if http.title else ""
    if http.url.startswith("https:"):
        kind = "from a server that proved its name"
    else:
        kind = "in clear, so anybody on the way may have written it"
    opening = "A page came" if http.status < 400 else f"An error page came (status {http.status})"
    return (
        f"{opening}: {size}{title}, {kind}. "
        "Whether it is what others get, only a comparison with a control can tell."
    )
