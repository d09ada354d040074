"""Figures with their intervals, from what was found in every replay. Pure."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from heliograph_lab.evaluate import intervals
from heliograph_lab.evaluate.detectors import CONTENDERS
from heliograph_lab.evaluate.priors import BANDS
from heliograph_lab.evaluate.run import DATED, FILE, Outcome
from heliograph_lab.evaluate.score import Found, Verdict, Wrong

EVENTS = ("shutdown", "operator", "block", "throttle", FILE)
REGIONAL = ("one-city", "one-operator")
MOBILE = ("mobile-only", "one-city mobile-only")


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure with its exact 95 % interval; `n` is what it was measured on. nan: nothing."""

    value: float
    low: float
    high: float
    n: float


NOTHING = Measure(math.nan, math.nan, math.nan, 0)


@dataclass(frozen=True, slots=True)
class Pile:
    """One contender's verdicts."""

    replays: tuple[tuple[Outcome, Verdict], ...]

    def found(self, keep: Callable[[Found], bool]) -> list[Found]:
        return [f for o, v in self.replays if o.draw.family in EVENTS for f in v.found if keep(f)]

    def of(self, *families: str) -> list[tuple[Outcome, Verdict]]:
        return [(o, v) for o, v in self.replays if o.draw.family in families]


def piles(outcomes: Iterable[Outcome]) -> dict[str, Pile]:
    kept = list(outcomes)
    return {name: Pile(tuple((o, o.verdicts[name]) for o in kept)) for name in CONTENDERS}


def of_cut(found: Found) -> bool:
    return found.kind == "cut"


def of_service(found: Found) -> bool:
    return found.kind != "cut"


def big(found: Found) -> bool:
    return found.size >= 10


def quantile(values: Sequence[float], q: float) -> Measure:
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return NOTHING
    low, high = intervals.quantile_range(known, q)
    return Measure(intervals.quantile(known, q), low, high, len(known))


def delay(keep: Callable[[Found], bool], what: str, q: float = 0.95) -> Callable[[Pile], Measure]:
    """Of those that came at once; what was not found was found never."""
    return lambda pile: quantile(
        [float(getattr(f, what)) for f in pile.found(lambda f: f.sudden and keep(f))], q
    )


def _share(hits: int, n: int) -> Measure:
    if not n:
        return NOTHING
    return Measure(hits / n, *intervals.share(hits, n), n)


def _rate(events: int, exposure: float) -> Measure:
    if not exposure:
        return NOTHING
    return Measure(events / exposure, *intervals.rate(events, exposure), exposure)


def national_cut(found: Found) -> bool:
    return of_cut(found) and found.label == "national" and found.size >= 20


def false_alarms(family: str, national: bool) -> Callable[[Pile], Measure]:
    def measure(pile: Pile) -> Measure:
        played = pile.of(family)
        wrong = sum(
            1
            for _, v in played
            for w in v.wrong
            if w.scope.national == national and w.scope.country
        )
        years = (o.country_years if national else o.cell_years for o, _ in played)
        return _rate(wrong, math.fsum(years))

    return measure


def recall(keep: Callable[[Found], bool]) -> Callable[[Pile], Measure]:
    def measure(pile: Pile) -> Measure:
        truths = pile.found(keep)
        return _share(sum(f.found for f in truths), len(truths))

    return measure


def precision(services: bool) -> Callable[[Pile], Measure]:
    families = ("block", "throttle") if services else ("shutdown", "operator")

    def measure(pile: Pile) -> Measure:
        right = sum(v.right for _, v in pile.of(*families, FILE))
        played = pile.of(*families, "confounder", FILE)
        wrong = sum(1 for _, v in played for w in v.wrong if bool(w.service) == services)
        return _share(right, right + wrong)

    return measure


def alerts(pile: Pile) -> Measure:
    """Alerts per event that was found; the interval is that of a Poisson mean."""
    played = pile.of(*EVENTS)
    found = sum(f.found for _, v in played for f in v.found)
    return _rate(sum(v.calls for _, v in played), found)


def brackets(pile: Pile) -> Measure:
    held = [b for f in pile.found(lambda f: True) for b in f.brackets]
    return _share(sum(held), len(held))


def collusion(pile: Pile) -> Measure:
    """The largest share of liars that, like all smaller ones, raised no national alarm."""
    raised: dict[float, bool] = {}
    seeds = set()
    for outcome, verdict in pile.of("liars"):
        share = float(outcome.draw.kind)
        raised[share] = raised.get(share, False) or any(_whole(w) for w in verdict.wrong)
        seeds.add(outcome.draw.seed)
    if not raised:
        return NOTHING
    withstood = 0.0
    for share in sorted(raised):
        if raised[share]:
            return Measure(withstood, withstood, share, len(seeds))
        withstood = share
    return Measure(withstood, withstood, 1.0, len(seeds))


def _whole(wrong: Wrong) -> bool:
    return wrong.scope.national


def dated(channel_of: Callable[[Found], bool]) -> Callable[[Pile], Measure]:
    """Recall of the events that really happened, as far as they are dated."""

    def measure(pile: Pile) -> Measure:
        truths = [f for _, v in pile.of(DATED) for f in v.found if channel_of(f)]
        return _share(sum(f.found for f in truths), len(truths))

    return measure


def of_band(band: int) -> Callable[[Found], bool]:
    """Cuts of at least so many vantages, and fewer than the next band's."""
    return lambda found: of_cut(found) and band == _band(found)


def _band(found: Found) -> int:
    return max((band for band in BANDS if band <= found.size), default=0)


def confounded(of: Mapping[str, Pile]) -> dict[str, dict[str, tuple[int, int]]]:
    """By confounder and contender: in how many of how many replays it raised a false alarm."""
    table: dict[str, dict[str, tuple[int, int]]] = {}
    for name, pile in of.items():
        for outcome, verdict in pile.of("confounder"):
            kind = outcome.draw.kind
            raised, n = table.setdefault(kind, {}).get(name, (0, 0))
            table[kind][name] = raised + bool(verdict.wrong), n + 1
    return table
