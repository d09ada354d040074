"""A scenario is read as written; an error names its line and its cure."""

from pathlib import Path

import pytest

from heliograph.units import SECOND_US
from heliograph.yaml_document import YamlError
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import (
    Fault,
    Goodbye,
    OfflineReport,
    VantageArrival,
    VantageLoss,
    VoteValue,
)
from heliograph_collector.sources.replay import Replay
from heliograph_lab.evaluate.scenario import play_scenario
from heliograph_lab.evaluate.scenario_file import (
    SHIPPED,
    list_honest,
    list_shipped,
    load_scenario,
)
from heliograph_lab.evaluate.scenario_model import EVENT_KINDS
from heliograph_lab.evaluate.world.families import settle_scenario
from heliograph_lab.evaluate.world.render import render_replay

HEAD = """\
name: an evening
since: 2022-01-05T00:00:00Z
until: 2022-01-05T06:00:00Z
countries:
  KZ:
    churn: 0
    vantages:
      - {region: ALA, asn: 1, access: mobile, count: 6}
      - {region: AST, asn: 2, access: fixed, count: 10}
world: {countries: 1, each: 6, churn: 0}
services:
  telegram: {every: 1m, noise: 0}
events:
"""
HOUR_US = 3_600 * SECOND_US


def written(folder: Path, text: str) -> Path:
    path = folder / "evening.yml"
    path.write_text(text)
    return path


def played(folder: Path, *events: str, seed: int = 1) -> Replay:
    return play_scenario(
        load_scenario(written(folder, HEAD + "".join(f"  - {e}\n" for e in events))), seed
    )


def test_a_cut_silences_those_it_takes_and_the_truth_says_so(tmp_path: Path) -> None:
    replay = played(
        tmp_path, "{do: cut, at: 2022-01-05T02:00:00Z, for: 1h, who: {access: mobile}, jitter: 5s}"
    )
    (truth,) = replay.truths
    assert (truth.kind, truth.label) == ("cut", "mobile-only")
    assert truth.scope == Scope("KZ", access="mobile")
    assert truth.until_us is not None
    times_us = truth.since_us - replay.since_us, truth.until_us - replay.since_us
    assert times_us == (2 * HOUR_US, 3 * HOUR_US)
    lost = [s for s in replay.signals if isinstance(s, VantageLoss)]
    assert len(lost) == 6
    assert all(truth.since_us <= s.at_us <= truth.since_us + 45 * SECOND_US for s in lost)
    later = [s for s in replay.signals if s.at_us > replay.since_us]
    back = [s for s in later if isinstance(s, VantageArrival)]
    assert len(back) == 6
    assert all(truth.until_us <= s.at_us <= truth.until_us + 61 * SECOND_US for s in back)
    dark_us = truth.since_us + 6 * SECOND_US
    places = [o.witness.place for o in replay.opinions if dark_us <= o.at_us < truth.until_us]
    assert {place.access for place in places if place.country == "KZ"} == {"fixed"}


def test_a_cut_is_over_when_more_than_half_of_it_is_restored(tmp_path: Path) -> None:
    replay = played(
        tmp_path,
        "{do: cut, at: 2022-01-05T01:00:00Z}",
        "{do: restore, at: 2022-01-05T02:00:00Z, who: {access: mobile}}",
        "{do: restore, at: 2022-01-05T03:00:00Z, who: {access: fixed}}",
        "{do: cut, at: 2022-01-05T04:00:00Z, who: {access: fixed}}",
    )
    first, second = replay.truths
    assert (first.label, (first.until_us or 0) - replay.since_us) == ("national", 3 * HOUR_US)
    assert (second.label, second.until_us) == ("fixed-only", None)


def test_a_block_fails_the_tests_of_its_service_at_its_layer(tmp_path: Path) -> None:
    replay = played(
        tmp_path, "{do: block, service: telegram, layer: tls, at: 2022-01-05T01:00:00Z, for: 30m}"
    )
    (truth,) = replay.truths
    assert (truth.kind, truth.service, truth.layer) == ("block", "telegram", "tls")
    failing = [o for o in replay.opinions if o.standing is VoteValue.BLOCKED]
    assert {(o.witness.place.country, o.layer) for o in failing} == {("KZ", "tls")}
    assert len(failing) > 16 * 25
    assert all(truth.since_us <= o.at_us < (truth.until_us or 0) for o in failing)


@pytest.mark.parametrize(
    ("event", "sign"),
    [
        ("{do: restart, at: 2022-01-05T01:00:00Z, for: 30s}", Fault),
        ("{do: sleep, at: 2022-01-05T01:00:00Z, for: 2h}", Goodbye),
        ("{do: power, at: 2022-01-05T01:00:00Z, for: 2h, who: {region: AST}}", VantageLoss),
        ("{do: clock_jump, at: 2022-01-05T01:00:00Z, for: 90s, declared: no}", VantageLoss),
    ],
)
def test_what_is_no_shutdown_is_a_confounder(tmp_path: Path, event: str, sign: type) -> None:
    replay = played(tmp_path, event)
    assert [t.kind for t in replay.truths] == ["confounder"]
    assert any(isinstance(s, sign) for s in replay.signals)


def test_where_our_address_is_blocked_they_measure_on_and_most_say_so_by_post(
    tmp_path: Path,
) -> None:
    replay = played(tmp_path, "{do: own_block, at: 2022-01-05T01:00:00Z, for: 1h, share: 0.5}")
    since_us = replay.since_us + HOUR_US
    lost = [s for s in replay.signals if isinstance(s, VantageLoss)]
    words = [s for s in replay.signals if isinstance(s, OfflineReport)]
    early = {s.nym for s in words if s.carrier == "post" and s.at_us < since_us + 120 * SECOND_US}
    assert len(lost) == 16 > len(early) > 2
    assert all(s.online and s.alive for s in words)
    posting = [s for s in replay.signals if isinstance(s, VantageArrival)]
    assert {s.witness.nym for s in posting if s.witness.carrier == "post"} == early
    inside = [o for o in replay.opinions if since_us <= o.at_us < since_us + HOUR_US]
    assert {o.witness.nym for o in inside} >= {s.nym for s in lost}


def test_after_a_restart_they_come_in_again_and_nobody_was_lost(tmp_path: Path) -> None:
    replay = played(tmp_path, "{do: restart, at: 2022-01-05T01:00:00Z, for: 30s}")
    later = [type(s) for s in replay.signals if s.at_us > replay.since_us + HOUR_US]
    assert (later.count(VantageArrival), later.count(VantageLoss)) == (22, 0)


def test_a_moment_is_drawn_from_its_bracket_and_a_seed_draws_it_again(tmp_path: Path) -> None:
    event = "{do: cut, at: [2022-01-05T01:00:00Z, 2022-01-05T02:00:00Z], for: 1h}"
    first, second, again = (played(tmp_path, event, seed=seed).truths for seed in (1, 2, 1))
    assert first != second
    assert first == again
    assert played(tmp_path, event) == played(tmp_path, event)


@pytest.mark.parametrize(
    ("was", "becomes", "line", "cure"),
    [
        ("churn: 0", "churns: 0", 6, "KZ has no key 'churns'; allowed: churn, vantages"),
        ("churn: 0", "churn: often", 6, "churn must be a number"),
        ("count: 6}", "count: 0}", 8, "count must be between 1"),
        ("access: mobile, count: 6}", "access: mobile}", 8, "lacks count"),
        ("access: mobile", "access: !!python/name:os.system", 8, "leave out its tag"),
        ("count: 6}", "count: !!int six}", 8, "count is no int: leave out its tag"),
        ("access: mobile", "access: radio", 8, "allowed: fixed, hosting, mobile"),
        ("until: 2022-01-05T06:00:00Z", "until: 2022-01-04T06:00:00Z", 3, "a later time"),
        ("since: 2022-01-05T00:00:00Z", "since: yesterday", 2, "write 2022-01-05T10:30:00Z"),
        ("every: 1m", "every: soon", 12, "write 90s, 5m, 2h or 3d"),
        ("do: cut", "do: cutt", 14, "do cannot be 'cutt'; allowed: anycast, block"),
        ("do: cut", "do: block", 14, "lacks service"),
        ("do: cut", "do: cut, service: signal", 13, "add it to services"),
        ("at: 2022-01-05T02:00:00Z", "at: [2022-01-05T02:00:00Z]", 14, "[earliest, latest]"),
        ("at: 2022-01-05T02:00:00Z", "at: 2022-01-04T02:00:00Z", 14, "before the scenario's since"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_its_cure(
    tmp_path: Path, was: str, becomes: str, line: int, cure: str
) -> None:
    text = HEAD + "  - {do: cut, at: 2022-01-05T02:00:00Z}\n"
    assert was in text
    with pytest.raises(YamlError) as error:
        load_scenario(written(tmp_path, text.replace(was, becomes, 1)))
    assert str(error.value).startswith(f"{tmp_path / 'evening.yml'}, line {line}: ")
    assert cure in str(error.value)


@pytest.mark.parametrize("text", ["", "- a list\n", "\x00", "name: [an\n", "name: \xff"])
def test_what_is_no_scenario_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(YamlError, match=r"evening\.yml"):
        load_scenario(written(tmp_path, text))


def test_every_shipped_scenario_can_be_read_and_the_manual_names_every_word() -> None:
    assert list_shipped()
    for path in list_shipped():
        assert load_scenario(path).events
    manual = Path(load_scenario.__code__.co_filename).with_name("README.md").read_text()
    assert [word for word in EVENT_KINDS if f"`{word}`" not in manual] == []


@pytest.mark.parametrize("path", list_honest(), ids=lambda path: path.stem)
def test_a_dated_event_has_its_shape_in_the_honest_world(path: Path) -> None:
    """A dated event keeps its shape in the honest world.

    Its operators fall one after another, and its vantages have varied habits.
    """
    scenario = load_scenario(path)
    base = load_scenario(path.parents[1] / path.name)
    assert scenario.is_honest
    assert [e.id for e in scenario.events] == [e.id for e in base.events]
    replay = render_replay(settle_scenario(scenario, 1))
    shaped = {e.id: e.shape for e in scenario.events if e.shape is not None}
    spans_s = {t.id: t.spread_s for t in replay.truths if t.id in shaped and t.kind == "cut"}
    assert spans_s
    assert any(span_s > 60 for span_s in spans_s.values())
    for event_id, span_s in spans_s.items():
        shape = shaped[event_id]
        assert shape is not None
        assert span_s <= 5 * shape.span_s + 60
    members = {p for t in replay.truths for p in t.members}
    others = {s.nym for s in replay.signals if isinstance(s, VantageLoss)} - members
    assert others  # who was never cut falls silent as well


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ("base: none.yml", "none.yml"),
        ("base: variant.yml", "base must be a whole scenario"),
        ("shapes: {K99: {shape: step, over: 1m}}", "the base has no event 'K99'"),
        ("shapes: {K07: {shape: stairs, over: 1m}}", "shape cannot be 'stairs'"),
        ("shapes: {K07: {shape: step}}", "over"),
    ],
)
def test_mistake_in_a_variant_names_its_line(tmp_path: Path, text: str, cure: str) -> None:
    base = "" if "base" in text else f"base: {SHIPPED / 'kazakhstan-2022.yml'}\n"
    path = tmp_path / "variant.yml"
    path.write_text(f"name: x\n{base}{text}\n")
    with pytest.raises((YamlError, OSError), match=cure):
        load_scenario(path)
