"""The failure that counts: the deepest step that failed on every connection, and nothing local."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from heliograph.failure import Failure, Operation
from heliograph_collector.judge.endpoint_view import Attempt, Sight, Step
from heliograph_collector.judge.failure_semantics import DEPTH


@dataclass(frozen=True, slots=True)
class Failing:
    """Where a target stopped. `attempts` are the connections that ended there or earlier."""

    operation: Operation
    failure: Failure
    steps: tuple[Step, ...]
    attempts: tuple[Attempt, ...] = ()


def failing(sight: Sight, control: Sight) -> Failing | None:
    """None when nothing failed, or nothing that can be called interference."""
    attempts = conclusive(sight, control)
    if not sight.resolved:
        steps = [s for s in sight.counted_lookups if s.method]
        return _stopped([] if six_only(sight, control) else steps, sight, ())
    return _stopped([a.failed for a in attempts if a.failed is not None], sight, attempts)


def conclusive(sight: Sight, control: Sight) -> tuple[Attempt, ...]:
    """Failed connections that count: IPv6 ones only for a target that has nothing else."""
    six = six_counts(sight, control)
    return tuple(a for a in sight.own_attempts if a.failed is not None and (six or not a.ipv6))


def six_only(sight: Sight, control: Sight) -> bool:
    """The name has IPv6 addresses alone, and the vantage asked for none or got none.

    That there is no A record is the truth then, and no IPv6 may be the vantage's own lack.
    """
    words = {s.seen.failure for s in sight.counted_lookups if s.method}
    known = control.own_addresses
    return words == {Failure.DNS_NO_ANSWER} and bool(known) and all(":" in a for a in known)


def six_counts(sight: Sight, control: Sight) -> bool:
    """IPv6 alone counts when neither side knows an IPv4 address and IPv6 works on both sides.

    A vantage may hold an IPv6 address and have no IPv6: routers' answers and silence, as a censor
    makes them, are what a broken tunnel makes as well.
    """
    addresses = {a.address for s in (sight, control) for a in s.attempts if a.address}
    four = any(":" not in a for a in addresses | sight.own_addresses | control.own_addresses)
    works = any(a.ipv6 and Operation.CONNECT in a.passed for a in control.own_attempts)
    return works and sight.six_works and not four


def _stopped(steps: Sequence[Step], sight: Sight, attempts: tuple[Attempt, ...]) -> Failing | None:
    if not steps:
        return None
    deepest = max((s.operation for s in steps), key=lambda operation: DEPTH[operation])
    if deepest in sight.passed:  # another connection got past it, and then nothing conclusive
        return None
    there = [s for s in steps if s.operation is deepest]
    words = Counter(s.seen.failure for s in there if s.seen.failure is not None)
    return Failing(deepest, words.most_common(1)[0][0], tuple(there), attempts)
