"""Explain one target: the last step that worked, and causes of the failure."""

from collections.abc import Mapping, Sequence

from heliograph.failure import Failure, Operation
from heliograph.observation import Http, Observation
from heliograph.translation import mark
from heliograph.translation import translate as _
from heliograph_agent.cli.labels import (
    LOCAL_FAILURES,
    describe_failure,
    describe_outcome,
    describe_reply,
    describe_size,
)
from heliograph_agent.cli.observation_tree import EndpointAnswer, classify_answer, deepest_steps

Groups = Mapping[str, Sequence[Observation]]
ONLY_A_CONTROL = mark("Only the same test from another network can tell which.")
NOTHING = mark(
    "No result: the test was stopped, or this machine could not run it. "
    "That says nothing about the target."
)
_CERTIFICATE = (
    Failure.SSL_INVALID_CERTIFICATE,
    Failure.SSL_INVALID_HOSTNAME,
    Failure.SSL_UNKNOWN_AUTHORITY,
)
REFUSALS = (Failure.CONNECTION_REFUSED, Failure.CONNECTION_RESET)
_REDIRECTS = "redirect-"


def explain_target(target: str, steps: Sequence[Observation]) -> str:
    """Explain the result for one target."""
    answer = classify_answer(steps)
    if answer is EndpointAnswer.UNKNOWN:
        return _(NOTHING)
    if answer is EndpointAnswer.NO:
        return explain_stop(steps)
    last = next(step for step in deepest_steps(steps) if step.failure is None)
    return _(_WORKED[last.operation]).format(target=target, detail=describe_outcome(last))


def explain_stop(steps: Sequence[Observation]) -> str:
    """Explain the step that failed and its possible causes."""
    last = [step for step in deepest_steps(steps) if step.failure not in LOCAL_FAILURES][-1]
    sentence = _(choose_sentence(last)).format(detail=_describe_detail(last))
    return f"{sentence} {_(ONLY_A_CONTROL)}"


def choose_sentence(step: Observation) -> str:
    """Choose the sentence for the step that failed and its two possible causes."""
    operation = step.operation
    if operation is Operation.RESOLVE:
        return _choose_for_lookup(step)
    if operation is Operation.CONNECT:
        return _choose_for_connect(step)
    is_tls = step.tls is not None and step.failure is not Failure.UNEXPECTED_REPLY
    if is_tls and operation is not Operation.HOP:
        return _choose_for_handshake(step)
    if operation is Operation.HTTP_ROUND_TRIP:
        return _choose_for_request(step)
    if operation is Operation.READ_BODY:
        return mark(
            "The answer began but did not come to its end ({detail}). Either the connection is cut "
            "or stalled on the way, or the server has a fault."
        )
    return _choose_for_exchange(step)


def _choose_for_lookup(step: Observation) -> str:
    if step.failure is Failure.DNS_NXDOMAIN_ERROR:
        return mark(
            "The resolver says that there is no such name. Either it hides the name, or the name "
            "does not exist."
        )
    if step.failure is Failure.DNS_BOGON_ERROR:
        return mark(
            "The name leads to an address that no public host has. Either the answer is forged, or "
            "it is a mistake."
        )
    if step.failure is Failure.DNS_NO_ANSWER:
        return mark(
            "The resolver gives no address for the name. Either it hides the address, or the name "
            "has none."
        )
    return mark(
        "The name could not be looked up ({detail}). Either the resolver hides it, or the resolver "
        "is out of order."
    )


def _choose_for_connect(step: Observation) -> str:
    if step.failure in REFUSALS:
        return mark(
            "No connection was made ({detail}). Either the server does not listen there, or "
            "something on the way refused it."
        )
    return mark(
        "No connection was made ({detail}). Either packets are dropped on the way, or the server "
        "is down."
    )


_HANDSHAKES = {  # by what came of it, and whether the name was sent in clear
    ("refused", False): mark(
        "The start of encryption was refused ({detail}). Either something on the way "
        "interferes with encryption, or the server has a fault."
    ),
    ("cut", False): mark(
        "The connection was cut as encryption began ({detail}). Either something on the way "
        "interferes with encryption, or the server has a fault."
    ),
    ("silent", False): mark(
        "A connection was made, but there was no answer as encryption began ({detail}). Either "
        "something on the way interferes with encryption, or the server has a fault."
    ),
    ("refused", True): mark(
        "The start of encryption with that name was refused ({detail}). Either something on "
        "the way interferes with the name, or the server has a fault."
    ),
    ("cut", True): mark(
        "The connection was cut once the name was sent ({detail}). Either something on the way "
        "interferes with the name, or the server has a fault."
    ),
    ("silent", True): mark(
        "A connection was made, but there was no answer once the name was sent ({detail}). Either "
        "something on the way interferes with the name, or the server has a fault."
    ),
}


def _choose_for_handshake(step: Observation) -> str:
    if step.failure in _CERTIFICATE:
        return mark(
            "What answered could not prove to be that server ({detail}). Either the connection is "
            "intercepted, or the server is set up wrongly."
        )
    if step.operation is Operation.QUIC_HANDSHAKE:
        if step.failure in REFUSALS:
            return mark(
                "No QUIC connection was made ({detail}). Either the server does not listen there, "
                "or something on the way refused it."
            )
        return mark(
            "No QUIC connection was made ({detail}). Either QUIC is dropped on the way, or the "
            "server does not offer it."
        )
    has_name = step.tls is not None and bool(step.tls.server_name)
    if step.tls is not None and step.tls.alert is not None:  # also with no failure at all
        return _HANDSHAKES["refused", has_name]
    is_cut = step.failure in (Failure.CONNECTION_RESET, Failure.EOF_ERROR)
    return _HANDSHAKES["cut" if is_cut else "silent", has_name]


def _choose_for_request(step: Observation) -> str:
    if step.failure is Failure.HTTP_REQUEST_FAILED:
        return mark(
            "Something answered the request, but not as a web server does ({detail}). Either a "
            "proxy or another server answers in its place, or the server has a fault."
        )
    return mark(
        "The request was sent but not answered ({detail}). Either something on the way interferes "
        "with the request, or the server has a fault."
    )


def _choose_for_exchange(step: Observation) -> str:
    if step.failure is Failure.UNEXPECTED_REPLY:
        return mark(
            "Something answered, but not in the protocol asked for. Either a proxy or another "
            "server answers in its place, or the server has a fault."
        )
    if step.failure is None:
        return mark(
            "Something answered with a refusal ({detail}). Either something on the way interferes "
            "with the protocol, or the server has a fault."
        )
    # A refusal over UDP is an ICMP message: its sender received the packet, so nothing was dropped.
    if step.udp is not None and step.failure in REFUSALS:
        return mark(
            "No answer came ({detail}). Either the server does not listen there, or "
            "something on the way refused it."
        )
    if step.udp is not None:
        return mark(
            "No answer came ({detail}). Either packets are dropped on the way, or the server is "
            "down."
        )
    return mark(
        "A connection was made, but the first message was not answered ({detail}). Either "
        "something on the way interferes with the protocol, or the server has a fault."
    )


def _describe_detail(step: Observation) -> str:
    if step.failure is None and step.exchange is not None:
        return describe_reply(step.exchange)
    if step.tls is not None and step.tls.alert is not None:
        return _("alert {n}").format(n=step.tls.alert)
    return describe_failure(step)


_WORKED: Mapping[Operation, str] = {
    Operation.RESOLVE: mark(
        "{target} has an address ({detail}). This cannot tell whether it is the true one."
    ),
    Operation.CONNECT: mark("{target} takes connections. This cannot tell who takes them."),
    Operation.TLS_HANDSHAKE: mark(
        "{target} made an encrypted connection ({detail}). This cannot tell whether the service "
        "behind it works."
    ),
    Operation.QUIC_HANDSHAKE: mark(
        "{target} made an encrypted connection by QUIC ({detail}). This cannot tell whether the "
        "service behind it works."
    ),
    Operation.HTTP_ROUND_TRIP: mark(
        "{target} answered ({detail}). This cannot tell whether others get the same."
    ),
    Operation.READ_BODY: mark(
        "{target} answered ({detail}). This cannot tell whether others get the same."
    ),
    Operation.EXCHANGE: mark(
        "{target} answered ({detail}). This cannot tell whether it keeps working."
    ),
    Operation.HOP: mark("{target} answered ({detail}). This cannot tell who answered."),
}


def explain_web(target: str, groups: Groups) -> str:
    """Explain the last page of the redirect chain, which is the page that a user gets."""
    chain = [label for label in groups if not label or label.startswith(_REDIRECTS)]
    steps = groups[chain[-1]] if chain else [s for each in groups.values() for s in each]
    hops = len(chain) - 1
    prefix = _("Redirects followed first: {n}.").format(n=hops) + " " if hops > 0 else ""
    is_page = deepest_steps(steps)[-1].operation is Operation.READ_BODY
    if classify_answer(steps) is not EndpointAnswer.YES or not is_page:
        return prefix + explain_target(target, steps)
    page = next(step.http for step in deepest_steps(steps) if step.failure is None and step.http)
    return prefix + _describe_page(page)


def _describe_page(http: Http) -> str:
    content = describe_size(http)
    if http.title:
        content = _("{size}, “{title}”").format(size=content, title=http.title)
    sentence = _(_choose_for_page(http)).format(content=content, status=http.status)
    doubt = _("Only the same test from another network can tell whether others get the same page.")
    return f"{sentence} {doubt}"


def _choose_for_page(http: Http) -> str:
    is_error = http.status >= 400
    if http.url.startswith("https:"):
        if is_error:
            return mark(
                "An error page (status {status}) came from a server that proved its name: "
                "{content}."
            )
        return mark("A page came from a server that proved its name: {content}.")
    if is_error:
        return mark(
            "An error page (status {status}) came unencrypted, so anybody on the way may have "
            "written it: {content}."
        )
    return mark("A page came unencrypted, so anybody on the way may have written it: {content}.")
