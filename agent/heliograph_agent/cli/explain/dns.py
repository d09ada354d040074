"""Explain the answers of several resolvers for one name."""

from collections.abc import Iterable, Sequence

from heliograph.failure import Failure
from heliograph.observation import Dns, Observation
from heliograph_agent.cli.explain.target import NOTHING, ONLY_A_CONTROL, Groups
from heliograph_agent.cli.labels import FAILURES, LOCAL_FAILURES, join_items
from heliograph_agent.experiments.endpoints import is_literal, is_public

_ENGINES = ("system", "udp", "tcp", "dot", "doh")
_DENIALS = (FAILURES[Failure.DNS_NXDOMAIN_ERROR], FAILURES[Failure.DNS_NO_ANSWER])
_NEARBY = "Large sites answer differently in different places, so that alone is no sign of a lie."


def explain_dns(target: str, groups: Groups) -> str:
    """Explain whether the resolvers agree."""
    steps = [step for each in groups.values() for step in each]
    return f"{_explain_agreement(target, steps)}{_explain_late_reply(steps)}"


def explain_dns_integrity(target: str, groups: Groups) -> str:
    """Explain whether the resolvers agree, and whether injected answers were seen."""
    steps = [step for label in _ENGINES for step in groups.get(label, ())]
    explanation = _explain_agreement(target, steps) if steps else NOTHING
    if _has_answer(groups.get("nowhere", ())):
        if _has_answer(groups.get("nowhere_neutral", ())):
            explanation += (
                " A resolver on the way answers for everybody, also for addresses without one."
            )
        else:
            explanation += (
                f" An address that serves no DNS answered for {target} and for no other name: "
                "somebody on the way injects answers."
            )
    return explanation + _explain_late_reply(steps)


def _explain_agreement(target: str, steps: Sequence[Observation]) -> str:
    answers = _group_answers(steps)
    failures = _group_failures(steps)
    if not answers:
        if not failures:
            return NOTHING
        reasons = join_items(
            [f"{engine}: {description}" for engine, description in failures.items()]
        )
        no_address = f"No way of asking gave an address for {target} ({reasons})."
        if not any(description in _DENIALS for description in failures.values()):
            return (
                f"{no_address} No resolver said that the name does not exist: they refused, failed "
                f"or did not answer. Whether there is such a name, this cannot tell."
            )
        return (
            f"{no_address} That looks like a name that does not exist, or resolvers that hide it; "
            f"{ONLY_A_CONTROL}."
        )
    lost = {
        engine: description for engine, description in failures.items() if engine not in answers
    }
    if lost:
        reasons = join_items([f"{engine}: {description}" for engine, description in lost.items()])
        return (
            f"{join_items(sorted(answers))} gave an address for {target}, others did not "
            f"({reasons}). That looks like a resolver that hides the name or is out of order; "
            f"{ONLY_A_CONTROL}."
        )
    if len(answers) == 1:
        return f"{target} has an address. One way of asking alone cannot tell whether it is true."
    common = set.intersection(*answers.values())
    if common:
        return (
            f"All {len(answers)} ways of asking agree on {target}. They may all be lied to alike."
        )
    private = {
        engine: addresses
        for engine, addresses in answers.items()
        if all(is_literal(address) and not is_public(address) for address in addresses)
    }
    if private and len(private) < len(answers):
        private_list = join_items(
            [f"{engine}: {', '.join(sorted(each))}" for engine, each in private.items()]
        )
        return (
            f"Some ways give an address for {target} that no public host has "
            f"({private_list}). That looks like a forged answer, or a host of this network; "
            f"{ONLY_A_CONTROL}."
        )
    return f"The ways of asking name different addresses for {target}. {_NEARBY}"


def _group_answers(steps: Iterable[Observation]) -> dict[str, set[str]]:
    answers: dict[str, set[str]] = {}
    for step in steps:
        if step.dns is not None and step.failure is None:
            answers.setdefault(_engine_name(step.dns), set()).update(
                a.data for a in step.dns.answers
            )
    return answers


def _group_failures(steps: Iterable[Observation]) -> dict[str, str]:
    """Group the failures by engine; a missing IPv6 address is not a failure."""
    failures: dict[str, str] = {}
    for step in steps:
        failure = step.failure
        if step.dns is None or failure is None or failure in LOCAL_FAILURES:
            continue
        if failure is not Failure.DNS_NO_ANSWER or step.dns.query_type != "AAAA":
            failures.setdefault(_engine_name(step.dns), FAILURES[failure])
    return failures


def _engine_name(dns_facts: Dns) -> str:
    return "system" if dns_facts.engine == "hosts" else dns_facts.engine


def _has_answer(steps: Iterable[Observation]) -> bool:
    return any(step.dns is not None and step.dns.rcode is not None for step in steps)


def _explain_late_reply(steps: Iterable[Observation]) -> str:
    """Report a second reply that differs from the first."""
    for step in steps:
        first = set(step.dns.addresses) if step.dns else set()
        for reply in step.dns.later if step.dns else ():
            if {answer.data for answer in reply.answers} - first:
                return " One query had two different replies: one of them is forged."
    return ""
