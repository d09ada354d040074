"""Comparison of an incident with evidence: agrees, disagrees or nothing.

Ambiguous evidence gives `nothing`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from heliograph.units import DAY_US, HOUR_US, MINUTE_US
from heliograph_collector.corroborate.annotation import Agreement, AgreementReason, Annotation
from heliograph_collector.corroborate.incident import FeedIncident
from heliograph_collector.corroborate.series import (
    Claim,
    ClaimsEvidence,
    Point,
    SeriesEvidence,
    SourceEvidence,
    select_points,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalRule:
    """The thresholds of one signal; shares are of the value expected from its past.

    README.md of this package gives the evidence for the values.
    """

    agrees: float  # the source agrees if the median share is at or below this
    disagrees: float | None = None  # all shares are at or above this; None: it never disagrees
    daily: bool = False  # expected is the same time on past days, not the median of the past
    history_us: int = DAY_US
    lag_us: int  # younger points may still grow
    before_us: int = HOUR_US  # the signal must have been normal for this long before the onset
    min_points: int = 2  # points within the incident
    min_past_points: int = 6


RULES: Mapping[tuple[str, str], SignalRule] = {
    ("ris", "visible_prefixes"): SignalRule(
        agrees=0.8, lag_us=MINUTE_US, min_points=3, min_past_points=10
    ),
    ("ioda", "bgp"): SignalRule(agrees=0.9, lag_us=10 * MINUTE_US),
    ("ioda", "ping-slash24"): SignalRule(
        agrees=0.8, disagrees=0.97, history_us=7 * DAY_US, lag_us=20 * MINUTE_US
    ),
    ("ioda", "merit-nt"): SignalRule(agrees=0.25, history_us=7 * DAY_US, lag_us=20 * MINUTE_US),
    ("radar", "netflows"): SignalRule(
        agrees=0.5,
        disagrees=0.85,
        daily=True,
        history_us=7 * DAY_US,
        lag_us=HOUR_US,
        before_us=3 * HOUR_US,
        min_past_points=3,
    ),
}

MIN_POINTS_TO_DISAGREE = 3  # points: a contradiction needs more data
CLAIM_NEAR_US = 3 * HOUR_US  # a reported outage this near to our onset counts as the same outage


class SourceFinding(NamedTuple):
    agreement: Agreement
    reason: AgreementReason
    figures: Mapping[str, float] = {}


def compare_incident(incident: FeedIncident, evidence: SourceEvidence) -> Annotation:
    """Compare an incident with evidence, as of the time when it was read.

    The evidence must be about an entity of the incident. If the entity is wider than the cell, the
    result can be `agrees` but never `disagrees`.

    Returns:
        The annotation; times in microseconds UTC, figures as shares of the expected value.

    Raises:
        TypeError: The evidence is neither a series nor a list of claims.
    """
    if isinstance(evidence, SeriesEvidence):
        finding = _compare_series(incident, evidence)
    elif isinstance(evidence, ClaimsEvidence):
        finding = _compare_claims(incident, evidence)
    else:
        raise TypeError(f"{type(evidence).__name__} is no evidence that can be held against")
    return Annotation(
        incident=incident.id,
        source=evidence.source,
        signal=evidence.signal,
        entity=evidence.entity,
        evaluated_us=evidence.read_us,
        since_us=incident.earliest_us,
        until_us=max(incident.earliest_us, min(incident.until_us, evidence.read_us)),
        agreement=finding.agreement,
        reason=finding.reason,
        figures=finding.figures,
        url=evidence.url,
        attribution=evidence.attribution,
    )


def _no_finding(
    reason: AgreementReason, figures: Mapping[str, float] | None = None
) -> SourceFinding:
    return SourceFinding(Agreement.NOTHING, reason, figures or {})


def _compare_series(incident: FeedIncident, series: SeriesEvidence) -> SourceFinding:
    rule = RULES[series.source, series.signal]
    ripe_us = series.read_us - rule.lag_us
    during = select_points(series, incident.latest_us, min(incident.until_us, ripe_us))
    if len(during) < rule.min_points:
        is_short = incident.until_us - incident.latest_us < (rule.min_points + 1) * series.step_us
        return _no_finding(
            AgreementReason.TOO_SHORT
            if is_short and incident.until_us <= ripe_us
            else AgreementReason.LAGS
        )
    onset_us = incident.earliest_us
    past = {p.at_us: p.value for p in select_points(series, onset_us - rule.history_us, onset_us)}
    shares = _compute_shares(during, past, rule)
    before = select_points(series, onset_us - rule.before_us, onset_us)
    shares_before = _compute_shares(before, past, rule)
    if not shares_before or len(shares) < rule.min_points:
        return _no_finding(AgreementReason.NO_BASELINE)
    is_exact = any(cell.is_exact for cell in incident.cells if cell.entity == series.entity)
    return _weigh_shares(shares, median(shares_before), rule, exact=is_exact)


def _weigh_shares(
    shares: Sequence[float], before: float, rule: SignalRule, *, exact: bool
) -> SourceFinding:
    share = median(shares)
    figures = {
        "before": round(before, 3),
        "during": round(share, 3),
        "least": round(min(shares), 3),
        "points": float(len(shares)),
    }
    if before <= (rule.agrees + 1) / 2:  # it was already halfway down
        return _no_finding(AgreementReason.LOW_BEFORE, figures)
    if share <= rule.agrees:
        return SourceFinding(Agreement.AGREES, AgreementReason.DROPPED, figures)
    if rule.disagrees is None:
        return _no_finding(AgreementReason.NO_SIGN, figures)
    if min(shares) < rule.disagrees or len(shares) < MIN_POINTS_TO_DISAGREE:
        return _no_finding(AgreementReason.BETWEEN, figures)
    if not exact:
        return _no_finding(AgreementReason.WIDER, figures)
    return SourceFinding(Agreement.DISAGREES, AgreementReason.STAYED_UP, figures)


def _compute_shares(
    points: Sequence[Point], past: Mapping[int, float], rule: SignalRule
) -> list[float]:
    """Compute the shares of the values that the past, by time, lets expect."""
    usual_values = None if rule.daily else list(past.values())
    shares = []
    for point in points:
        values = usual_values
        if values is None:
            days = range(1, rule.history_us // DAY_US + 2)
            values = [past[at] for day in days if (at := point.at_us - day * DAY_US) in past]
        if len(values) >= rule.min_past_points and (expected := median(values)) > 0:
            shares.append(point.value / expected)
    return shares


def _compare_claims(incident: FeedIncident, evidence: ClaimsEvidence) -> SourceFinding:
    """Compare with reported outages; a missing report is no evidence.

    Sources report late, and they do not report every outage.
    """
    near_claims = [claim for claim in evidence.claims if _is_same_outage(incident, claim)]
    if near_claims:
        return SourceFinding(
            Agreement.AGREES, AgreementReason.REPORTED, {"claims": float(len(near_claims))}
        )
    return _no_finding(AgreementReason.NOT_REPORTED)


def _is_same_outage(incident: FeedIncident, claim: Claim) -> bool:
    began_near = (
        incident.earliest_us - CLAIM_NEAR_US <= claim.since_us <= incident.latest_us + CLAIM_NEAR_US
    )
    over_before = claim.until_us is not None and claim.until_us <= incident.earliest_us
    begun_after = incident.ended_us is not None and claim.since_us >= incident.ended_us
    return began_near and not over_before and not begun_after
