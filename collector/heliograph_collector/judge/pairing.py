"""Which part of a measurement is held against which part of the control's."""

import re
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urljoin

from heliograph.failure import Operation
from heliograph.observation import Link, Measurement, Observation
from heliograph_collector.judge.endpoint_view import NOTHING, Sight, sight
from heliograph_collector.judge.features import Scene
from heliograph_collector.judge.page_comparison import related
from heliograph_collector.model.records import ControlView, Taken

MOST_HOPS = 10  # so many redirects an agent follows

HOP = re.compile(r"(?:redirect-([1-9]\d?))?")  # how the web experiment labels a page's chain


def endpoint_labels(measurement: Measurement | None) -> tuple[str, ...]:
    """The endpoints of a service, in the order met; none for a page or a lone target."""
    seen = measurement.observations if measurement else ()
    return tuple(dict.fromkeys(x.endpoint for x in seen if not HOP.fullmatch(x.endpoint)))


def endpoint_scene(taken: Taken, control: ControlView, label: str) -> Scene:
    """One endpoint of a service, on both sides."""
    here = sight(taken.measurement.observations, label)
    there = sight(_observations(control), label)
    return _scene(taken, control, here, there)


def page_scene(taken: Taken, control: ControlView) -> Scene:
    """The page at the end of the redirects, as far as they can be believed.

    A redirect in clear to a foreign host is believed only when the control was sent there too.
    """
    url = taken.measurement.target
    ours = _hops(taken.measurement.observations, url)
    theirs = _hops(_observations(control), url)
    at = 0
    while at + 1 < len(ours) and (_believed(ours[at], ours[at + 1]) or _same(at + 1, ours, theirs)):
        at += 1
    here = ours[at] if ours else NOTHING
    there = theirs[at] if at < len(theirs) else NOTHING
    known = control.measurement is not None
    elsewhere = known and bool(ours) and at > 0 and not _same(at, ours, theirs)
    scene = _scene(taken, control, here, there)
    more = at + 1 == len(ours) < len(theirs) and _sends_on(here)
    endless = at == MOST_HOPS and _sends_on(here)
    return replace(scene, other_way=elsewhere, more_to_come=more, endless=endless)


def _scene(taken: Taken, control: ControlView, here: Sight, there: Sight) -> Scene:
    four = any(":" not in address for address in there.own_addresses)
    return Scene(
        here=replace(
            here,
            named=bool(there.system_lookups),
            four_known=four,
            six_works=_six_works(taken.measurement.observations),
        ),
        control=replace(there, anywhere=True),
        link=taken.link,
        not_measured=bool(taken.measurement.not_measured),
        age_us=control.age_us if control.measurement is not None else None,
        control_link=control.link if control.measurement is not None else Link.UNKNOWN,
    )


def _six_works(observations: Sequence[Observation]) -> bool:
    """Whether anything over IPv6 was answered: else none of it may have left the house."""
    ends = ((x, x.tcp or x.udp) for x in observations if x.failure is None)
    return any(end is not None and ":" in end.address for _, end in ends)


def _observations(control: ControlView) -> Sequence[Observation]:
    return control.measurement.observations if control.measurement is not None else ()


def _hops(observations: Sequence[Observation], url: str) -> list[Sight]:
    """The pages of the chain, first to last; one that was lost in between has its empty place."""
    depths = [
        int(found.group(1) or 0)
        for seen in observations
        if (found := HOP.fullmatch(seen.endpoint)) is not None
    ]
    hops: list[Sight] = []
    for depth in range(max(depths, default=-1) + 1):
        hop = sight(observations, f"redirect-{depth}" if depth else "", url)
        url = _next(url, hop)
        hops.append(hop)
    return hops


def _next(url: str, hop: Sight) -> str:
    try:
        return urljoin(url, hop.page[1].location) if hop.page else ""
    except ValueError:
        return ""


def _believed(one: Sight, following: Sight) -> bool:
    """Whether the step from one page to the next is the server's own, or stays with the host."""
    secure = Operation.TLS_HANDSHAKE in one.passed
    return secure or (bool(one.name) and related(one.name, following.name))


def _same(at: int, ours: Sequence[Sight], theirs: Sequence[Sight]) -> bool:
    return at < len(theirs) and ours[at].name == theirs[at].name


def _sends_on(here: Sight) -> bool:
    return here.page is not None and 300 <= here.page[1].status < 400
