"""Merge votes and silences of narrow scopes into wider ones."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from heliograph_collector.model.records import SilenceCount, Vote
from heliograph_collector.model.seniority import Seniority


def widen_votes(votes: Iterable[Vote], **wider: Any) -> list[Vote]:
    """Merge votes by vantage and bin; the worst row gives layer and method."""
    merged: dict[tuple[object, ...], Vote] = {}
    for vote in votes:
        wide = replace(vote, **wider)
        key = (wide.country, wide.region, wide.asn, wide.access, wide.service, wide.start_us)
        previous = merged.get((*key, wide.pseudonym))
        merged[(*key, wide.pseudonym)] = wide if previous is None else _merge_votes(previous, wide)
    return list(merged.values())


def _merge_votes(first: Vote, second: Vote) -> Vote:
    worse = max(first, second, key=_rank_badness)
    return replace(
        worse,
        reachable=first.reachable + second.reachable,
        blocked=first.blocked + second.blocked,
        down=first.down + second.down,
        unknown=first.unknown + second.unknown,
        seniority=max(first.seniority, second.seniority, key=list(Seniority).index),
    )


def _rank_badness(vote: Vote) -> tuple[int, str]:
    return vote.blocked + vote.down, vote.layer


def widen_silences(silences: Iterable[SilenceCount], **wider: Any) -> list[SilenceCount]:
    """Merge silences over the given fields."""
    merged: dict[tuple[object, ...], SilenceCount] = {}
    for silence in silences:
        wide = replace(silence, **wider)
        key = (wide.country, wide.region, wide.asn, wide.access, wide.start_us)
        earlier = merged.get(key) or replace(wide, vantages=0, established=0)
        merged[key] = replace(
            wide,
            vantages=earlier.vantages + wide.vantages,
            established=earlier.counted + wide.counted,
        )
    return list(merged.values())
