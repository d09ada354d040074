"""Play cases on real packets in the field and judge the measurements."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from heliograph.observation import Observation
from heliograph.plan import ServiceFunction
from heliograph.services import load_shipped_services
from heliograph_collector.judge import judge
from heliograph_collector.model.control_look import ControlLook
from heliograph_collector.model.records import ControlView
from support.condition import Condition
from support.field.field import Played, play
from support.honest.case import Case
from support.honest.score import Outcome
from support.scenario import scenario, taken

# Seconds; twice the field's, since on a busy machine a control that times out changes a verdict.
PATIENCE = {"connect_s": 8, "tls_s": 8, "http_s": 8}
CONTROL_NETWORK = "AS64500"  # the network from abroad that all controls of the field are in


def play_cases(cases: Sequence[Case], folder: Path) -> list[Outcome]:
    conditions = [_make_condition(case, number) for number, case in enumerate(cases, 1)]
    played = play(conditions, folder, visits=True)
    return [_judge_case(case, played[case.case]) for case in cases]


def _make_condition(case: Case, number: int) -> Condition:
    facts = {"name": case.case, "experiment": case.experiment, "verdict": {"state": ""}}
    return Condition(
        number=number,
        family=case.kind,
        stands_for=case.source,
        scenario=scenario(facts),
        says=case.world,
        live={"net": PATIENCE, **(case.live or {})},
    )


def _judge_case(case: Case, played: Played) -> Outcome:
    here = played.here.measurement
    if here.not_measured:
        return Outcome(case, "not measured", 0.0, here.not_measured)
    verdicts = judge(taken(here), _view_control(case, played))
    whole = next(v for v in reversed(verdicts) if v.endpoint == "")
    detail = f"{whole.layer} {whole.method}, link {played.here.link}; {_describe(played)}"
    return Outcome(case, whole.state.value, whole.confidence, detail)


def _view_control(case: Case, played: Played) -> ControlView:
    assert case.live is not None
    endpoints = case.live.get("endpoints", ())
    groups = {e["id"]: e["group"] for e in endpoints if "group" in e}
    looks: tuple[ControlLook, ...] = ()
    if played.visit is not None:
        look = ControlLook(
            measurement=played.visit.measurement,
            age_us=1,
            link=played.visit.link,
            network=CONTROL_NETWORK,
            is_visit=True,
        )
        looks = (look,)
    return ControlView(
        measurement=played.control.measurement,
        age_us=1,
        link=played.control.link,
        network=CONTROL_NETWORK,
        groups=groups,
        functions=_find_functions(case.experiment, groups),
        looks=looks,
    )


def _find_functions(service: str, groups: Mapping[str, str]) -> dict[str, ServiceFunction]:
    """Give each endpoint the function that the shipped service gives its group."""
    shipped = load_shipped_services().get(service)
    functions = shipped.functions if shipped else ()
    by_group = {group: one.function for one in functions for group in one.groups}
    return {end: by_group[group] for end, group in groups.items() if group in by_group}


def _describe(played: Played) -> str:
    """Describe the failures of each side."""
    sides = {"here": played.here, "control": played.control, "visit": played.visit}
    return "; ".join(
        f"{side}: {_list_failures(seen.measurement.observations)}"
        for side, seen in sides.items()
        if seen is not None
    )


def _list_failures(observations: Iterable[Observation]) -> str:
    failures = (str(x.failure) for x in observations if x.failure)
    return ", ".join(dict.fromkeys(failures)) or "none"
