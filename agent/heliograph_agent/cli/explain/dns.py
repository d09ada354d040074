"""What several resolvers say of one name."""

from collections.abc import Iterable, Mapping, Sequence

from heliograph.failure import Failure
from heliograph.observation import Dns, Observation
from heliograph_agent.cli.explain.target import NOTHING, ONLY_A_CONTROL
from heliograph_agent.cli.labels import FAILURES, OWN, listed
from heliograph_agent.experiments.endpoints import is_literal, is_public

Groups = Mapping[str, Sequence[Observation]]
_WAYS = ("system", "udp", "tcp", "dot", "doh")
_NEARBY = "Large sites answer differently in different places, so that alone is no sign of a lie."


def dns(target: str, groups: Groups) -> str:
    """Whether the ways agree."""
    steps = [step for each in groups.values() for step in each]
    return f"{_agreement(target, steps)}{_late(steps)}"


def dns_integrity(target: str, groups: Groups) -> str:
    """Also whether somebody answers who was not asked."""
    asked = [step for label in _WAYS for step in groups.get(label, ())]
    told = _agreement(target, asked) if asked else NOTHING
    if _any_answer(groups.get("nowhere", ())):
        if _any_answer(groups.get("nowhere_neutral", ())):
            told += " A resolver on the way answers for everybody, also for addresses without one."
        else:
            told += (
                f" An address that serves no DNS answered for {target} and for no other name: "
                "somebody on the way injects answers."
            )
    return told + _late(asked)


def _agreement(target: str, steps: Sequence[Observation]) -> str:
    answers = _answers(steps)
    failures = _failures(steps)
    if not answers:
        if not failures:
            return NOTHING
        why = listed([f"{way}: {words}" for way, words in failures.items()])
        return (
            f"No way of asking gave an address for {target} ({why}). That looks like a name that "
            f"does not exist, or resolvers that hide it; {ONLY_A_CONTROL}."
        )
    lost = {way: words for way, words in failures.items() if way not in answers}
    if lost:
        why = listed([f"{way}: {words}" for way, words in lost.items()])
        return (
            f"{listed(sorted(answers))} gave an address for {target}, others did not ({why}). That "
            f"looks like a resolver that hides the name or is out of order; {ONLY_A_CONTROL}."
        )
    if len(answers) == 1:
        return f"{target} has an address. One way of asking alone cannot tell whether it is true."
    common = set.intersection(*answers.values())
    if common:
        return (
            f"All {len(answers)} ways of asking agree on {target}. They may all be lied to alike."
        )
    private = {way: each for way, each in answers.items() if not any(map(_is_public, each))}
    if private and len(private) < len(answers):
        odd = listed([f"{way}: {', '.join(sorted(each))}" for way, each in private.items()])
        return (
            f"Some ways give an address for {target} that no public host has "
            f"({odd}). That looks like a forged answer, or a host of this network; "
            f"{ONLY_A_CONTROL}."
        )
    return f"The ways of asking name different addresses for {target}. {_NEARBY}"


def _answers(steps: Iterable[Observation]) -> dict[str, set[str]]:
    """By way of asking: what it gave."""
    found: dict[str, set[str]] = {}
    for step in steps:
        if step.dns is not None and step.failure is None:
            found.setdefault(_way(step.dns), set()).update(a.data for a in step.dns.answers)
    return found


def _failures(steps: Iterable[Observation]) -> dict[str, str]:
    """By way of asking: why it gave nothing; that there is no IPv6 address is no failure."""
    found: dict[str, str] = {}
    for step in steps:
        failure = step.failure
        if step.dns is None or failure is None or failure in OWN:
            continue
        if failure is not Failure.DNS_NO_ANSWER or step.dns.query_type != "AAAA":
            found.setdefault(_way(step.dns), FAILURES[failure])
    return found


def _is_public(data: str) -> bool:
    return not is_literal(data) or is_public(data)


def _way(asked: Dns) -> str:
    return "system" if asked.engine == "hosts" else asked.engine


def _any_answer(steps: Iterable[Observation]) -> bool:
    return any(step.dns is not None and step.dns.rcode is not None for step in steps)


def _late(steps: Iterable[Observation]) -> str:
    """A second reply that says something else than the first."""
    for step in steps:
        first = set(step.dns.addresses) if step.dns else set()
        for reply in step.dns.later if step.dns else ():
            if {answer.data for answer in reply.answers} - first:
                return " One query had two different replies: one of them is forged."
    return ""
