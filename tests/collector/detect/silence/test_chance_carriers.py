"""A few lines of one operator fail that all used one entrance, which may be chance."""

from dataclasses import replace
from random import Random

import pytest

from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.incident import IncidentKind
from heliograph_collector.model.signals import OfflineReport
from support.presence_model import KZ, at, country, drop, live, world

ONSET, END = 7_200.0, 10_800.0


@pytest.mark.parametrize(
    ("since_s", "kind"),
    [
        (None, IncidentKind.COLLECTOR_BLOCKED),  # nobody reports
        (ONSET, IncidentKind.SILENCE),
        (ONSET + 1_800, IncidentKind.COLLECTOR_BLOCKED),  # dead anchors of a later cut
    ],
)
def test_dead_anchors_since_its_onset_tell_that_their_operator_failed(
    since_s: float | None, kind: IncidentKind
) -> None:
    """Six of twelve lines fail."""
    rng = Random(6)
    vantages = [
        replace(w, carrier="edge-1" if i % 2 else "session")
        for i, w in enumerate(country(each=4) + world())
    ]
    lines = next(w.place.asn for w in vantages if KZ(w) and w.place.access == "fixed")
    silent = [w for w in vantages if w.place.asn == lines and KZ(w) and w.carrier == "edge-1"]
    signals = live(vantages, rng, 4, churn=1.0) + drop(silent, ONSET, rng, END)
    if since_s is not None:
        told = at(since_s), at(END)
        signals += [
            OfflineReport(at(END + 90), w.nym, *told, alive=True, online=False) for w in silent
        ]
    (incident,) = detect_silence(signals, at(4 * 3_600)).incidents
    assert incident.kind is kind
