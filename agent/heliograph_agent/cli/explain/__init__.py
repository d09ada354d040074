"""What a measurement means in one plain sentence, and what it cannot tell.

One place alone has nothing to compare itself with, so no sentence gives a verdict: it says what was
seen, what that looks like, and who could tell. `sentence` is pure; a row of SENTENCES for each
experiment whose meaning lies in the difference between its endpoints, the others are told by stage
or count.
"""

from collections.abc import Callable, Mapping, Sequence

from heliograph.experiments import ANCHORS
from heliograph.observation import Observation
from heliograph_agent.cli.explain.comparison import ech, http_host, quic, sni, throttling
from heliograph_agent.cli.explain.dns import dns, dns_integrity
from heliograph_agent.cli.explain.path import middlebox, path
from heliograph_agent.cli.explain.service import connectivity, places
from heliograph_agent.cli.explain.target import NOTHING, single, web
from heliograph_agent.cli.labels import OWN
from heliograph_agent.cli.observation_tree import by_endpoint

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
