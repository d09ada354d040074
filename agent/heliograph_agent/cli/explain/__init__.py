"""Explain a measurement in one plain sentence, with its limits.

One vantage alone has no comparison, so no sentence gives a verdict. A sentence describes the
observation, its possible causes, and what could tell them apart. SENTENCES has a row for each
experiment whose meaning is the difference between its endpoints; the others are explained by
stage or by count. All functions are pure.

>>> explain_measurement("tcp", "192.0.2.1:443", trace.observations)
'192.0.2.1:443 takes connections. This cannot tell who it is that takes them.'
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from heliograph.observation import Link, Observation
from heliograph.plan import ANCHORS
from heliograph_agent.cli.explain.comparison import (
    explain_ech,
    explain_hello,
    explain_http_host,
    explain_quic,
    explain_sni,
    explain_throttling,
)
from heliograph_agent.cli.explain.dns import explain_dns, explain_dns_integrity
from heliograph_agent.cli.explain.path import explain_middlebox, explain_path
from heliograph_agent.cli.explain.target import (
    NOTHING,
    ONLY_A_CONTROL,
    Groups,
    explain_target,
    explain_web,
)
from heliograph_agent.cli.labels import (
    LOCAL_FAILURES,
    STEPS,
    describe_failure,
    describe_reply,
    join_items,
)
from heliograph_agent.cli.observation_tree import (
    EndpointAnswer,
    classify_answer,
    deepest_steps,
    group_by_endpoint,
)
from heliograph_agent.runtime.vantage import classify_link

_LINKS: Mapping[Link, str] = {
    Link.ONLINE: "This machine is online",
    Link.DOMESTIC_ONLY: "Only hosts at home answer, none abroad",
    Link.NO_RESOLVER: "Hosts abroad answer by address and not by name: it is the resolver",
    Link.CAPTIVE: "Somebody else answers for the anchors, as the login page of a hotel does",
    Link.OFFLINE: "This machine is offline",
    Link.UNKNOWN: "How this machine is connected is not known",
}


def explain_service(title: str, groups: Groups) -> str:
    """Explain how many endpoints answered, which did not, and why it is no verdict."""
    answers = {label: classify_answer(steps) for label, steps in groups.items()}
    silent = [label for label, answer in answers.items() if answer is EndpointAnswer.NO]
    unasked_count = list(answers.values()).count(EndpointAnswer.UNKNOWN)
    asked_count = len(answers) - unasked_count
    if asked_count == 0:
        return NOTHING
    explanation = f"{title} answered at {_format_fraction(asked_count - len(silent), asked_count)}"
    if silent:
        failures = _describe_failures(groups, silent)
        explanation += f"; {_list_silent(silent, asked_count)} ({failures})"
    doubt = _explain_doubt(len(silent), asked_count)
    return f"{explanation}.{_explain_unasked(unasked_count)} {doubt}"


def explain_connectivity(target: str, groups: Groups) -> str:
    """Explain the connectivity that the anchors show."""
    del target
    answers = [classify_answer(steps) for steps in groups.values()]
    asked_count = len(answers) - answers.count(EndpointAnswer.UNKNOWN)
    link = classify_link(step for steps in groups.values() for step in steps)
    count = "no anchor could be asked"
    if asked_count:
        places = _format_fraction(answers.count(EndpointAnswer.YES), asked_count)
        count = f"{places.replace('place', 'anchor')} answered"
    return (
        f"{_LINKS[link]}: {count}."
        f"{_explain_unasked(len(answers) - asked_count)} "
        "Whether any one site is reachable, this cannot tell."
    )


def _format_fraction(count: int, total: int) -> str:
    if count == total:
        return f"all {total} places" if total > 1 else "the one place asked"
    if count == 0:
        return f"none of {total} places" if total > 1 else "no place"
    return f"{count} of {total} places"


def _list_silent(silent: Sequence[str], asked_count: int) -> str:
    if len(silent) == asked_count:
        return "nobody answered" if asked_count > 1 else "it did not answer"
    return f"{join_items([label or 'the URL itself' for label in silent], 4)} did not"


def _describe_failures(groups: Groups, silent: Iterable[str]) -> str:
    """Describe the most common failures with their step: `TLS: connection reset`."""
    end_counts = Counter(_describe_end(groups[label]) for label in silent)
    descriptions = " or ".join(description for description, _ in end_counts.most_common(2))
    return f"{descriptions} and others" if len(end_counts) > 2 else descriptions


def _describe_end(steps: Sequence[Observation]) -> str:
    last = [step for step in deepest_steps(steps) if step.failure not in LOCAL_FAILURES][-1]
    if last.failure is None and last.exchange is not None:
        return f"{STEPS[last.operation]}: {describe_reply(last.exchange)}"
    return f"{STEPS[last.operation]}: {describe_failure(last)}"


def _explain_unasked(count: int) -> str:
    return f" {count} could not be asked from here." if count else ""


def _explain_doubt(silent_count: int, asked_count: int) -> str:
    if silent_count == 0:
        return "Whether the service as a whole works was not tried."
    if silent_count == asked_count:
        return f"A block looks like this, and so does an outage of the service; {ONLY_A_CONTROL}."
    return f"A partial block looks like this, and so do servers that are down; {ONLY_A_CONTROL}."


Explainer = Callable[[str, Groups], str]

SENTENCES: Mapping[str, Explainer] = {
    "connectivity": explain_connectivity,
    "dns": explain_dns,
    "dns_integrity": explain_dns_integrity,
    "ech": explain_ech,
    "hello": explain_hello,
    "http_host": explain_http_host,
    "middlebox": explain_middlebox,
    "path": explain_path,
    "quic": explain_quic,
    "sni": explain_sni,
    "throttling": explain_throttling,
    "web": explain_web,
}


def explain_measurement(
    experiment: str, target: str, observations: Sequence[Observation], *, title: str = ""
) -> str:
    """Explain a measurement in one or a few sentences, without a line end.

    `title` is the title of the service, "" without one. Returns "" without observations.
    """
    if not observations:
        return ""
    groups = group_by_endpoint(observations)
    if all(step.failure in LOCAL_FAILURES for step in observations) and experiment != ANCHORS:
        return NOTHING
    if (explain := SENTENCES.get(experiment)) is not None:
        return explain(target, groups)
    if title or len(groups) > 1:
        return explain_service(title or target or experiment, groups)
    return explain_target(target or experiment, observations)
