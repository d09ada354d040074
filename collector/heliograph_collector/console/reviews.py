"""Reviews: what an operator's entry would publish, shown before it is signed for ever.

A review is kept under a random token, for one session, once and for ten minutes. Only the token
comes back from the page, so that what is published is what was shown.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from heliograph.clock import Clock
from heliograph.units import MINUTE_US
from heliograph_collector.console.incident_views import describe_publication
from heliograph_collector.http import labels
from heliograph_collector.incidents.operator_entries import OperatorEntry
from heliograph_collector.incidents.published.incident import IncidentDocument
from heliograph_collector.incidents.published.log import OperatorBody

LIFETIME_US = 10 * MINUTE_US  # assumed; enough to read a page, and to ask a colleague
MAX_REVIEWS = 64  # of all operators together; the oldest is removed first


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What readers would see after an entry."""

    headline: str
    state: str
    facts: Sequence[tuple[str, str]]
    change: str
    note: str
    name: str
    is_alert: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """An entry that was shown and not signed yet; `session_token` is that of its operator."""

    session_token: str
    operator_entry: OperatorEntry
    publication: Publication
    made_us: int


class Reviews:
    """Reviews that wait for their operator, in memory."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._reviews: dict[str, Review] = {}

    def add(
        self, session_token: str, operator_entry: OperatorEntry, publication: Publication
    ) -> str:
        """Keep a review and return its token."""
        while len(self._reviews) >= MAX_REVIEWS:
            del self._reviews[next(iter(self._reviews))]
        token = secrets.token_urlsafe(32)
        self._reviews[token] = Review(
            session_token=session_token,
            operator_entry=operator_entry,
            publication=publication,
            made_us=self._clock.monotonic_us(),
        )
        return token

    def take(self, token: str, session_token: str, incident: str) -> Review | None:
        """Remove and return the review of this session and incident; None without one."""
        review = self._reviews.get(token)
        if (
            review is None
            or not secrets.compare_digest(review.session_token, session_token)
            or review.operator_entry.incident != incident
        ):
            return None
        del self._reviews[token]
        is_late = self._clock.monotonic_us() - review.made_us > LIFETIME_US
        return None if is_late else review


def build_publication(incident: IncidentDocument, body: OperatorBody) -> Publication:
    """Build what readers would see; `incident` has the entry as its newest alert."""
    return Publication(
        headline=incident.sentence,
        state=incident.state,
        facts=describe_publication(incident),
        change=labels.label_code("change", body.change),
        note=body.text,
        name=body.name,
        is_alert=body.alert,
    )
