"""Explain a measurement in one plain sentence, with its limits.

One vantage alone has no comparison, so no sentence gives a verdict. A sentence describes the
observation, its possible causes, and tests that distinguish them. Each is whole in the catalogues:
words have other orders and endings in other languages. SENTENCES has a row for each
experiment whose meaning is the difference between its endpoints; the others are explained by
stage or by count. All functions are pure.

>>> explain_measurement("tcp", "192.0.2.1:443", trace.observations)
'192.0.2.1:443 takes connections. This cannot tell who takes them.'
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from heliograph.observation import Link, Observation
from heliograph.plan import ANCHORS
from heliograph.translation import mark
from heliograph.translation import translate as _
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
from heliograph_agent.runtime.link import classify_link

_LINKS: Mapping[Link, str] = {
    Link.ONLINE: mark("This machine is online."),
    Link.DOMESTIC_ONLY: mark("Only hosts in this country answer, none abroad."),
    Link.NO_RESOLVER: mark(
        "Hosts abroad answer by address but not by name: the resolver does not work."
    ),
    Link.CAPTIVE: mark("Something else answers in place of the anchors, as a hotel's login page."),
    Link.OFFLINE: mark("This machine is offline."),
    Link.UNKNOWN: mark("It is not known how this machine is connected."),
}


def explain_service(title: str, groups: Groups) -> str:
    """Explain how many endpoints answered, which did not, and why it is no verdict."""
    answers = {label: classify_answer(steps) for label, steps in groups.items()}
    silent = [label for label, answer in answers.items() if answer is EndpointAnswer.NO]
    unasked_count = list(answers.values()).count(EndpointAnswer.UNKNOWN)
    asked_count = len(answers) - unasked_count
    if asked_count == 0:
        return _(NOTHING)
    sentence = _(_choose_for_service(len(silent), asked_count)).format(
        title=title,
        answered=asked_count - len(silent),
        total=asked_count,
        names=join_items([label or _("the URL itself") for label in silent], 4),
        failures=_describe_failures(groups, silent),
    )
    doubt = _explain_doubt(len(silent), asked_count)
    return " ".join(filter(None, (sentence, _explain_unasked(unasked_count), doubt)))


def explain_connectivity(target: str, groups: Groups) -> str:
    """Explain the connectivity that the anchors show."""
    del target
    answers = [classify_answer(steps) for steps in groups.values()]
    asked_count = len(answers) - answers.count(EndpointAnswer.UNKNOWN)
    link = classify_link(step for steps in groups.values() for step in steps)
    count = _("No anchor could be asked.")
    if asked_count:
        count = _("{answered} of {total} anchors answered.").format(
            answered=answers.count(EndpointAnswer.YES), total=asked_count
        )
    unasked = _explain_unasked(len(answers) - asked_count)
    doubt = _("This cannot tell whether any one site is reachable.")
    return " ".join(filter(None, (_(_LINKS[link]), count, unasked, doubt)))


def _choose_for_service(silent_count: int, total: int) -> str:
    if silent_count == 0:
        if total > 1:
            return mark("{title} answered at all {total} places.")
        return mark("{title} answered at the one place asked.")
    if silent_count < total:
        return mark(
            "{title} answered at {answered} of {total} places; {names} did not ({failures})."
        )
    if total > 1:
        return mark("{title} answered at none of {total} places ({failures}).")
    return mark("{title} did not answer at the one place asked ({failures}).")


def _describe_failures(groups: Groups, silent: Iterable[str]) -> str:
    """Describe the most common failures with their step: `TLS: connection reset`."""
    end_counts = Counter(_describe_end(groups[label]) for label in silent)
    descriptions = [description for description, _count in end_counts.most_common(2)]
    if len(end_counts) < 2:
        return "".join(descriptions)
    if len(end_counts) == 2:
        return _("{first} or {second}").format(first=descriptions[0], second=descriptions[1])
    return _("{first}, {second} and others").format(first=descriptions[0], second=descriptions[1])


def _describe_end(steps: Sequence[Observation]) -> str:
    last = [step for step in deepest_steps(steps) if step.failure not in LOCAL_FAILURES][-1]
    if last.failure is None and last.exchange is not None:
        return f"{_(STEPS[last.operation])}: {describe_reply(last.exchange)}"
    return f"{_(STEPS[last.operation])}: {describe_failure(last)}"


def _explain_unasked(count: int) -> str:
    return _("{n} could not be asked from here.").format(n=count) if count else ""


def _explain_doubt(silent_count: int, asked_count: int) -> str:
    if silent_count == 0:
        return _("This cannot tell whether the service as a whole works.")
    if silent_count == asked_count:
        doubt = _("A block looks like this, and so does an outage of the service.")
    else:
        doubt = _("A partial block looks like this, and so do servers that are down.")
    return f"{doubt} {_(ONLY_A_CONTROL)}"


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
    experiment: str, target: str, observations: Sequence[Observation], *, title: str
) -> str:
    """Explain a measurement in one or a few sentences, without a line end.

    `title` is the title of the service, "" without one. Returns "" without observations.
    """
    if not observations:
        return ""
    groups = group_by_endpoint(observations)
    if all(step.failure in LOCAL_FAILURES for step in observations) and experiment != ANCHORS:
        return _(NOTHING)
    if (explain := SENTENCES.get(experiment)) is not None:
        return explain(target, groups)
    if title or len(groups) > 1:
        return explain_service(title or target or experiment, groups)
    return explain_target(target or experiment, observations)
