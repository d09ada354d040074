"""Corpus of the honest world: its families, their shares, and the halves of the seeds."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random

from heliograph_lab.evaluate.world import attackers, cuts, disturbances, everyday, services
from heliograph_lab.evaluate.world.world import World

REPORTING = 1_000_000  # seeds from here on are for reporting; nothing is tuned on them
HALVES = {"tuning": 0, "reporting": REPORTING}


@dataclass(frozen=True, slots=True)
class WorldDraw:
    """The identity of one world, cheap to pass to another process."""

    family: str
    seed: int
    kind: str = ""


DrawFunction = Callable[[Random, int, str], World]
CUTS: Mapping[str, DrawFunction] = {
    "step": cuts.draw_step,
    "providers": cuts.draw_providers,
    "fade": cuts.draw_fade,
    "part": cuts.draw_part,
    "nat": cuts.draw_nat,
    "curfew": cuts.draw_curfew,
    "drain": cuts.draw_drain,
    "cable": cuts.draw_cable,
    "several": cuts.draw_several,
    "campus": cuts.draw_campus,
    "exams": cuts.draw_exams,
    "reroute": cuts.draw_reroute,
    "ipv6": cuts.draw_ipv6,
}
DISTURBANCES: Mapping[str, DrawFunction] = {
    "power": disturbances.draw_power,
    "own_block": disturbances.draw_own_block,
    "transit": disturbances.draw_transit,
    "crash": disturbances.draw_crash,
    "evening": disturbances.draw_evening,
    "renumber": disturbances.draw_renumber,
    "doze": disturbances.draw_doze,
    "throttled": disturbances.draw_throttled,
    "update": disturbances.draw_update,
    "cloud": everyday.draw_cloud,
    "moved": everyday.draw_moved,
    "nat_moves": everyday.draw_nat_moves,
    "holiday": everyday.draw_holiday,
    "phones": everyday.draw_phones,
    "rolling": everyday.draw_rolling,
}
SERVICES: Mapping[str, DrawFunction] = {
    "block": services.draw_block,
    "partial": services.draw_partial,
    "backlog": services.draw_backlog,
    "service_down": services.draw_service_down,
    "site_down": services.draw_site_down,
}
LIARS: Mapping[str, DrawFunction] = {
    "established": attackers.draw_established,
    "young": attackers.draw_young,
}
QUIET: Mapping[str, DrawFunction] = {
    "quiet": disturbances.draw_quiet,
    "tested": services.draw_tested,
}
FAMILIES: Mapping[str, DrawFunction] = {**QUIET, **SERVICES, **DISTURBANCES, **CUTS, **LIARS}
KINDS: Mapping[str, tuple[str, ...]] = {
    "fade": ("1h", "3h", ""),
    "part": ("region", "operator", "mobile"),
    "block": tuple(name for name, _ in services.INTERVALS_S),
    "established": tuple(map(str, attackers.SHARES)),
}
PER_SEED = {  # worlds of each kind for one seed, 1 if not named; assumed
    "quiet": 0.2,
    "tested": 0.2,
    "partial": 0.5,
    "curfew": 0.5,
    "drain": 0.5,
    "exams": 0.5,
    "holiday": 0.5,
    "phones": 0.5,
    "rolling": 0.5,
    "evening": 0.5,
    "established": 0.5,
    "step": 2.0,
    "power": 2.0,
    "own_block": 2.0,
}


def draw_world(draw: WorldDraw) -> World:
    """Draw a world, equal for equal draws. Raises KeyError on an unknown family."""
    rng = Random(f"{draw.family}:{draw.kind}:{draw.seed}")  # noqa: S311 - a simulation, repeatable
    return FAMILIES[draw.family](rng, draw.seed, draw.kind)


def list_draws(seeds: int, half: str) -> Iterator[WorldDraw]:
    """Yield the corpus; the longest replays come first."""
    first = HALVES[half]
    for name in FAMILIES:
        for kind in KINDS.get(name, ("",)):
            for number in range(max(1, round(seeds * PER_SEED.get(name, 1.0)))):
                yield WorldDraw(name, first + number, kind)
