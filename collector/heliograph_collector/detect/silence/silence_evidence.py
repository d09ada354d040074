"""Count silent vantages' votes for a cut, a power failure, or a collector block."""

from dataclasses import dataclass

from heliograph_collector.incidents.incident import IncidentKind
from heliograph_collector.model.thresholds import Thresholds

_INTERRUPTED_SHARE = 0.5  # of those that fell silent, so that hardly a cell is dark; assumed
_BOOTED = 2  # machines, which do not begin together by chance as their lines come back; assumed
_SIGNS_SHARE = 0.2  # of those that fell silent as in a power failure; the others have no battery


@dataclass(frozen=True, slots=True)
class SilenceEvidence:
    """Established votes of the vantages that fell silent, and their testimony."""

    silent: float
    online: float
    offline: float
    powerless: float
    powered: float  # it measured in the silence, so it had power
    lost_by: tuple[str, ...] = ()  # carriers of those that were online
    stopped: float = 0.0  # its machine ran, and it was not there to measure
    interrupted: float = 0.0  # its link worked, and the lost carrier was back within minutes
    booted: float = 0.0  # its machine began as lines came back, where these alone fell
    is_grid: bool = False  # lines fell as by a grid, which a third need not report …
    may_boot: bool = False  # … and came back just now: laptops report before machines that boot

    def explain(self, limits: Thresholds) -> IncidentKind | None:
        """Return the kind that the testimony decides for; None if it decides nothing."""
        if self._decides(self.online, self.offline, limits):
            return IncidentKind.COLLECTOR_BLOCKED
        share = _SIGNS_SHARE if self.is_grid else limits.told_share
        is_power = self._decides(self.powerless, self.powered, limits, share)
        if is_power or self._have_lines_booted(limits):
            return IncidentKind.POWER
        if self.may_boot:
            return None
        is_cut = self._decides(self.offline, self.online, limits) or self._had_all_power(limits)
        return IncidentKind.SILENCE if is_cut else None

    def has_stopped(self, limits: Thresholds) -> bool:
        """Return whether the agents had stopped, while network and power worked.

        Hardly anybody finds a dead network then. Where a fifth of those that may know did, some
        that ran do not tell.
        """
        against = self.online + self.offline + self.powerless
        is_told = self.offline >= limits.alive_share * (self.offline + self.stopped)
        share = limits.confirm_share if is_told else limits.told_share
        return self._decides(self.stopped, against, limits, share)

    def was_interrupted(self, limits: Thresholds) -> bool:
        """Return whether sessions broke for minutes while links worked: no cut or block."""
        against = self.online + self.offline
        return self._decides(self.interrupted, against, limits, _INTERRUPTED_SHARE)

    def confidence(self, kind: IncidentKind, limits: Thresholds) -> float:
        """Return the confidence in a block of the collector or in a power failure."""
        told = self.count_told(kind)
        against = self.powered if kind is IncidentKind.POWER else self.offline
        return round(min(limits.several_ways, told / (told + against + 1)), 3)

    def count_told(self, kind: IncidentKind) -> float:
        """Return the votes for a block of the collector or for a power failure."""
        return self.powerless if kind is IncidentKind.POWER else self.online

    def count_several(self, second_way: float | None) -> float | None:
        """Return the votes that show more than one silent way; None if that is unknown."""
        return None if second_way is None else max(second_way, self.offline)

    def doubts_cut(self, limits: Thresholds) -> bool:
        """Return whether some testimony speaks against a cut, but too little decides."""
        return max(self.online, self.powerless) >= limits.witnesses

    def _have_lines_booted(self, limits: Thresholds) -> bool:
        """Return whether machines booted as their lines returned.

        Laptops behind the lines have batteries and do not boot.
        """
        known = max(self.silent, self.powerless + self.powered)
        share = _SIGNS_SHARE if self.is_grid else limits.told_share
        return self.booted >= max(_BOOTED, share * known)

    def _had_all_power(self, limits: Thresholds) -> bool:
        """Return whether no machine lost its power, of lines that fell as by a grid."""
        is_nobody = not self.powerless and not self.booted
        return self.is_grid and is_nobody and self._decides(self.powered, self.online, limits)

    def _decides(
        self, told: float, against: float, limits: Thresholds, share: float | None = None
    ) -> bool:
        """Return whether a share of silent votes outweighs others; default `told_share`."""
        least = (limits.told_share if share is None else share) * self.silent
        is_most = told >= limits.confirm_share * (told + against)
        return is_most and told >= max(limits.witnesses, least)


NO_EVIDENCE = SilenceEvidence(0.0, 0.0, 0.0, 0.0, 0.0)
