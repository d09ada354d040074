"""The newest votes on one service, by vantage and experiment, and the new voters."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from heliograph_collector.detect.stats.voting import are_established, select_voters
from heliograph_collector.model.signals import (
    FAILING_VALUES,
    LIGHT_SOURCE,
    ServiceVote,
    VoteValue,
)
from heliograph_collector.model.thresholds import Thresholds

VoterKey = tuple[str, str]  # (pseudonym, experiment)
_BY_SEVERITY = (
    VoteValue.UNKNOWN,
    VoteValue.GOOD,
    VoteValue.DOWN,
    VoteValue.THROTTLED,
    VoteValue.PARTIAL,
    VoteValue.BLOCKED,
    VoteValue.ISOLATED,
)


@dataclass(slots=True)
class NewVoters:
    """Voters of a bin: by a changed vote, or by a repeat of the same failure."""

    keys: set[VoterKey] = field(default_factory=set)
    repeating: set[str] = field(default_factory=set)  # pseudonyms

    @property
    def pseudonyms(self) -> set[str]:
        return {pseudonym for pseudonym, _ in self.keys}

    def select_new(self, votes: Iterable[ServiceVote]) -> list[ServiceVote]:
        """Select the votes of the bin that count."""
        names = self.pseudonyms
        return [o for o in votes if o.witness.nym in names and o.standing is not VoteValue.DOWN]


def update_latest(latest: dict[VoterKey, ServiceVote], votes: Iterable[ServiceVote]) -> NewVoters:
    """Store newer votes; return who has a new one.

    A measurement that is judged again with the same result is no new vote. A test of the whole
    service replaces an earlier light check of its vantage, and a light check from before such a
    test is dropped: one endpoint shows less than all.
    """
    new_voters = NewVoters()
    for vote in votes:
        voter = vote.witness.nym, vote.source
        previous = latest.get(voter)
        if previous is not None and vote.at_us < previous.at_us:
            continue
        service_test = latest.get((vote.witness.nym, vote.source.removesuffix(LIGHT_SOURCE)))
        if vote.is_light and service_test is not None and vote.at_us < service_test.at_us:
            continue
        is_known = previous is not None and (vote.at_us, vote.standing) == (
            previous.at_us, previous.standing,
        )  # fmt: skip
        if _is_repeated_failure(vote, latest):
            new_voters.repeating.add(vote.witness.nym)
        elif not is_known:
            new_voters.keys.add(voter)
        if not vote.is_light:
            latest.pop((vote.witness.nym, vote.source + LIGHT_SOURCE), None)
        latest[voter] = vote
    return new_voters


def _is_repeated_failure(vote: ServiceVote, latest: Mapping[VoterKey, ServiceVote]) -> bool:
    """Return whether a test out of its turn only repeats a failure of its vantage.

    A test that repeats a failed one is no sample, so a further failure shows only that the first
    was no accident. A success counts as any other.
    """
    if not vote.trigger or vote.standing not in FAILING_VALUES:
        return False
    experiment = vote.source.removesuffix(LIGHT_SOURCE)
    earlier = (latest.get((vote.witness.nym, experiment + kind)) for kind in ("", LIGHT_SOURCE))
    return any(other is not None and other.standing in FAILING_VALUES for other in earlier)


def list_worst_votes(
    latest: Mapping[VoterKey, ServiceVote], new_voters: NewVoters
) -> Iterable[ServiceVote]:
    """Return the worst vote of each vantage; remove its other votes from `new_voters`."""
    worst: dict[str, ServiceVote] = {}
    for voter, vote in latest.items():
        other = worst.get(vote.witness.nym)
        if vote.standing is VoteValue.UNKNOWN:
            new_voters.keys.discard(voter)
        elif other is None:
            worst[vote.witness.nym] = vote
        else:
            pair = sorted((other, vote), key=_severity_key)
            new_voters.keys.discard((pair[0].witness.nym, pair[0].source))
            worst[vote.witness.nym] = pair[1]
    return worst.values()


def select_votes(
    votes: Sequence[ServiceVote], now_us: int, limits: Thresholds
) -> list[ServiceVote]:
    """Select the votes that count; a young one only if no established one contradicts."""
    if are_established((o.witness for o in votes), now_us, limits):
        return [*votes]
    hits = ((o.witness, o.standing in FAILING_VALUES) for o in votes)
    pseudonyms = {voter.nym for voter, _ in select_voters(hits, now_us, limits)}
    return [o for o in votes if o.witness.nym in pseudonyms]


def _severity_key(vote: ServiceVote) -> tuple[int, int, str]:
    return _BY_SEVERITY.index(vote.standing), vote.at_us, vote.source
