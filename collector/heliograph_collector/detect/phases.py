"""Phases: the dated steps of a cut or a block that grows, opens and closes again."""

from collections.abc import Sequence
from dataclasses import replace

from heliograph.units import SECOND_US
from heliograph_collector.incidents.incident import PhaseChange, PhaseDirection
from heliograph_collector.model.thresholds import THRESHOLDS

_STEP_US = THRESHOLDS.windows_s[0] * SECOND_US  # what falls within a sudden window is one step


def lead_with_onset(phases: Sequence[PhaseChange], onset: PhaseChange) -> list[PhaseChange]:
    """Return the phases with the onset before them: an incident of one step has none."""
    has_onset = bool(phases) and phases[0].way is PhaseDirection.CUT
    return [*phases] if has_onset else [onset, *phases]


def add_cut(
    phases: Sequence[PhaseChange], onset: PhaseChange, cut: PhaseChange
) -> list[PhaseChange]:
    """Return the phases with a later cut added, or joined to the last step.

    Args:
        phases: Those until now; none of an incident of one step.
        onset: The first step, with the cells until now.
        cut: The cells that fell later.
    """
    latest = phases[-1] if phases else onset
    is_same_step = cut.when.earliest_us - latest.when.latest_us < _STEP_US
    if is_same_step and not phases:
        return []
    led = lead_with_onset(phases, onset)
    if is_same_step and latest.way is PhaseDirection.CUT:
        return [*led[:-1], replace(latest, parts=(*latest.parts, *cut.parts))]
    return [*led, cut]
