"""What the rest of the world takes away from a verdict, or lends to it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from heliograph_collector.judge.comparisons.table import Row
from heliograph_collector.judge.confidence import confidence
from heliograph_collector.model.records import Contrast, ControlView, State, Verdict

STAND_IN = 0.75  # what is left of a verdict's strength where volunteers stand in for the control


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """When failures elsewhere are one outage and not many censors."""

    vantages: int = 3  # that reached it within a day and do not any more
    countries: int = 3  # … in so many others than the vantage's own
    majority: int = 2  # times as many countries as still reach it


THRESHOLDS = Thresholds()

WORLDWIDE = Row(
    id="down.worldwide",
    state=State.DOWN,
    says="It fails in three or more other countries at once, where it worked within a day, and "
    "in at least twice as many as reach it: an outage, even if the control got through.",
    strength=0.7,
)
WORLD_ROWS = (WORLDWIDE,)


def weighed(verdict: Verdict, control: ControlView) -> Verdict:
    """The verdict on one endpoint in the light of the world.

    Blocking that befell unrelated countries in the same quarter of an hour is an outage. That a
    stand-in fails tells nothing of the target, as that a control does.
    """
    if verdict.state is State.BLOCKED and _fell(control.contrast, verdict.endpoint):
        return replace(
            verdict,
            state=WORLDWIDE.state,
            rule=WORLDWIDE.id,
            confidence=confidence(WORLDWIDE.strength, control.age_us),
        )
    if not control.stand_in or verdict.state is State.UNKNOWN:
        return verdict
    if verdict.state is State.DOWN:
        return Verdict(state=State.UNKNOWN, rule="control.missing", endpoint=verdict.endpoint)
    if verdict.state is State.BLOCKED:
        return replace(verdict, confidence=round(verdict.confidence * STAND_IN, 3))
    return verdict


def _fell(contrast: Mapping[str, Contrast], endpoint: str) -> bool:
    seen = contrast.get(endpoint)
    return (
        seen is not None
        and seen.fell_vantages >= THRESHOLDS.vantages
        and seen.fell_countries >= THRESHOLDS.countries
        and seen.fell_countries >= THRESHOLDS.majority * seen.reached_countries
    )
