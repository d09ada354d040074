"""An incident held against what a source says: three states, and doubt says nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from heliograph_collector.corroborate.annotation import Annotation, What, Why
from heliograph_collector.corroborate.incident import DAY_US, HOUR_US, SECOND_US, Entity, Incident
from heliograph_collector.corroborate.series import Claim, Claims, Evidence, Point, Series, between

_MINUTE_US = 60 * SECOND_US


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How one signal is read. Shares are of what was expected from its own past."""

    agrees: float  # at or below this share it agrees
    disagrees: float | None = (
        None  # at or above it all along; None: a dark cell need not show in it
    )
    daily: bool = False  # expected: the same hour of former days, not the median of the past
    history_us: int = DAY_US
    lag_us: int  # younger points may still grow
    before_us: int = HOUR_US  # this long before the onset it must have been well
    least: int = 2  # points within the incident
    least_past: int = 6


RULES: Mapping[tuple[str, str], Rule] = {
    ("ris", "visible_prefixes"): Rule(agrees=0.8, lag_us=_MINUTE_US, least=3, least_past=10),
    ("ioda", "bgp"): Rule(agrees=0.9, lag_us=10 * _MINUTE_US),
    ("ioda", "ping-slash24"): Rule(
        agrees=0.8, disagrees=0.97, history_us=7 * DAY_US, lag_us=20 * _MINUTE_US
    ),
    ("ioda", "merit-nt"): Rule(agrees=0.25, history_us=7 * DAY_US, lag_us=20 * _MINUTE_US),
    ("radar", "netflows"): Rule(
        agrees=0.5,
        disagrees=0.85,
        daily=True,
        history_us=7 * DAY_US,
        lag_us=HOUR_US,
        before_us=3 * HOUR_US,
        least_past=3,
    ),
}

LEAST_TO_DISAGREE = 3  # points, since a source that contradicts us must be sure
CLAIM_NEAR_US = 3 * HOUR_US  # an outage that a source dates so near to our onset is the same one


class Said(NamedTuple):
    what: What
    why: Why
    figures: Mapping[str, float] = {}


def hold_against(incident: Incident, evidence: Evidence) -> Annotation:
    """What this evidence says beside this incident, as known when it was read.

    The evidence must be about an entity of the incident's; of a wider cell than the incident's
    it can agree, and never disagree.
    """
    if isinstance(evidence, Series):
        said = _hold_series(incident, evidence)
    elif isinstance(evidence, Claims):
        said = _hold_claims(incident, evidence)
    else:
        raise TypeError(f"{type(evidence).__name__} is no evidence that can be held against")
    return Annotation(
        incident=incident.id,
        source=evidence.source,
        signal=evidence.signal,
        entity=evidence.entity,
        said_us=evidence.read_us,
        since_us=incident.earliest_us,
        until_us=max(incident.earliest_us, min(incident.until_us, evidence.read_us)),
        what=said.what,
        why=said.why,
        figures=said.figures,
        url=evidence.url,
        attribution=evidence.attribution,
    )


def _nothing(why: Why, figures: Mapping[str, float] | None = None) -> Said:
    return Said(What.NOTHING, why, figures or {})


def _hold_series(incident: Incident, series: Series) -> Said:
    rule = RULES[series.source, series.signal]
    ripe_us = series.read_us - rule.lag_us
    during = between(series, incident.latest_us, min(incident.until_us, ripe_us))
    if len(during) < rule.least:
        short = incident.until_us - incident.latest_us < (rule.least + 1) * series.step_us
        return _nothing(Why.TOO_SHORT if short and incident.until_us <= ripe_us else Why.LAGS)
    since_us = incident.earliest_us - rule.before_us
    before = between(series, since_us, incident.earliest_us)
    expected = _expectation(incident, series, rule)
    shares = _shares(during, expected)
    well = _shares(before, expected)
    if not well or len(shares) < rule.least:
        return _nothing(Why.NO_BASELINE)
    return _weigh(shares, median(well), rule, exact=_exact(incident, series.entity))


def _weigh(shares: Sequence[float], before: float, rule: Rule, *, exact: bool) -> Said:
    share = median(shares)
    figures = {
        "before": round(before, 3),
        "during": round(share, 3),
        "least": round(min(shares), 3),
        "points": float(len(shares)),
    }
    if before <= (rule.agrees + 1) / 2:  # half-way down already
        return _nothing(Why.LOW_BEFORE, figures)
    if share <= rule.agrees:
        return Said(What.AGREES, Why.DROPPED, figures)
    if rule.disagrees is None:
        return _nothing(Why.NO_SIGN, figures)
    if min(shares) < rule.disagrees or len(shares) < LEAST_TO_DISAGREE:
        return _nothing(Why.BETWEEN, figures)
    if not exact:
        return _nothing(Why.WIDER, figures)
    return Said(What.DISAGREES, Why.STAYED_UP, figures)


def _expectation(incident: Incident, series: Series, rule: Rule) -> Callable[[Point], float | None]:
    """What a point should have been, from the time before the incident; None: not known."""
    past = between(series, incident.earliest_us - rule.history_us, incident.earliest_us)
    if not rule.daily:
        usual = median(p.value for p in past) if len(past) >= rule.least_past else None
        return lambda _point: usual
    known = {point.at_us: point.value for point in past}

    def of_the_hour(point: Point) -> float | None:
        days = range(1, rule.history_us // DAY_US + 2)
        same = [known[at] for day in days if (at := point.at_us - day * DAY_US) in known]
        return median(same) if len(same) >= rule.least_past else None

    return of_the_hour


def _shares(points: Sequence[Point], expected: Callable[[Point], float | None]) -> list[float]:
    usual = [(point.value, expected(point)) for point in points]
    return [value / whole for value, whole in usual if whole is not None and whole > 0]


def _exact(incident: Incident, entity: Entity) -> bool:
    return any(part.exact for part in incident.parts if part.entity == entity)


def _hold_claims(incident: Incident, told: Claims) -> Said:
    """Outages are reported late and not all of them: their absence says nothing."""
    near = [claim for claim in told.claims if _same(incident, claim)]
    if near:
        return Said(What.AGREES, Why.REPORTED, {"claims": float(len(near))})
    return _nothing(Why.NOT_REPORTED)


def _same(incident: Incident, claim: Claim) -> bool:
    began_near = (
        incident.earliest_us - CLAIM_NEAR_US <= claim.since_us <= incident.latest_us + CLAIM_NEAR_US
    )
    over_before = claim.until_us is not None and claim.until_us <= incident.earliest_us
    begun_after = incident.ended_us is not None and claim.since_us >= incident.ended_us
    return began_near and not over_before and not begun_after
