"""Votes and silences seen from farther away: what a question leaves open is added up."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from heliograph_collector.model.records import Cell, Silence, State, Vote


def widen_votes(votes: Iterable[Vote], **wider: Any) -> list[Vote]:
    """Still one row per vantage and bin; the worst of its rows lends layer and method."""
    merged: dict[tuple[object, ...], Vote] = {}
    for vote in votes:
        wide = replace(vote, **wider)
        key = (wide.country, wide.region, wide.asn, wide.access, wide.service, wide.start_us)
        one = merged.get((*key, wide.nym))
        merged[(*key, wide.nym)] = wide if one is None else _add(one, wide)
    return list(merged.values())


def _add(a: Vote, b: Vote) -> Vote:
    worse = max(a, b, key=lambda vote: (vote.blocked + vote.down, vote.layer))
    return replace(
        worse,
        reachable=a.reachable + b.reachable,
        blocked=a.blocked + b.blocked,
        down=a.down + b.down,
        unknown=a.unknown + b.unknown,
    )


def widen_silences(silences: Iterable[Silence], **wider: Any) -> list[Silence]:
    merged: dict[tuple[object, ...], Silence] = {}
    for silence in silences:
        wide = replace(silence, **wider)
        key = (wide.country, wide.region, wide.asn, wide.access, wide.start_us)
        one = merged.get(key)
        merged[key] = wide if one is None else replace(one, vantages=one.vantages + wide.vantages)
    return list(merged.values())


def blank(where: Mapping[str, Any], service: str, bin_s: int) -> Cell:
    """Nobody measured: a row all the same."""
    return Cell(
        **where,
        service=service,
        start_us=0,
        bin_s=bin_s,
        vantages=0,
        reachable=0,
        blocked=0,
        down=0,
        unknown=0,
        silent=0,
        state=State.UNKNOWN,
        confidence=0.0,
    )


def dense(
    empty: Cell, measured: Sequence[Cell], shown: Sequence[Cell], starts: Iterable[int]
) -> list[Cell | None]:
    """A cell for each start; None where somebody measured and may not be shown.

    Where nothing is ever shown, nobody is told apart from too few: by the minute it would say when
    the one volunteer of a network was there.
    """
    visible = {c.start_us: c for c in shown if _place(c) == _place(empty)}
    told = any(c.vantages or c.silent for c in visible.values())
    busy = {c.start_us for c in measured if c.vantages} if told else set()
    rows: list[Cell | None] = []
    for start in starts:
        cell = visible.get(start)
        withheld = start in busy and (cell is None or not cell.vantages)
        rows.append(None if withheld else cell or replace(empty, start_us=start))
    return rows


def _place(cell: Cell) -> tuple[object, ...]:
    return (cell.country, cell.region, cell.asn, cell.access, cell.service)
