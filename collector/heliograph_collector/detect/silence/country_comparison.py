"""Compare a country that fell silent with the other countries at that moment."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from statistics import median

from heliograph.units import SECOND_US
from heliograph_collector.detect.silence.country_tally import FallenTally
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.stats.voting import VoteCount
from heliograph_collector.model.thresholds import Thresholds

LIVING_ONE_IN = 3  # of the other countries must live on: then the collector does; assumed
_FEW_SHARE = 0.34  # of a country, whose few silences may be chance; assumed
_JOINT_SHARE = 0.34  # of all countries, that fall together as by one fault of ours; assumed
_COMMON_US = 300 * SECOND_US  # in which a fault of ours reaches one country after another; assumed


@dataclass(frozen=True, slots=True)
class CountryComparison:
    """State of the other countries at the moment when a country fell silent."""

    is_known: bool = False  # they have enough votes for a comparison
    is_hit: bool = False  # the median country fell silent too
    lives_on: bool = False  # … yet many did not at all, so the collector is not down
    is_joint: bool = False  # whole countries fell with it, too many for coincidence
    countries: int = 0  # with enough votes …
    fallen: int = 0  # … of which a share fell silent too …
    begun: int = 0  # … or at least began to: half of that share, and no few by chance
    halved: int = 0  # … or half of it and more

    @property
    def may_be_transit(self) -> bool:
        """Return whether our way to some countries may be broken, while others live on."""
        return self.lives_on and (self.is_hit or self.is_joint)

    @property
    def are_several(self) -> bool:
        """Return whether two countries or more fell silent too, if not as far."""
        return self.fallen > 1


def compare_countries(
    presence: PresenceTracker,
    country: str,
    since_us: int,
    carrier: str = "",
    *,
    apart: Collection[str] = (),
) -> CountryComparison:
    """Compare a country's silences since a time with those of the other countries.

    The median country decides, so that a second country that is cut at the same time does not. A
    vantage that was silent for a moment was hit too: it counts though it is back.

    Args:
        carrier: Only vantages of this carrier are compared; "" is every one.
        apart: Countries that fell by themselves, which are left out.
    """
    others = [other for other in presence.countries if other != country and other not in apart]
    tallies = [presence.tally(other, carrier) for other in others]
    counts = _count_countries(tallies, since_us, presence.limits)
    world = VoteCount()
    for count in counts:
        world.add(count)
    if world.votes < presence.limits.witnesses:
        return CountryComparison()
    return _summarize_counts(counts, world, presence.limits)


def _count_countries(
    tallies: Sequence[FallenTally], since_us: int, limits: Thresholds
) -> list[VoteCount]:
    """Count each country's votes; young vantages count if the established are few."""
    established = [tally.sum_established(since_us) for tally in tallies]
    if sum(nat_votes for _, nat_votes in established) >= limits.witnesses:
        return [count for count, _ in established]
    return [tally.sum_every(since_us) for tally in tallies]


def _summarize_counts(
    every: Sequence[VoteCount], world: VoteCount, limits: Thresholds
) -> CountryComparison:
    """Compare the votes of the countries.

    Args:
        every: The votes of each, of which those with enough votes are compared.
        world: The votes of all.
        limits: The thresholds.
    """
    counts = [count for count in every if count.votes >= limits.witnesses]
    shares = [count.share for count in counts]
    share = median(shares) if len(shares) > 1 else world.share
    living = [count for count in counts if _lives_on(count, limits)]
    is_many = LIVING_ONE_IN * len(living) >= len(counts)
    lives_on = is_many and sum(count.votes for count in living) >= limits.votes
    halved = sum(share >= limits.suspect_share for share in shares)
    is_joint = halved > 0 and 1 + halved >= _JOINT_SHARE * (1 + len(shares))
    return CountryComparison(
        is_known=True,
        is_hit=share >= limits.witness_share,
        lives_on=lives_on,
        is_joint=is_joint,
        countries=len(shares),
        fallen=sum(share >= limits.witness_share for share in shares),
        begun=sum(_begins(count, limits) for count in counts),
        halved=halved,
    )


def keep_comparison(
    earlier: CountryComparison | None, latest: CountryComparison, waited_us: int
) -> CountryComparison:
    """Return the earlier comparison if others lived on and only churn differs.

    A wait of half an hour adds the losses of half an hour to theirs: those of people who go to bed
    make a fifth of a small country. A fault of ours that reaches them late takes half of one, and
    one that is over gives a country back.

    Args:
        earlier: The comparison that was kept at the last evaluation; None at the first.
        latest: The present comparison.
        waited_us: The time since the first silence.
    """
    if earlier is None or not earlier.lives_on or waited_us < _COMMON_US:
        return latest
    return earlier if latest.halved == earlier.halved else latest


def _begins(count: VoteCount, limits: Thresholds) -> bool:
    return count.hits >= limits.burst and count.share >= limits.witness_share / 2


def _lives_on(count: VoteCount, limits: Thresholds) -> bool:
    """Return whether a country lives on.

    In a small country three silences by chance are 25 %.
    """
    is_few = count.hits <= limits.burst and count.share <= _FEW_SHARE
    return is_few or count.share < limits.witness_share
