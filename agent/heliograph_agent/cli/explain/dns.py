"""Explain the answers of several resolvers for one name."""

from collections.abc import Iterable, Mapping, Sequence

from heliograph.failure import Failure
from heliograph.observation import Dns, Observation
from heliograph.translation import translate as _
from heliograph_agent.cli.explain.target import NOTHING, ONLY_A_CONTROL, Groups
from heliograph_agent.cli.labels import LOCAL_FAILURES, join_items, label_failure
from heliograph_agent.experiments.endpoints import is_literal, is_public

_ENGINES = ("system", "udp", "tcp", "dot", "doh")
_DENIALS = (Failure.DNS_NXDOMAIN_ERROR, Failure.DNS_NO_ANSWER)


def explain_dns(target: str, groups: Groups) -> str:
    """Explain whether the resolvers agree."""
    steps = [step for each in groups.values() for step in each]
    return f"{_explain_agreement(target, steps)}{_explain_late_reply(steps)}"


def explain_dns_integrity(target: str, groups: Groups) -> str:
    """Explain whether the resolvers agree, and whether injected answers were seen."""
    steps = [step for label in _ENGINES for step in groups.get(label, ())]
    explanation = _explain_agreement(target, steps) if steps else _(NOTHING)
    return explanation + _explain_injection(target, groups) + _explain_late_reply(steps)


def _explain_injection(target: str, groups: Groups) -> str:
    """Explain an answer from an address that serves no DNS, "" without one."""
    if not _has_answer(groups.get("nowhere", ())):
        return ""
    if _has_answer(groups.get("nowhere_neutral", ())):
        return " " + _(
            "A resolver on the way answers every query, even those to an address that serves no "
            "DNS."
        )
    return " " + _(
        "An address that serves no DNS answered for {target} and for no other name: something on "
        "the way injects answers."
    ).format(target=target)


def _explain_agreement(target: str, steps: Sequence[Observation]) -> str:
    answers = _group_answers(steps)
    failures = _group_failures(steps)
    if not answers:
        return _explain_no_address(target, failures)
    lost = {engine: failure for engine, failure in failures.items() if engine not in answers}
    if lost:
        sentence = _(
            "{resolvers} gave an address for {target}, others did not ({reasons}). Either a "
            "resolver hides the name, or it is out of order."
        ).format(resolvers=join_items(sorted(answers)), target=target, reasons=_list_reasons(lost))
        return f"{sentence} {_(ONLY_A_CONTROL)}"
    if len(answers) == 1:
        return _(
            "{target} has an address. One way of asking alone cannot tell whether it is the true "
            "one."
        ).format(target=target)
    return _compare_addresses(target, answers)


def _explain_no_address(target: str, failures: Mapping[str, Failure]) -> str:
    if not failures:
        return _(NOTHING)
    no_address = _("No way of asking gave an address for {target} ({reasons}).").format(
        target=target, reasons=_list_reasons(failures)
    )
    if any(failure in _DENIALS for failure in failures.values()):
        doubt = _("Either the name does not exist, or the resolvers hide it.")
        return f"{no_address} {doubt} {_(ONLY_A_CONTROL)}"
    doubt = _(
        "No resolver said that the name does not exist: they refused, failed or did not answer. "
        "This cannot tell whether there is such a name."
    )
    return f"{no_address} {doubt}"


def _compare_addresses(target: str, answers: Mapping[str, set[str]]) -> str:
    if set.intersection(*answers.values()):
        return _(
            "All {n} ways of asking agree on {target}. All of them may give the same false answer."
        ).format(n=len(answers), target=target)
    private = [
        f"{engine}: {', '.join(sorted(addresses))}"
        for engine, addresses in answers.items()
        if all(is_literal(address) and not is_public(address) for address in addresses)
    ]
    if private and len(private) < len(answers):
        sentence = _(
            "Some ways of asking give an address for {target} that no public host has ({private}). "
            "Either the answer is forged, or the host is in this network."
        ).format(target=target, private=join_items(private))
        return f"{sentence} {_(ONLY_A_CONTROL)}"
    return _(
        "The ways of asking give different addresses for {target}. Large sites have different "
        "addresses in different places, so that alone is no sign of a forged answer."
    ).format(target=target)


def _list_reasons(failures: Mapping[str, Failure]) -> str:
    return join_items([f"{engine}: {label_failure(each)}" for engine, each in failures.items()])


def _group_answers(steps: Iterable[Observation]) -> dict[str, set[str]]:
    answers: dict[str, set[str]] = {}
    for step in steps:
        if step.dns is not None and step.failure is None:
            answers.setdefault(_engine_name(step.dns), set()).update(
                a.data for a in step.dns.answers
            )
    return answers


def _group_failures(steps: Iterable[Observation]) -> dict[str, Failure]:
    """Group the failures by engine; a missing IPv6 address is not a failure."""
    failures: dict[str, Failure] = {}
    for step in steps:
        failure = step.failure
        if step.dns is None or failure is None or failure in LOCAL_FAILURES:
            continue
        if failure is not Failure.DNS_NO_ANSWER or step.dns.query_type != "AAAA":
            failures.setdefault(_engine_name(step.dns), failure)
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
                return " " + _("One query had two different answers: one of them is forged.")
    return ""
