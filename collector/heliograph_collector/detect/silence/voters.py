"""The voters of one evaluation: selected and counted when needed, and once."""

from functools import cached_property

from heliograph_collector.detect.silence.presence_tracker import (
    PresenceTracker,
    VantagePresence,
    count_silent,
    select_established,
    select_voting,
)
from heliograph_collector.detect.stats.voting import VotesByPlace


class CountryVoters:
    """The vantages of a country that are live, or fell silent since a time."""

    def __init__(self, presence: PresenceTracker, country: str, since_us: int, now_us: int) -> None:
        self._presence = presence
        self._country = country
        self._since_us = since_us
        self._now_us = now_us

    @cached_property
    def all_voters(self) -> list[VantagePresence]:
        """All that have a vote; they make a suspicion."""
        recent = self._presence.list_recent(self._country, self._since_us)
        return select_voting(recent, self._now_us, self._presence.limits)

    @cached_property
    def _established(self) -> tuple[list[VantagePresence], bool]:
        limits = self._presence.limits
        return select_established(self.all_voters, self._now_us, limits, limits.votes)

    @property
    def deciding(self) -> list[VantagePresence]:
        """The established, if they suffice to confirm."""
        return self._established[0]

    @property
    def is_established(self) -> bool:
        return self._established[1]

    @cached_property
    def votes(self) -> VotesByPlace:
        return count_silent(self.all_voters)

    @cached_property
    def deciding_votes(self) -> VotesByPlace:
        is_same = len(self.deciding) == len(self.all_voters)
        return self.votes if is_same else count_silent(self.deciding)
