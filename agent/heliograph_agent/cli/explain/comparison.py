"""Experiments that hold something against a neutral other: what the difference looks like."""

from collections.abc import Mapping, Sequence
from statistics import median

from heliograph.failure import Operation
from heliograph.observation import Observation
from heliograph_agent.cli.explain.target import NOTHING, ONLY_A_CONTROL, stopped
from heliograph_agent.cli.labels import rate_of, speed
from heliograph_agent.cli.observation_tree import Answer, answer_of

Groups = Mapping[str, Sequence[Observation]]
_SLOW = 0.5  # of the neutral rate: above, nobody would speak of a difference
_TOO_SHORT = 2


def sni(target: str, groups: Groups) -> str:
    """The same server asked with its own name and with the target's."""
    return _neutral_server(target, groups, "handshakes", "with that name in the ClientHello")


def http_host(target: str, groups: Groups) -> str:
    """The same server asked for its own host and for the target's."""
    return _neutral_server(target, groups, "requests", "with that Host header")


def _neutral_server(target: str, groups: Groups, what: str, sent: str) -> str:
    ours, neutral = _answer(groups, "target"), _answer(groups, "neutral")
    if neutral is not Answer.YES:
        return (
            f"The neutral server did not answer {what} in its own name either, "
            f"so nothing can be said about {target}."
        )
    if ours is Answer.UNKNOWN:
        return NOTHING
    if ours is Answer.YES:
        return (
            f"A neutral server answered {what} {sent} as it does in its own name: nobody on the "
            f"way minds the name {target}.{_direct(target, groups)}"
        )
    return (
        f"A neutral server answers in its own name and not {sent}: that looks like interference "
        f"with the name {target} on the way, or a server that turns strange names away; "
        f"{ONLY_A_CONTROL}.{_direct(target, groups)}"
    )


def _direct(target: str, groups: Groups) -> str:
    answer = _answer(groups, "direct")
    if "direct" not in groups or answer is Answer.UNKNOWN:
        return " Whether its own addresses are reachable was not tried."
    if answer is Answer.NO and _answer(groups, "direct_neutral") is Answer.YES:
        return f" At {target}'s own addresses its name fails too, and a neutral one passes."
    word = "answered" if answer is Answer.YES else "did not answer"
    return f" {target}'s own addresses {word}."


def quic(target: str, groups: Groups) -> str:
    """UDP against TCP to one server, and against QUIC to another."""
    ours = _answer(groups, "target" if "target" in groups else "")
    tcp, neutral = _answer(groups, "tcp"), _answer(groups, "neutral")
    if ours is Answer.YES:
        return (
            f"{target} answered by QUIC. Whether its pages are what others get, this cannot tell."
        )
    if ours is Answer.UNKNOWN:
        return NOTHING
    asked = groups.get("target") or groups.get("", ())
    if asked and not any(step.operation is Operation.QUIC_HANDSHAKE for step in asked):
        return stopped(asked)
    if neutral is Answer.NO:
        return (
            f"Neither {target} nor a neutral server answered by QUIC: that looks like QUIC or UDP "
            "being dropped for all, by this network or on the way."
        )
    over_tcp = {
        Answer.YES: "and does over TCP: that looks like interference with QUIC, "
        "or a server without it",
        Answer.NO: "nor over TCP: that looks like interference with the server as a whole, "
        "or a server that is down",
        Answer.UNKNOWN: "and TCP was not tried: that may be interference, or a server without QUIC",
    }
    return f"{target} does not answer by QUIC, {over_tcp[tcp]}; {ONLY_A_CONTROL}."


def ech(target: str, groups: Groups) -> str:
    """A sealed name against one in clear."""
    replies = {
        label: step.exchange.reply
        for label, steps in groups.items()
        for step in steps
        if step.exchange is not None
    }
    none, grease, real = (_answer(groups, label) for label in ("none", "grease", "real"))
    sealed = _sealed(real, replies.get("real", ""))
    if none is Answer.YES and grease is Answer.NO:
        return (
            f"{target} answers a common hello and not one that looks like ECH: that looks like "
            f"interference with ECH, or a server that trips over it; {ONLY_A_CONTROL}. {sealed}"
        )
    if none is Answer.NO and real is Answer.YES:
        return (
            f"{target} does not answer when its name stands in clear: that looks like interference "
            f"with the name, or a fault of that server; {ONLY_A_CONTROL}. {sealed}"
        )
    if none is Answer.NO:
        steps = [s for label in ("none", "grease", "real") for s in groups.get(label, ())]
        return f"{stopped(steps)} ECH made no difference."
    if none is Answer.YES and grease is Answer.YES:
        return (
            f"{target} answers with and without GREASE ECH. {sealed} "
            "No certificate was looked at, so this cannot tell who answered."
        )
    return NOTHING


def _sealed(answer: Answer, reply: str) -> str:
    if not reply and answer is Answer.UNKNOWN:
        return "No key was found, so a sealed name was not tried."
    if answer is Answer.NO:
        return "A sealed name was not answered."
    if reply == "server_hello_ech_accepted":
        return "The sealed name was opened by the server itself."
    return "The sealed name was not opened: an old key, or somebody in between."


def throttling(target: str, groups: Groups) -> str:
    """Goodput against a neutral reference."""
    ours, neutral = _rates(groups.get("target", ())), _rates(groups.get("neutral", ()))
    if _answer(groups, "target") is Answer.NO:
        return stopped(groups["target"])
    if not ours or not neutral:
        return "Too little was transferred to speak of a speed."
    a, b = median(ours), median(neutral)
    seen = f"{target} came at {speed(a)}, the neutral reference at {speed(b)}"
    few = " One transfer each is little to go by." if len(ours) < _TOO_SHORT else ""
    if a >= _SLOW * b:
        return f"{seen}: no sign that the one is held back.{few}"
    return (
        f"{seen}: that looks like throttling, or a slower or farther server; {ONLY_A_CONTROL}.{few}"
    )


def _rates(steps: Sequence[Observation]) -> list[float]:
    bodies = [s.http for s in steps if s.operation is Operation.READ_BODY and s.http is not None]
    return [rate for http in bodies if (rate := rate_of(http)) is not None]


def _answer(groups: Groups, label: str) -> Answer:
    return answer_of(groups[label]) if label in groups else Answer.UNKNOWN
