"""Explain interference with packets on the path, and its location."""

from collections.abc import Sequence

from heliograph.observation import Exchange, Hop, Observation
from heliograph.translation import mark
from heliograph.translation import translate as _
from heliograph_agent.cli.explain.target import NOTHING, ONLY_A_CONTROL, Groups
from heliograph_agent.cli.labels import describe_changes, describe_failure, join_items
from heliograph_agent.cli.observation_tree import EndpointAnswer, classify_answer

_PASSED_ON = "time_exceeded"
_NAMES = {
    "rst": mark("a reset"),
    "fin": mark("an end of the connection"),
    "data": mark("data"),
    "dns": mark("a DNS answer"),
    "synack": "SYN-ACK",
}


def explain_middlebox(target: str, groups: Groups) -> str:
    """Explain whether the requests arrived unchanged."""
    exchanges = {
        label: [s for s in steps if s.exchange is not None] for label, steps in groups.items()
    }
    last_steps = {label: steps[-1] for label, steps in exchanges.items() if steps}
    if not last_steps:
        return _("{target} took no connection, so this says nothing about the way to it.").format(
            target=target
        )
    if all(classify_answer([step]) is EndpointAnswer.YES for step in last_steps.values()):
        return _(
            "Everything came back as it was sent: nothing on the way changes requests to that "
            "port. This cannot tell whether somebody only reads."
        )
    replies = [step.exchange for step in last_steps.values() if step.exchange]
    if not any(exchange.reply == "echo" for exchange in replies):
        return _(
            "Nothing came back as an echo. Either {target} is no echo service, or a proxy on the "
            "way answers in its place. Another echo service can tell which."
        ).format(target=target)
    findings = _list_changes(list(last_steps.values()), replies)
    doubt = _(
        "Either there is a proxy on the way, or one in front of that service. This cannot tell "
        "whether it hinders anything."
    )
    return " ".join([*findings, doubt])


def _list_changes(last_steps: Sequence[Observation], replies: Sequence[Exchange]) -> list[str]:
    """Say what became of the requests, a sentence for each kind."""
    sentences = []
    total = len(last_steps)
    if changes := list(dict.fromkeys(filter(None, map(describe_changes, replies)))):
        sentences.append(
            _("Requests were changed on the way: {changes}.").format(changes=join_items(changes))
        )
    if proxied := [exchange for exchange in replies if exchange.reply == "http_reply"]:
        sentences.append(
            _("A web server on the way answered {n} of {total} requests itself.").format(
                n=len(proxied), total=total
            )
        )
    if lost := [step for step in last_steps if step.failure is not None]:
        sentences.append(
            _("{n} of {total} requests did not come back ({reason}).").format(
                n=len(lost), total=total, reason=describe_failure(lost[-1])
            )
        )
    return sentences


def explain_path(target: str, groups: Groups) -> str:
    """Explain how far each kind of packet came."""
    syn = _final_hop(groups, "syn", "syn")
    neutral_hop, target_hop = (
        _final_hop(groups, label, "client_hello") for label in ("neutral", "target")
    )
    queries = _explain_queries(target, groups)
    if not any(hop for steps in groups.values() for hop in _list_hops(steps)):
        return _(NOTHING)
    if syn is None or syn.reply != "synack":
        return _explain_unreached(syn, _farthest_router(groups, "syn")) + queries
    return _explain_names(target, syn, neutral_hop, target_hop, groups) + queries


def _explain_unreached(syn: Hop | None, last_ttl: int) -> str:
    reply = _("No connection was made: nobody answered.")
    if syn:
        reply = _("No connection was made: the reply at hop {ttl} was {reply}.").format(
            ttl=syn.ttl, reply=_reply_name(syn)
        )
    routers = _("No router was seen.")
    if last_ttl:
        routers = _("The last router seen is hop {ttl}.").format(ttl=last_ttl)
    doubt = _("Routers may be silent, and a server may be down.")
    return f"{reply} {routers} {doubt} {_(ONLY_A_CONTROL)}"


def _explain_names(
    target: str, syn: Hop, neutral_hop: Hop | None, target_hop: Hop | None, groups: Groups
) -> str:
    if target_hop is not None and target_hop.ttl < syn.ttl:
        return _explain_early_reply(target, syn, neutral_hop, target_hop)
    if target_hop is None and neutral_hop is not None:
        return _(
            "With the name {target} nothing was heard beyond hop {last} of {server}, while a "
            "neutral name was answered. Either packets with that name are dropped there, or "
            "routers fell silent. Repeating the test can tell."
        ).format(target=target, last=_farthest_router(groups, "target"), server=syn.ttl)
    if target_hop is None:
        return _("The server at hop {ttl} takes connections, but answered neither name.").format(
            ttl=syn.ttl
        )
    return _(
        "The name {target} goes all the way to hop {ttl}: nothing on the way answered it. This "
        "cannot tell what happens later in the connection."
    ).format(target=target, ttl=syn.ttl)


def _explain_early_reply(target: str, syn: Hop, neutral_hop: Hop | None, target_hop: Hop) -> str:
    """Explain a reply from before the server."""
    if neutral_hop is not None and neutral_hop.ttl <= target_hop.ttl:
        sentence = _(
            "The reply at hop {ttl} of {server} was {reply}, whatever the name: something on the "
            "way answers for that server."
        )
    else:
        sentence = _(
            "With the name {target} the reply at hop {ttl} was {reply}, before the server at hop "
            "{server}; a neutral name was not answered there. Either something at or just before "
            "hop {ttl} interferes, or the path changed meanwhile. Repeating the test can tell."
        )
    return sentence.format(
        target=target, ttl=target_hop.ttl, server=syn.ttl, reply=_reply_name(target_hop)
    )


def _explain_queries(target: str, groups: Groups) -> str:
    neutral_hop, target_hop = (_final_hop(groups, label, "dns") for label in ("neutral", "target"))
    if target_hop is None or neutral_hop is None:
        return ""
    if target_hop.ttl < neutral_hop.ttl:
        sentence = _(
            "A query for {target} was answered at hop {ttl}, before the resolver at hop "
            "{resolver}: that looks like a forged answer."
        )
    else:
        sentence = _("Queries for {target} go as far as queries for other names.")
    return " " + sentence.format(target=target, ttl=target_hop.ttl, resolver=neutral_hop.ttl)


def _reply_name(hop: Hop) -> str:
    return _(_NAMES.get(hop.reply, hop.reply))


def _farthest_router(groups: Groups, label: str) -> int:
    """Return the TTL of the farthest router that answered, 0 for none."""
    router_hops = [
        h for h in _list_hops(groups.get(label, ())) if h.reply == _PASSED_ON and h.sent != "dns"
    ]
    return max((hop.ttl for hop in router_hops), default=0)


def _list_hops(steps: Sequence[Observation]) -> list[Hop]:
    return [step.hop for step in steps if step.hop is not None]


def _final_hop(groups: Groups, label: str, sent: str) -> Hop | None:
    """Return the reply that ended the trace; None when only routers or none answered."""
    hops = [hop for hop in _list_hops(groups.get(label, ())) if hop.sent == sent]
    return next((hop for hop in hops if hop.reply not in ("", _PASSED_ON)), None)
