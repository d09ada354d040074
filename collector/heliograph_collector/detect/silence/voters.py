"""Count the voters of one evaluation by tally, and list them once when needed."""

from collections.abc import Sequence
from functools import cached_property

from heliograph_collector.detect.silence import confounders
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import count_silent, select_voting
from heliograph_collector.detect.stats.localization import attach_persons, localize
from heliograph_collector.detect.stats.voting import (
    VoteCount,
    VotesByPlace,
    count_votes,
    is_established,
)
from heliograph_collector.model.scope import AffectedCell
from heliograph_collector.model.signals import VantageLocation


class CountryVoters:
    """The vantages of a country that are live, or fell silent since a time.

    Others are silent since before, by another cause (`beside`): a cell that needs them to be as
    wide as it seems is none.
    """

    def __init__(
        self,
        presence: PresenceTracker,
        country: str,
        since_us: int,
        now_us: int,
        beside: Sequence[VantagePresence] = (),
    ) -> None:
        self._presence = presence
        self._country = country
        self._since_us = since_us
        self._now_us = now_us
        self._beside = beside
        self._tally = presence.silence_tally(country)
        self._tally.move_to(since_us, now_us)

    @cached_property
    def _recent(self) -> list[VantagePresence]:
        return self._presence.list_recent(self._country, self._since_us)

    @cached_property
    def all_voters(self) -> list[VantagePresence]:
        """All that have a vote; they make a suspicion."""
        if not self._tally.young:
            return self._recent
        return select_voting(self._recent, self._now_us, self._presence.limits)

    @cached_property
    def deciding(self) -> list[VantagePresence]:
        """The established, if they suffice to confirm."""
        if not self.is_established:
            return self.all_voters
        limits = self._presence.limits
        return [v for v in self._recent if is_established(v.witness, self._now_us, limits)]

    @property
    def is_established(self) -> bool:
        return self._tally.has_enough

    @cached_property
    def votes(self) -> VotesByPlace:
        if not self._tally.young:
            return self._add_unwatched(self._tally.established.list_by_place())
        return self._add_unwatched(count_silent(self.all_voters))

    @cached_property
    def deciding_votes(self) -> VotesByPlace:
        if not self.is_established:
            return self.votes
        return self._add_unwatched(self._tally.established.list_by_place())

    def _add_unwatched(self, votes: VotesByPlace) -> VotesByPlace:
        """Add vantages awaited since a start, or silent by another cause, as not silent.

        Without them a cell would be wider than what fell silent: its other places seem to have
        no vantages until these are back, or found missing when the start is settled.
        """
        limits = self._presence.limits
        awaited = [
            v
            for v in (*self._presence.unwatched[self._country].values(), *self._beside)
            if is_established(v.witness, self._now_us, limits)
        ]
        if not awaited:
            return votes
        counted = count_votes(((v.witness, False) for v in awaited), is_lower_bound=False)
        return {place: _sum(votes, counted, place) for place in {**votes, **counted}}

    def attach_persons(self, cells: Sequence[AffectedCell]) -> tuple[AffectedCell, ...]:
        """Return the cells with the established persons in them."""
        limits = self._presence.limits
        established = [
            v for v in self.all_voters if is_established(v.witness, self._now_us, limits)
        ]
        return attach_persons(cells, count_silent(established, nat_votes=1))

    def may_have_cells(self, share: float) -> bool:
        """Return False if the tally alone shows no cell with such a share of silent votes."""
        votes = self._tally.bound_votes() if self._tally.young else self.votes
        return bool(localize(votes, share, 0.0, self._presence.limits))

    def find_blocked_carrier(self, before_us: int) -> confounders.BlockedCarrier | None:
        """Find a carrier silent in cells where users of other carriers live on."""
        if not self._may_be_blocked():
            return None
        return confounders.find_blocked_carrier(self.deciding, before_us, self._presence.limits)

    def _may_be_blocked(self) -> bool:
        """Return False if the tallies alone show no carrier, of several, to be silent."""
        carriers = sorted(self._tally.carriers)
        if len(carriers) < 2 or not self.is_established:
            return len(carriers) > 1
        limits = self._presence.limits
        for carrier in carriers:
            tally = self._presence.silence_tally(self._country, carrier)
            tally.move_to(self._since_us, self._now_us)
            votes = tally.established.list_by_place()
            if localize(votes, limits.confirm_share, limits.votes, limits):
                return True
        return False


def end_wait(presence: PresenceTracker) -> list[str]:
    """Stop counting awaited vantages in places with known others; list the countries.

    After a takeover hosts have reported their sessions. A vantage that is still awaited was at a
    host that died, and would hide for `grace_s` that the others of its place are silent.
    """
    countries = [country for country, awaited in presence.unwatched.items() if awaited]
    for country in countries:
        members = presence.list_country(country)
        known = {v.place for v in members if v.is_live or v.is_silent}
        awaited = presence.unwatched[country]
        presence.unwatched[country] = {n: v for n, v in awaited.items() if v.place not in known}
    return countries


def _sum(first: VotesByPlace, second: VotesByPlace, place: VantageLocation) -> VoteCount:
    total = VoteCount()
    for votes in (first, second):
        if place in votes:
            total.add(votes[place])
    return total
