"""An incident as it may be signed for everybody: numbers in steps, times in whole seconds.

The log is public and for ever: 23 votes in a country and 20 in its one network that is named leave
three for somebody to find, and the exact moment a vantage was last heard at is that vantage's.
"""

from dataclasses import replace

from heliograph_collector.detect.fold import Part
from heliograph_collector.detect.incident import Bracket, Incident, Turn

STEPS = (50.0, 20.0, 10.0, 5.0)
_SECOND_US = 1_000_000
_SLACK = 1e-3  # votes are written down with three digits


def coarse(incident: Incident, least: float) -> Incident:
    """Votes are the least of their step, networks no more than these, shares and confidence tenths,
    brackets a little wider.

    The same again for what is coarse already, and the incident itself where `least` (the k of
    k-anonymity) asks for none.
    """
    if least <= 1:
        return incident
    return replace(
        incident,
        parts=tuple(_part(part, least) for part in incident.parts),
        turns=tuple(_turn(turn, least) for turn in incident.turns),
        started=_bracket(incident.started),
        ended=_bracket(incident.ended) if incident.ended else None,
        suspected_us=_second(incident.suspected_us),
        confirmed_us=_maybe(incident.confirmed_us),
        closed_us=_maybe(incident.closed_us),
        confidence=_tenths(incident.confidence),
    )


def _part(part: Part, least: float) -> Part:
    step = next((s for s in STEPS if part.votes >= s - _SLACK), part.votes)
    votes = max(step, least)
    # A network has a vote or so: more of them than votes would say how many votes there were.
    networks = min(part.networks, int(votes))
    return replace(part, votes=votes, share=_tenths(part.share), networks=networks)


def _turn(turn: Turn, least: float) -> Turn:
    parts = tuple(_part(part, least) for part in turn.parts)
    return replace(turn, parts=parts, when=_bracket(turn.when), seen_us=_second(turn.seen_us))


def _bracket(bracket: Bracket) -> Bracket:
    latest = -(-bracket.latest_us // _SECOND_US) * _SECOND_US
    return Bracket(_second(bracket.earliest_us), latest)


def _second(at_us: int) -> int:
    """Also of what we saw ourselves: a silence is seen so long after somebody's last heartbeat."""
    return at_us // _SECOND_US * _SECOND_US


def _maybe(at_us: int | None) -> int | None:
    return None if at_us is None else _second(at_us)


def _tenths(share: float) -> float:
    """Rounded down: nobody is to be surer than the votes are."""
    return round(share * 1_000) // 100 / 10
