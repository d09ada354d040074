"""Many endpoints of one service: how many answer, and how the others fail."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from heliograph.observation import Link, Observation
from heliograph_agent.cli.explain.target import NOTHING, ONLY_A_CONTROL
from heliograph_agent.cli.labels import OWN, STEPS, failure_of, listed, replied
from heliograph_agent.cli.observation_tree import Answer, answer_of, deepest_of
from heliograph_agent.runtime.vantage import link_of

Groups = Mapping[str, Sequence[Observation]]
_LINKS: Mapping[Link, str] = {
    Link.ONLINE: "This machine is online",
    Link.DOMESTIC_ONLY: "Only hosts at home answer, none abroad",
    Link.NO_RESOLVER: "Hosts abroad answer by address and not by name: it is the resolver",
    Link.CAPTIVE: "Somebody else answers for the anchors, as the login page of a hotel does",
    Link.OFFLINE: "This machine is offline",
    Link.UNKNOWN: "How this machine is connected cannot be told",
}


def places(title: str, groups: Groups) -> str:
    """k of n, the rest by name, and why that is no verdict."""
    answers = {label: answer_of(steps) for label, steps in groups.items()}
    silent = [label for label, answer in answers.items() if answer is Answer.NO]
    asked = len(answers) - sum(answer is Answer.UNKNOWN for answer in answers.values())
    if asked == 0:
        return NOTHING
    told = f"{title} answered at {_of(asked - len(silent), asked)}"
    if silent:
        told += f"; {_rest(silent, asked)} ({_why(groups, silent)})"
    return f"{told}.{_unasked(len(answers) - asked)} {_doubt(len(silent), asked)}"


def connectivity(target: str, groups: Groups) -> str:
    """What the anchors say about this place."""
    del target
    answers = [answer_of(steps) for steps in groups.values()]
    yes = answers.count(Answer.YES)
    asked = len(answers) - answers.count(Answer.UNKNOWN)
    link = link_of(step for steps in groups.values() for step in steps)
    count = f"{_of(yes, asked)} answered" if asked else "no anchor could be asked"
    return (
        f"{_LINKS[link]}: {count.replace('places', 'anchors').replace('place', 'anchor')}."
        f"{_unasked(len(answers) - asked)} Whether any one site is reachable, this cannot tell."
    )


def _of(count: int, of: int) -> str:
    if count == of:
        return f"all {of} places" if of > 1 else "the one place asked"
    if count == 0:
        return f"none of {of} places" if of > 1 else "no place"
    return f"{count} of {of} places"


def _rest(silent: Sequence[str], asked: int) -> str:
    if len(silent) == asked:
        return "nobody answered" if asked > 1 else "it did not answer"
    return f"{listed([label or 'the URL itself' for label in silent], 4)} did not"


def _why(groups: Groups, silent: Iterable[str]) -> str:
    """The commonest failures, the step named: `TLS: connection reset`."""
    ends = Counter(_end(groups[label]) for label in silent)
    words = [words for words, _ in ends.most_common(2)]
    return " or ".join(words) + (" and others" if len(ends) > len(words) else "")


def _end(steps: Sequence[Observation]) -> str:
    last = [step for step in deepest_of(steps) if step.failure not in OWN][-1]
    if last.failure is None and last.exchange is not None:
        return f"{STEPS[last.operation]}: {replied(last.exchange)}"
    return f"{STEPS[last.operation]}: {failure_of(last)}"


def _unasked(count: int) -> str:
    return f" {count} could not be asked from here." if count else ""


def _doubt(silent: int, asked: int) -> str:
    if silent == 0:
        return "Whether the service as a whole works was not tried."
    if silent == asked:
        return f"A block looks like this, and so does an outage of the service; {ONLY_A_CONTROL}."
    return f"A partial block looks like this, and so do servers that are down; {ONLY_A_CONTROL}."
