"""Merge votes and silences of narrow scopes into wider ones."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from msgspec.structs import replace

from heliograph_collector.model.records import SilenceCount, Vote
from heliograph_collector.model.seniority import Seniority

_PLACE = ("country", "region", "asn", "access", "service")
_place = attrgetter(*_PLACE)
_silence = attrgetter("country", "region", "asn", "access", "start_us")
_Silence = tuple[str, str, int, str, int]


def widen_votes(votes: Iterable[Vote], **wider: Any) -> list[Vote]:
    """Merge votes by vantage and bin; the worst row gives layer and method."""
    merged: defaultdict[tuple[object, ...], list[Vote]] = defaultdict(list)
    places = [(_PLACE.index(name), value) for name, value in wider.items()]
    for vote in votes:
        key = [*_place(vote), vote.start_us, vote.pseudonym]
        for index, value in places:
            key[index] = value
        merged[tuple(key)].append(vote)
    # Only what changes is copied: rows are many, and most are the only one of their bin.
    return [_merge_votes(rows, wider) for rows in merged.values()]


def _merge_votes(votes: Sequence[Vote], wider: Mapping[str, Any]) -> Vote:
    worst, *others = votes
    changes = {name: value for name, value in wider.items() if getattr(worst, name) != value}
    if not others:
        return replace(worst, **changes) if changes else worst
    bad = worst.blocked + worst.down
    for vote in others:
        if (vote.blocked + vote.down, vote.layer) > (bad, worst.layer):
            worst = vote
        bad += vote.blocked + vote.down
    return replace(
        worst,
        reachable=sum(vote.reachable for vote in votes),
        blocked=sum(vote.blocked for vote in votes),
        down=sum(vote.down for vote in votes),
        unknown=sum(vote.unknown for vote in votes),
        seniority=max((vote.seniority for vote in votes), key=list(Seniority).index),
        **wider,
    )


def widen_silences(silences: Iterable[SilenceCount], **wider: Any) -> list[SilenceCount]:
    """Merge silences over the given fields."""
    merged: dict[_Silence, list[int]] = {}
    for silence in silences:
        country, region, asn, access, start_us = _silence(silence)
        key = (
            wider.get("country", country),
            wider.get("region", region),
            wider.get("asn", asn),
            wider.get("access", access),
            start_us,
        )
        counts = merged.setdefault(key, [0, 0])
        counts[0] += silence.vantages
        counts[1] += silence.counted
    return [
        SilenceCount(
            country=country,
            region=region,
            asn=asn,
            access=access,
            start_us=start_us,
            vantages=vantages,
            established=established,
        )
        for (country, region, asn, access, start_us), (vantages, established) in merged.items()
    ]
