"""What the detectors say of an imported event, and when of each truth it is held against.

No scorecard: one event is one event, and most of what is imported has no vantages to count. A
truth counts as told when a confirmed alarm of its service, in a cell that holds it or lies in it,
begins within it or up to two hours before (publishers date roughly); the first such is given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heliograph_collector.incidents.record import moment
from heliograph_collector.incidents.scope import Scope
from heliograph_collector.model.signals import SECOND_US
from heliograph_collector.sources.complaints import Imported
from heliograph_collector.sources.entity import UNTOLD
from heliograph_collector.sources.replay import Alarm, Detector, Replay, Truth
from heliograph_lab.evaluate.detectors import CONTENDERS, OURS
from heliograph_lab.evaluate.event.hourly import hourly
from heliograph_lab.evaluate.event.level import level

EARLY_US = 7_200 * SECOND_US
MOST_LINES = 40  # of alarms of one detector, in the text

_LEVELS: Mapping[str, Detector] = {"level": level, "ioda": CONTENDERS["ioda"].run}
SPEAKERS: Mapping[str, Mapping[str, Detector]] = {
    "ioda": _LEVELS,
    "csv": _LEVELS,
    "atlas": {name: CONTENDERS[name].run for name in (OURS, "ioda", "disco")},
    "ooni": {"hourly": hourly, "ooni": CONTENDERS["ooni"].run},
}


@dataclass(frozen=True, slots=True)
class Account:
    imported: Imported
    alarms: Mapping[str, Sequence[Alarm]]  # by detector
    told: Sequence[tuple[Truth, Mapping[str, Alarm | None]]]

    @property
    def replay(self) -> Replay:
        return self.imported.replay


def account(imported: Imported) -> Account:
    """By the detectors that have something to say of this format."""
    replay = imported.replay
    alarms = {name: run(replay) for name, run in SPEAKERS[imported.format].items()}
    truths = [truth for truth in replay.truths if truth.kind != "confounder"]
    told = [
        (truth, {name: _first(truth, found) for name, found in alarms.items()}) for truth in truths
    ]
    return Account(imported, alarms, told)


def _first(truth: Truth, alarms: Sequence[Alarm]) -> Alarm | None:
    fits = (a for a in alarms if a.confirmed and _fits(truth, a))
    return min(fits, key=lambda a: a.at_us, default=None)


def _fits(truth: Truth, alarm: Alarm) -> bool:
    begins_us = alarm.started[1] if alarm.started else alarm.at_us
    until_us = truth.until_us if truth.until_us is not None else begins_us
    return (
        alarm.service == truth.service
        and (alarm.kind == "cut") == (truth.kind == "cut")
        and truth.since_us - EARLY_US <= begins_us <= until_us
        and _nested(alarm.scope, truth.scope)
    )


def _nested(one: Scope, two: Scope) -> bool:
    """A country that is not told is anybody's."""
    if UNTOLD in (one.country, two.country):
        one, two = one._replace(country=""), two._replace(country="")
    return one.within(two) or two.within(one)


def document(found: Account) -> dict[str, Any]:
    """As one JSON object. Times are RFC 3339."""
    replay = found.replay
    return {
        "name": replay.name,
        "format": found.imported.format,
        "from": moment(replay.since_us),
        "until": moment(replay.until_us),
        "vantages": len(replay.vantages),
        "series": [{"scope": s.scope._asdict(), "source": s.source} for s in replay.series],
        "left_out": list(found.imported.complaints),
        "alarms": {name: [_row(a) for a in rows] for name, rows in found.alarms.items()},
        "truths": [
            {
                "id": truth.id,
                "scope": truth.scope._asdict(),
                "service": truth.service,
                "since": moment(truth.since_us),
                "scoreable": truth.scoreable,
                "told_after_s": {
                    name: _after(truth, alarm) if alarm else None for name, alarm in by.items()
                },
            }
            for truth, by in found.told
        ],
    }


def _row(alarm: Alarm) -> dict[str, Any]:
    return {
        "at": moment(alarm.at_us),
        "scope": alarm.scope._asdict(),
        "service": alarm.service,
        "kind": alarm.kind,
        "label": alarm.label,
        "layer": alarm.layer,
        "confirmed": alarm.confirmed,
        "started": [moment(us) for us in alarm.started] if alarm.started else None,
        "over": moment(alarm.ended_at_us) if alarm.ended_at_us is not None else None,
    }


def _after(truth: Truth, alarm: Alarm) -> float:
    return (alarm.at_us - truth.since_us) / SECOND_US


def text(found: Account) -> str:
    """The same for a person: a line for each confirmed alarm, then one for each truth."""
    replay = found.replay
    what = f"{len(replay.vantages)} vantages" if replay.vantages else f"{len(replay.series)} series"
    span = f"{_minute(replay.since_us)} to {_minute(replay.until_us)} UTC"
    lines = [f"{replay.name} ({found.imported.format}): {what}, {span}"]
    for name, rows in found.alarms.items():
        firm = [alarm for alarm in rows if alarm.confirmed]
        lines += ["", f"{name}: {len(firm)} confirmed, {len(rows) - len(firm)} suspected"]
        lines += [_line(alarm) for alarm in firm[:MOST_LINES]]
        lines += [f"  … {len(firm) - MOST_LINES} more"] if len(firm) > MOST_LINES else []
    for truth, by in found.told:
        lines += ["", f"truth {truth.id}, {_where(truth.scope)}, from {_minute(truth.since_us)}"]
        lines += [f"  {name}: {_delay(truth, alarm)}" for name, alarm in by.items()]
    return "\n".join(lines)


def _line(alarm: Alarm) -> str:
    over = f", over {_minute(alarm.ended_at_us)}" if alarm.ended_at_us is not None else ""
    began = ""
    if alarm.started:
        began = f", began {_minute(alarm.started[0])} to {_minute(alarm.started[1])}"
    words = (_where(alarm.scope), alarm.service, alarm.kind, alarm.label, alarm.layer)
    said = " ".join(word for word in words if word)
    return f"  {_minute(alarm.at_us)}  {said}{began}{over}"


def _delay(truth: Truth, alarm: Alarm | None) -> str:
    if alarm is None:
        return "not told"
    minutes = _after(truth, alarm) / 60
    return f"told {minutes:.1f} min after" if minutes >= 0 else f"told {-minutes:.1f} min before"


def _where(scope: Scope) -> str:
    network = f"AS{scope.asn}" if scope.asn else ""
    return " ".join(part for part in (scope.country, scope.region, network, scope.access) if part)


def _minute(at_us: int) -> str:
    return moment(at_us)[:16].replace("T", " ")
