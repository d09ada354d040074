"""Explain interference with packets on the path, and its location."""

from collections.abc import Sequence

from heliograph.observation import Hop, Observation
from heliograph_agent.cli.explain.target import NOTHING, ONLY_A_CONTROL, Groups
from heliograph_agent.cli.labels import describe_changes, describe_failure, join_items
from heliograph_agent.cli.observation_tree import EndpointAnswer, classify_answer

_PASSED_ON = "time_exceeded"
_NAMES = {
    "rst": "a reset",
    "fin": "an end",
    "data": "data",
    "dns": "an answer",
    "synack": "a SYN-ACK",
}


def explain_middlebox(target: str, groups: Groups) -> str:
    """Explain whether the requests arrived unchanged."""
    exchanges = {
        label: [s for s in steps if s.exchange is not None] for label, steps in groups.items()
    }
    last_steps = {label: steps[-1] for label, steps in exchanges.items() if steps}
    if not last_steps:
        return f"{target} took no connection, so nothing can be said about the way."
    intact = [
        label for label, step in last_steps.items() if classify_answer([step]) is EndpointAnswer.YES
    ]
    if len(intact) == len(last_steps):
        return (
            "Everything came back as it was sent: nobody on the way touches requests to that port. "
            "This cannot tell whether somebody only reads."
        )
    if not any(s.exchange and s.exchange.reply == "echo" for s in last_steps.values()):
        return (
            f"Nothing came back as an echo. That looks like {target} being no echo service, or a "
            "proxy on the way that answers in its place; another echo service can tell which."
        )
    changes = dict.fromkeys(
        c for s in last_steps.values() if s.exchange and (c := describe_changes(s.exchange))
    )
    proxied = [n for n, s in last_steps.items() if s.exchange and s.exchange.reply == "http_reply"]
    findings = []
    if changes:
        findings.append(f"requests were changed on the way ({join_items(list(changes))})")
    if proxied:
        findings.append(
            f"a web server in between answered {len(proxied)} of {len(last_steps)} itself"
        )
    lost = [s for s in last_steps.values() if s.failure is not None]
    if lost:
        findings.append(
            f"{len(lost)} of {len(last_steps)} did not come back ({describe_failure(lost[-1])})"
        )
    summary = join_items(findings)
    return (
        f"{summary[:1].upper()}{summary[1:]}: that looks like a proxy on the way, or one "
        "beside that service. Whether it hinders anything, this cannot tell."
    )


def explain_path(target: str, groups: Groups) -> str:
    """Explain how far each kind of packet came."""
    syn = _final_hop(groups, "syn", "syn")
    neutral_hop, target_hop = (
        _final_hop(groups, label, "client_hello") for label in ("neutral", "target")
    )
    queries = _explain_queries(target, groups)
    if not any(hop for steps in groups.values() for hop in _list_hops(steps)):
        return NOTHING
    if syn is None or syn.reply != "synack":
        return _explain_unreached(syn, _farthest_router(groups, "syn")) + queries
    return _explain_names(target, syn, neutral_hop, target_hop, groups) + queries


def _explain_unreached(syn: Hop | None, last_ttl: int) -> str:
    reply = f"{_reply_name(syn)} came at hop {syn.ttl}" if syn else "nobody answered"
    routers = (
        f"the last router that was seen is hop {last_ttl}" if last_ttl else "no router was seen"
    )
    return (
        f"No connection came about: {reply}, and {routers}. "
        f"Routers may be silent, and a server may be down; {ONLY_A_CONTROL}."
    )


def _explain_names(
    target: str, syn: Hop, neutral_hop: Hop | None, target_hop: Hop | None, groups: Groups
) -> str:
    if target_hop is not None and target_hop.ttl < syn.ttl:
        sender = _reply_name(target_hop)
        if neutral_hop is not None and neutral_hop.ttl <= target_hop.ttl:
            return (
                f"{sender.capitalize()} came at hop {target_hop.ttl} of {syn.ttl} whatever the "
                "name: somebody on the way answers for that server."
            )
        return (
            f"With the name of {target}, {sender} came at hop {target_hop.ttl}, before the server "
            f"at hop {syn.ttl}; a neutral name went on. That looks like interference at or just "
            f"before hop {target_hop.ttl}, or a path that changed meanwhile; repeating it tells."
        )
    if target_hop is None and neutral_hop is not None:
        last_ttl = _farthest_router(groups, "target")
        return (
            f"With the name of {target} nothing was heard beyond hop {last_ttl} of {syn.ttl}; a "
            "neutral name went on. That looks like packets with that name being dropped there, or "
            "routers that fell silent; repeating it tells."
        )
    if target_hop is None:
        return f"SYNs come to the server at hop {syn.ttl}; hellos were not answered with any name."
    return (
        f"The name of {target} goes all the way to hop {syn.ttl}, as a neutral one does: nobody on "
        "the way answered it. This cannot tell what happens after the hello."
    )


def _explain_queries(target: str, groups: Groups) -> str:
    neutral_hop, target_hop = (_final_hop(groups, label, "dns") for label in ("neutral", "target"))
    if target_hop is None or neutral_hop is None:
        return ""
    if target_hop.ttl < neutral_hop.ttl:
        return (
            f" A query for {target} was answered at hop {target_hop.ttl}, before the resolver "
            f"at hop {neutral_hop.ttl}: that looks like an injected answer."
        )
    return f" Queries for {target} come as far as others."


def _reply_name(hop: Hop) -> str:
    return _NAMES.get(hop.reply, hop.reply)


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
