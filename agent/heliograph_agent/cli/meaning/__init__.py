"""What a measurement means in one plain sentence, and what it cannot tell.

One place alone has nothing to compare itself with, so no sentence gives a verdict: it says what was
seen, what that looks like, and who could tell. `sentence` is pure; a row of SENTENCES for each
experiment whose meaning lies in the difference between its endpoints, the others are told by stage
or count.
"""

from collections.abc import Callable, Mapping, Sequence

from heliograph.experiments import ANCHORS
from heliograph.observation import Observation
from heliograph_agent.cli.meaning.contrast import ech, http_host, quic, sni, throttling
from heliograph_agent.cli.meaning.names import dns, dns_integrity
from heliograph_agent.cli.meaning.one import NOTHING, single, web
from heliograph_agent.cli.meaning.places import connectivity, places
from heliograph_agent.cli.meaning.way import middlebox, path
from heliograph_agent.cli.steps import by_endpoint
from heliograph_agent.cli.words import OWN

Groups = Mapping[str, Sequence[Observation]]
Teller = Callable[[str, Groups], str]

SENTENCES: Mapping[str, Teller] = {
    "connectivity": connectivity,
    "dns": dns,
    "dns_integrity": dns_integrity,
    "ech": ech,
    "http_host": http_host,
    "middlebox": middlebox,
    "path": path,
    "quic": quic,
    "sni": sni,
    "throttling": throttling,
    "web": web,
}


def sentence(
    experiment: str, target: str, observations: Sequence[Observation], *, title: str = ""
) -> str:
    """A sentence or a few, without an end of line; `title` is the service's, if it is one.

    "" when nothing was observed.
    """
    if not observations:
        return ""
    groups = by_endpoint(observations)
    if all(step.failure in OWN for step in observations) and experiment != ANCHORS:
        return NOTHING
    if (told := SENTENCES.get(experiment)) is not None:
        return told(target, groups)
    if title or len(groups) > 1:
        return places(title or target or experiment, groups)
    return single(target or experiment, observations)
