"""What the judge said, as votes on services: whole-target verdicts of volunteers, and no others."""

from collections.abc import Iterable, Iterator

from heliograph_collector.model.records import (
    UNPLACED,
    Judged,
    Role,
    State,
    Taken,
    Vantage,
    Verdict,
)
from heliograph_collector.model.records import Opinion as Stored
from heliograph_collector.model.signals import Opinion, Place, Standing, Witness, standing_of
from heliograph_collector.model.thresholds import THRESHOLDS, Thresholds

OF_THE_LINK = "anchors."  # they tell of the vantage, and are no service
SLOW = ("throttled", "frozen")  # methods that let bytes through, and few


def opinions(judged: Iterable[Judged], limits: Thresholds = THRESHOLDS) -> Iterator[Opinion]:
    """In the order given. Who is nowhere, or measured at a time that cannot be, has no vote."""
    for taken, verdicts in judged:
        whole = next((v for v in verdicts if v.endpoint == ""), None)
        if whole is not None and _votes(taken) and not whole.rule.startswith(OF_THE_LINK):
            yield _opinion(taken, whole, limits)


def remembered(
    stored: Iterable[Stored], service: str, limits: Thresholds = THRESHOLDS
) -> Iterator[Opinion]:
    """The same, of what the store kept."""
    for one in stored:
        first_us = 0 if one.established else one.started_us
        witness = Witness(one.nym, one.prefix, _place(one.place), first_us)
        said = _standing(one, limits)
        yield Opinion(one.started_us, witness, service, said, one.layer, one.method)


def _votes(taken: Taken) -> bool:
    return (
        taken.role is Role.VOLUNTEER
        and taken.vantage.country != UNPLACED
        and bool(taken.measurement.service)
        and not taken.time_bad
    )


def _opinion(taken: Taken, whole: Verdict, limits: Thresholds) -> Opinion:
    at_us = min(taken.started_us, taken.received_us)
    first_us = 0 if taken.established else at_us  # the date itself is not kept
    return Opinion(
        at_us,
        Witness(taken.nym, taken.prefix, _place(taken.vantage), first_us),
        taken.measurement.service,
        _standing(whole, limits),
        whole.layer,
        whole.method,
        taken.measurement.experiment,
    )


def _standing(verdict: Verdict | Stored, limits: Thresholds) -> Standing:
    if verdict.state is State.BLOCKED and verdict.method in SLOW:
        return Standing.THROTTLED
    return standing_of(
        verdict.state,
        reachable=verdict.reachable_endpoints,
        endpoints=verdict.endpoints,
        slow=limits.slow,
    )


def _place(vantage: Vantage) -> Place:
    access = "" if vantage.access == "unknown" else vantage.access
    return Place(vantage.country, vantage.region, vantage.asn, access)
