"""Whom the scorecard compares: ours first, one line each."""

from collections.abc import Mapping
from typing import NamedTuple

from heliograph_collector.sources.replay import Detector
from heliograph_lab.evaluate.baselines import disco, disco_fitted, ioda, ooni
from heliograph_lab.evaluate.heliograph_detector import heliograph


class Contender(NamedTuple):
    run: Detector
    channels: frozenset[str]  # what it looks for at all


OURS = "heliograph"
CUTS, SERVICES = "cuts", "services"
CONTENDERS: Mapping[str, Contender] = {
    OURS: Contender(heliograph, frozenset((CUTS, SERVICES))),
    "ioda": Contender(ioda, frozenset((CUTS,))),
    "disco": Contender(disco, frozenset((CUTS,))),
    "disco_fitted": Contender(disco_fitted, frozenset((CUTS,))),
    "ooni": Contender(ooni, frozenset((SERVICES,))),
}
