"""Who touches packets on the way, and where."""

from collections.abc import Mapping, Sequence

from heliograph.observation import Hop, Observation
from heliograph_agent.cli.explain.target import NOTHING, ONLY_A_CONTROL
from heliograph_agent.cli.labels import changed, failure_of, listed
from heliograph_agent.cli.observation_tree import Answer, answer_of

Groups = Mapping[str, Sequence[Observation]]
_PASSED_ON = "time_exceeded"
_NAMES = {
    "rst": "a reset",
    "fin": "an end",
    "data": "data",
    "dns": "an answer",
    "synack": "a SYN-ACK",
}


def middlebox(target: str, groups: Groups) -> str:
    """Whether what was sent is what arrived."""
    said = {label: [s for s in steps if s.exchange is not None] for label, steps in groups.items()}
    heard = {label: steps[-1] for label, steps in said.items() if steps}
    if not heard:
        return f"{target} took no connection, so nothing can be said about the way."
    good = [label for label, step in heard.items() if answer_of([step]) is Answer.YES]
    if len(good) == len(heard):
        return (
            "Everything came back as it was sent: nobody on the way touches requests to that port. "
            "This cannot tell whether somebody only reads."
        )
    if not any(s.exchange and s.exchange.reply == "echo" for s in heard.values()):
        return (
            f"Nothing came back as an echo. That looks like {target} being no echo service, or a "
            "proxy on the way that answers in its place; another echo service can tell which."
        )
    changes = dict.fromkeys(c for s in heard.values() if s.exchange and (c := changed(s.exchange)))
    answered = [n for n, s in heard.items() if s.exchange and s.exchange.reply == "http_reply"]
    told = []
    if changes:
        told.append(f"requests were changed on the way ({listed(list(changes))})")
    if answered:
        told.append(f"a web server in between answered {len(answered)} of {len(heard)} itself")
    lost = [s for s in heard.values() if s.failure is not None]
    if lost:
        told.append(f"{len(lost)} of {len(heard)} did not come back ({failure_of(lost[-1])})")
    return (
        f"{listed(told)[:1].upper()}{listed(told)[1:]}: that looks like a proxy on the way, or one "
        "beside that service. Whether it hinders anything, this cannot tell."
    )


def path(target: str, groups: Groups) -> str:
    """How far each kind of packet came."""
    syn = _end(groups, "syn", "syn")
    neutral, ours = (_end(groups, label, "client_hello") for label in ("neutral", "target"))
    queries = _queries(target, groups)
    if not any(hop for steps in groups.values() for hop in _hops(steps)):
        return NOTHING
    if syn is None or syn.reply != "synack":
        return _unreached(syn, _farthest(groups, "syn")) + queries
    return _names_told(target, syn, neutral, ours, groups) + queries


def _unreached(syn: Hop | None, last: int) -> str:
    seen = f"{_name(syn)} came at hop {syn.ttl}" if syn else "nobody answered"
    routers = f"the last router that was seen is hop {last}" if last else "no router was seen"
    return (
        f"No connection came about: {seen}, and {routers}. "
        f"Routers may be silent, and a server may be down; {ONLY_A_CONTROL}."
    )


def _names_told(
    target: str, syn: Hop, neutral: Hop | None, ours: Hop | None, groups: Groups
) -> str:
    if ours is not None and ours.ttl < syn.ttl:
        who = _name(ours)
        if neutral is not None and neutral.ttl <= ours.ttl:
            return (
                f"{who.capitalize()} came at hop {ours.ttl} of {syn.ttl} whatever the name: "
                "somebody on the way answers for that server."
            )
        return (
            f"With the name of {target}, {who} came at hop {ours.ttl}, before the server at hop "
            f"{syn.ttl}; a neutral name went on. That looks like interference at or just before "
            f"hop {ours.ttl}, or a path that changed meanwhile; repeating it tells."
        )
    if ours is None and neutral is not None:
        last = _farthest(groups, "target")
        return (
            f"With the name of {target} nothing was heard beyond hop {last} of {syn.ttl}; a "
            "neutral name went on. That looks like packets with that name being dropped there, or "
            "routers that fell silent; repeating it tells."
        )
    if ours is None:
        return f"SYNs come to the server at hop {syn.ttl}; hellos were not answered with any name."
    return (
        f"The name of {target} goes all the way to hop {syn.ttl}, as a neutral one does: nobody on "
        "the way answered it. This cannot tell what happens after the hello."
    )


def _queries(target: str, groups: Groups) -> str:
    neutral, ours = (_end(groups, label, "dns") for label in ("neutral", "target"))
    if ours is None or neutral is None:
        return ""
    if ours.ttl < neutral.ttl:
        return (
            f" A query for {target} was answered at hop {ours.ttl}, before the resolver at hop "
            f"{neutral.ttl}: that looks like an injected answer."
        )
    return f" Queries for {target} come as far as others."


def _name(hop: Hop) -> str:
    return _NAMES.get(hop.reply, hop.reply)


def _farthest(groups: Groups, label: str) -> int:
    """The farthest router that was heard."""
    heard = [h for h in _hops(groups.get(label, ())) if h.reply == _PASSED_ON and h.sent != "dns"]
    return max((hop.ttl for hop in heard), default=0)


def _hops(steps: Sequence[Observation]) -> list[Hop]:
    return [step.hop for step in steps if step.hop is not None]


def _end(groups: Groups, label: str, sent: str) -> Hop | None:
    """What ended the trace; None when nothing but routers and silence was heard."""
    hops = [hop for hop in _hops(groups.get(label, ())) if hop.sent == sent]
    return next((hop for hop in hops if hop.reply not in ("", _PASSED_ON)), None)
