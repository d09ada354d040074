"""Merge votes and silences of narrow scopes into wider ones."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import attrgetter

from msgspec.structs import replace

from heliograph_collector.model.records import SilenceCount, Vote
from heliograph_collector.model.seniority import Seniority

_BLANKS: Mapping[str, str | int] = {
    "country": "", "region": "", "asn": 0, "access": "", "service": "",
}  # fmt: skip
_FIELDS = tuple(_BLANKS)
_place = attrgetter(*_FIELDS)
_silence = attrgetter("country", "region", "asn", "access", "start_us")
_Silence = tuple[str, str, int, str, int]


def widen_votes(votes: Iterable[Vote], merged_fields: Collection[str]) -> list[Vote]:
    """Merge votes by vantage and bin over fields.

    The worst row gives layer and method.
    """
    merged: defaultdict[tuple[object, ...], list[Vote]] = defaultdict(list)
    blanks = {name: _BLANKS[name] for name in merged_fields}
    places = [(_FIELDS.index(name), value) for name, value in blanks.items()]
    for vote in votes:
        key = [*_place(vote), vote.start_us, vote.pseudonym]
        for index, value in places:
            key[index] = value
        merged[tuple(key)].append(vote)
    # Only what changes is copied: rows are many, and most are the only one of their bin.
    return [_merge_votes(rows, blanks) for rows in merged.values()]


def _merge_votes(votes: Sequence[Vote], blanks: Mapping[str, str | int]) -> Vote:
    worst, *others = votes
    changes = {name: value for name, value in blanks.items() if getattr(worst, name) != value}
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
        **blanks,
    )


def widen_silences(
    silences: Iterable[SilenceCount], merged_fields: Collection[str] = ()
) -> list[SilenceCount]:
    """Merge silences over fields; they have no service."""
    merged: dict[_Silence, list[int]] = {}
    for silence in silences:
        country, region, asn, access, start_us = _silence(silence)
        key = (
            "" if "country" in merged_fields else country,
            "" if "region" in merged_fields else region,
            0 if "asn" in merged_fields else asn,
            "" if "access" in merged_fields else access,
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
