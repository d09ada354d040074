"""Seniority of a vantage: the weight of its reports by the time since enrollment.

Keys are free, so a crowd of them can be made in minutes; only waiting costs an attacker. One
function decides for cells, detectors, peers and reviews alike.
"""

from enum import StrEnum

from heliograph.units import DAY_US
from heliograph_collector.model.thresholds import THRESHOLDS, Thresholds


class Seniority(StrEnum):
    NEW = "new"  # no vote anywhere
    YOUNG = "young"  # a vote at low confidence, where no established vantage contradicts
    ESTABLISHED = "established"  # a full vote; only these confirm anything

    @property
    def has_vote(self) -> bool:
        return self is not Seniority.NEW


def find_seniority(first_us: int, at_us: int, limits: Thresholds = THRESHOLDS) -> Seniority:
    """Return the seniority at a time of a vantage that was enrolled at `first_us`."""
    days = (at_us - first_us) / DAY_US
    if days >= limits.established_days:
        return Seniority.ESTABLISHED
    return Seniority.YOUNG if days >= limits.new_days else Seniority.NEW


def latest_enrollment_us(seniority: Seniority, at_us: int, limits: Thresholds = THRESHOLDS) -> int:
    """Return the latest enrollment that gives this seniority at a time.

    The date itself is not stored.
    """
    if seniority is Seniority.ESTABLISHED:
        return 0
    return at_us - round(limits.new_days * DAY_US) * seniority.has_vote
