"""Explain experiments that compare a target with a neutral reference."""

from collections.abc import Sequence
from statistics import median

from heliograph.experiments.network import QUIC_BROWSERS
from heliograph.experiments.web import BROWSER_HELLOS
from heliograph.failure import Operation
from heliograph.observation import Observation
from heliograph_agent.cli.explain.target import (
    NOTHING,
    ONLY_A_CONTROL,
    REFUSALS,
    Groups,
    explain_stop,
)
from heliograph_agent.cli.labels import compute_rate, format_rate
from heliograph_agent.cli.observation_tree import EndpointAnswer, classify_answer, deepest_steps

_SLOW = 0.5  # assumed: from this share of the neutral rate on, no slowdown is reported
_TOO_SHORT = 2


def explain_sni(target: str, groups: Groups) -> str:
    """Compare one server's handshakes with its own name and with the target's."""
    return _compare_neutral(target, groups, "handshakes", "with that name in the ClientHello")


def explain_http_host(target: str, groups: Groups) -> str:
    """Compare one server's answers for its own host and for the target's."""
    return _compare_neutral(target, groups, "requests", "with that Host header")


def _compare_neutral(target: str, groups: Groups, step_name: str, difference: str) -> str:
    target_answer = _group_answer(groups, "target")
    neutral_answer = _group_answer(groups, "neutral")
    if neutral_answer is not EndpointAnswer.YES:
        return (
            f"The neutral server did not answer {step_name} in its own name either, "
            f"so nothing can be said about {target}."
        )
    if target_answer is EndpointAnswer.UNKNOWN:
        return NOTHING
    if target_answer is EndpointAnswer.YES:
        return (
            f"A neutral server answered {step_name} {difference} as it does in its own name: "
            f"nobody on the way minds the name {target}.{_explain_direct(target, groups)}"
        )
    return (
        f"A neutral server answers in its own name and not {difference}: that looks like "
        f"interference with the name {target} on the way, or a server that turns strange names "
        f"away; {ONLY_A_CONTROL}.{_explain_direct(target, groups)}"
    )


def _explain_direct(target: str, groups: Groups) -> str:
    answer = _group_answer(groups, "direct")
    if "direct" not in groups or answer is EndpointAnswer.UNKNOWN:
        return " Whether its own addresses are reachable was not tried."
    if (
        answer is EndpointAnswer.NO
        and _group_answer(groups, "direct_neutral") is EndpointAnswer.YES
    ):
        return f" At {target}'s own addresses its name fails too, and a neutral one passes."
    outcome = "answered" if answer is EndpointAnswer.YES else "did not answer"
    return f" {target}'s own addresses {outcome}."


def explain_quic(target: str, groups: Groups) -> str:
    """Compare QUIC with TCP to one server, and with QUIC to another."""
    target_answer = _group_answer(groups, "target" if "target" in groups else "")
    tcp = _group_answer(groups, "tcp")
    neutral_answer = _group_answer(groups, "neutral")
    browsers = {_group_answer(groups, label) for label in QUIC_BROWSERS}
    if {target_answer, *browsers} == {EndpointAnswer.YES, EndpointAnswer.NO} and len(browsers) == 1:
        answered = "ours and not browsers'" if EndpointAnswer.NO in browsers else "browsers' alone"
        return (
            f"{target} answers first packets of QUIC, {answered}: that looks like a filter that "
            f"tells programs apart, or a server that does; {ONLY_A_CONTROL}."
        )
    if target_answer is EndpointAnswer.YES:
        return (
            f"{target} answered by QUIC. Whether its pages are what others get, this cannot tell."
        )
    if target_answer is EndpointAnswer.UNKNOWN:
        return NOTHING
    target_steps = groups.get("target") or groups.get("", ())
    if target_steps and not _has_quic(target_steps):
        return explain_stop(target_steps)
    if neutral_answer is EndpointAnswer.NO:
        return (
            f"Neither {target} nor a neutral server answered by QUIC: that looks like QUIC or UDP "
            f"being {_lost(groups)} for all, by this network or on the way."
        )
    over_tcp = {
        EndpointAnswer.YES: "and does over TCP: that looks like interference with QUIC, "
        "or a server without it",
        EndpointAnswer.NO: "nor over TCP: that looks like interference with the server as a whole, "
        "or a server that is down",
        EndpointAnswer.UNKNOWN: "and TCP was not tried: that may be interference, or a server "
        "without QUIC",
    }
    return f"{target} does not answer by QUIC, {over_tcp[tcp]}; {ONLY_A_CONTROL}."


def _lost(groups: Groups) -> str:
    """Describe the fate of unanswered packets; a refused packet arrived at some host."""
    ends = [deepest_steps(steps)[-1].failure for steps in groups.values() if _has_quic(steps)]
    refused = [failure in REFUSALS for failure in ends]
    if all(refused):
        return "turned away"
    return "dropped or turned away" if any(refused) else "dropped"


def _has_quic(steps: Sequence[Observation]) -> bool:
    return any(step.operation is Operation.QUIC_HANDSHAKE for step in steps)


def explain_ech(target: str, groups: Groups) -> str:
    """Compare a sealed name with a name in clear."""
    replies = {
        label: step.exchange.reply
        for label, steps in groups.items()
        for step in steps
        if step.exchange is not None
    }
    none, grease, real = (_group_answer(groups, label) for label in ("none", "grease", "real"))
    sealed = _explain_sealed(real, replies.get("real", ""))
    if none is EndpointAnswer.YES and grease is EndpointAnswer.NO:
        return (
            f"{target} answers a common hello and not one that looks like ECH: that looks like "
            f"interference with ECH, or a server that trips over it; {ONLY_A_CONTROL}. {sealed}"
        )
    if none is EndpointAnswer.NO and real is EndpointAnswer.YES:
        return (
            f"{target} does not answer when its name stands in clear: that looks like interference "
            f"with the name, or a fault of that server; {ONLY_A_CONTROL}. {sealed}"
        )
    if none is EndpointAnswer.NO:
        steps = [s for label in ("none", "grease", "real") for s in groups.get(label, ())]
        return f"{explain_stop(steps)} ECH made no difference."
    if none is EndpointAnswer.YES and grease is EndpointAnswer.YES:
        return (
            f"{target} answers with and without GREASE ECH. {sealed} "
            "No certificate was looked at, so this cannot tell who answered."
        )
    return NOTHING


def _explain_sealed(answer: EndpointAnswer, reply: str) -> str:
    if not reply and answer is EndpointAnswer.UNKNOWN:
        return "No key was found, so a sealed name was not tried."
    if answer is EndpointAnswer.NO:
        return "A sealed name was not answered."
    if reply == "server_hello_ech_accepted":
        return "The sealed name was opened by the server itself."
    return "The sealed name was not opened: an old key, or somebody in between."


def explain_throttling(target: str, groups: Groups) -> str:
    """Compare the target's goodput with a neutral reference."""
    target_rates = _list_rates(groups.get("target", ()))
    neutral_rates = _list_rates(groups.get("neutral", ()))
    if _group_answer(groups, "target") is EndpointAnswer.NO:
        return explain_stop(groups["target"])
    if not target_rates or not neutral_rates:
        return "Too little was transferred to speak of a speed."
    target_rate = median(target_rates)
    neutral_rate = median(neutral_rates)
    finding = (
        f"{target} came at {format_rate(target_rate)}, "
        f"the neutral reference at {format_rate(neutral_rate)}"
    )
    caveat = " One transfer each is little to go by." if len(target_rates) < _TOO_SHORT else ""
    if target_rate >= _SLOW * neutral_rate:
        return f"{finding}: no sign that the one is held back.{caveat}"
    return (
        f"{finding}: that looks like throttling, or a slower or farther server; "
        f"{ONLY_A_CONTROL}.{caveat}"
    )


def _list_rates(steps: Sequence[Observation]) -> list[float]:
    bodies = [s.http for s in steps if s.operation is Operation.READ_BODY and s.http is not None]
    return [rate for http in bodies if (rate := compute_rate(http)) is not None]


def _group_answer(groups: Groups, label: str) -> EndpointAnswer:
    return classify_answer(groups[label]) if label in groups else EndpointAnswer.UNKNOWN


def explain_hello(target: str, groups: Groups) -> str:
    """Compare our own hello with browsers' hellos."""
    own = _group_answer(groups, "own")
    browsers = [_group_answer(groups, label) for label in BROWSER_HELLOS]
    if own is EndpointAnswer.UNKNOWN or EndpointAnswer.UNKNOWN in browsers:
        return NOTHING
    answered_count = browsers.count(EndpointAnswer.YES)
    if own is EndpointAnswer.YES and answered_count == len(browsers):
        return f"{target} answers this program and browsers' hellos alike."
    if own is EndpointAnswer.YES:
        return (
            f"{target} answers this program's hello and not {_count_browsers(answered_count)}: "
            f"that looks like a filter of browsers, or a server that trips over large hellos; "
            f"{ONLY_A_CONTROL}."
        )
    if answered_count == len(browsers):
        return (
            f"{target} answers browsers' hellos and not this program's: that looks like a filter "
            f"that lets only browsers pass; {ONLY_A_CONTROL}."
        )
    if answered_count == 0:
        return f"{explain_stop(groups.get('own', ()))} Browsers' hellos made no difference."
    return (
        f"{target} answers some browsers' hellos and not this program's: that looks like a filter "
        f"of the name in the first packet; {ONLY_A_CONTROL}."
    )


def _count_browsers(answered_count: int) -> str:
    return "all of browsers'" if answered_count else "browsers'"
