"""Query cells of the store or its cache, and release them to readers."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace

from heliograph.units import SECOND_US
from heliograph_collector.aggregate import rollup
from heliograph_collector.aggregate.disclosure import Disclosure, find_instant
from heliograph_collector.aggregate.vote_counts import CellKey
from heliograph_collector.aggregate.wider_scopes import widen_silences, widen_votes
from heliograph_collector.http.backend import CellSource, PublicScope
from heliograph_collector.model.records import Cell, SilenceCount, Vote
from heliograph_collector.model.scope import ScopeFilter

_FIELDS = ("country", "region", "asn", "access", "service")  # of the scope of a cell


def feed_disclosure(feed: PublicScope, unlisted: Collection[str] = ()) -> Disclosure:
    """Return the rule for cells of listed services and targets, and `unlisted` ones."""
    k = feed.k_anonymity
    names = {*feed.services, *feed.targets, *unlisted}
    return Disclosure(k, names, find_instant(feed.clock.wall_us(), k))


def roll_up_merged(
    votes: Sequence[Vote],
    silences: Sequence[SilenceCount],
    window: tuple[int, int, int],
    merged_fields: Collection[str],
) -> list[Cell]:
    """Roll up votes and silences, merged over some fields."""
    return rollup.roll_up(
        widen_votes(votes, merged_fields), widen_silences(silences, merged_fields), *window
    )


async def query_store(
    feed: CellSource, since_us: int, until_us: int, bin_s: int, scope_filter: ScopeFilter
) -> tuple[list[Vote], list[SilenceCount]]:
    """Query the votes of bins, and the silences, which name no service.

    Raises StoreError.
    """
    votes = await feed.votes(since_us, until_us, bin_s, **scope_filter.keywords())
    place_filter = replace(scope_filter, service=None)
    silences = await feed.silences(since_us, until_us, bin_s, **place_filter.keywords())
    return list(votes), list(silences)


async def query_cells(
    feed: CellSource,
    since_us: int,
    until_us: int,
    bin_s: int,
    scope_filter: ScopeFilter,
    merged_fields: Collection[str],
    *,
    keep_empty: bool = True,
) -> list[Cell]:
    """Query cells under a filter, merged over `merged_fields`, before their release.

    Args:
        since_us: Start of the window, microseconds UTC; `until_us` is its end.
        merged_fields: Names of place and service fields.
        keep_empty: Whether to include cells without votes and silences.

    Raises:
        StoreError: The store does not answer.
    """
    filters = scope_filter.keywords()
    return list(
        await feed.wide(since_us, until_us, bin_s, wider=merged_fields, empty=keep_empty, **filters)
    )


async def query_series(
    feed: CellSource, since_us: int, until_us: int, bin_s: int, scope_filter: ScopeFilter
) -> list[Cell]:
    """Query the released cell of each bin, over all that the filter leaves open."""
    filters = scope_filter.keywords()
    totals = [name for name in _FIELDS if name not in filters]
    key = CellKey(
        country=scope_filter.country or "",
        region=scope_filter.region or "",
        asn=scope_filter.asn or 0,
        access=scope_filter.access or "",
        service=scope_filter.service or "",
    )
    blank = rollup.blank_cell(key, bin_s)
    starts = range(since_us, until_us, bin_s * SECOND_US)
    disclosure = feed_disclosure(feed, feed.unlisted)
    is_exact = disclosure.k <= 1  # then the store adds up, which counts a network once
    cells = await query_cells(
        feed,
        since_us,
        until_us,
        bin_s,
        scope_filter if is_exact else _widen_filter(scope_filter),
        totals if is_exact else [name for name in totals if name in ("region", "service")],
        keep_empty=False,
    )
    places = [name for name in totals if name != "service"]
    return await asyncio.to_thread(disclosure.release_series, blank, cells, starts, places)


def _widen_filter(scope_filter: ScopeFilter) -> ScopeFilter:
    """Return the filter of the cells that decide on a release.

    That of a region depends on its whole network, that of the other networks (ASN 0) on the
    country, and that of a network on itself.
    """
    return replace(scope_filter, region=None, asn=scope_filter.asn or None)
