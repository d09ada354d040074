"""What a volunteer does not want is never run, and where it is dangerous a yes covers less."""

from dataclasses import replace
from pathlib import Path

import pytest

from heliograph.plan import PlannedTask
from heliograph.services import shipped
from heliograph_agent.config import ConfigError, parse
from heliograph_agent.consent import cost, opt_out, risks
from support.scripted_intake import plan_of

TELEGRAM = next(s for s in shipped().services if s.name == "telegram")
PLAN = plan_of(
    PlannedTask(experiment="connectivity", service="anchors", interval_s=180),
    PlannedTask(experiment="telegram", service="telegram", interval_s=600),
    PlannedTask(experiment="web", target="https://news.example/", interval_s=600),
    PlannedTask(experiment="tor", service="tor", interval_s=600),
    PlannedTask(experiment="quic", target="https://a.example/", interval_s=600),
    services=(TELEGRAM,),
)


@pytest.mark.parametrize(
    ("unwanted", "left"),
    [
        ((), {"connectivity", "telegram", "web", "tor", "quic"}),
        (("web",), {"connectivity", "telegram", "tor", "quic"}),
        (("circumvention", "network"), {"connectivity", "telegram", "web"}),
        (("messengers", "anchors"), {"web", "tor", "quic"}),
        (("nothing-of-that-name",), {"connectivity", "telegram", "web", "tor", "quic"}),
    ],
)
def test_categories_experiments_and_services_are_left_out(
    unwanted: tuple[str, ...], left: set[str]
) -> None:
    plan = opt_out.without(PLAN, unwanted)
    assert {task.experiment for task in plan.tasks} == left
    assert bool(plan.services) == ("telegram" in left)
    assert len(opt_out.left_out(PLAN, unwanted)) == len(PLAN.tasks) - len(left)


def test_where_people_are_punished_a_yes_is_for_messengers_and_anchors() -> None:
    assert risks.is_grave("IR")
    assert {t.experiment for t in opt_out.careful(PLAN).tasks} == {"connectivity", "telegram"}


def test_every_country_is_warned_of_as_it_was_looked_at() -> None:
    assert [risks.tier_of(c) for c in ("NO", "KZ", "IR", "QQ", "")] == [
        risks.Tier.LOW,
        risks.Tier.WATCHED,
        risks.Tier.PUNISHED,
        risks.Tier.NOT_LOOKED_AT,
        risks.Tier.NOT_LOOKED_AT,
    ]
    assert "take it as dangerous" in risks.words("")
    import yaml

    text = (Path(risks.__file__).parent / "risks.yml").read_text()
    tiers = yaml.safe_load(text)["tiers"].values()
    listed = [country for tier in tiers for country in tier]
    assert all(isinstance(c, str) and len(c) == 2 for c in listed), "NO is no boolean"
    assert len(set(listed)) == len(listed)


def test_the_bytes_are_reckoned_and_bounded() -> None:
    once = sum(cost._VISIT[e.kind] for e in TELEGRAM.endpoints)
    assert cost.of_task(PLAN.tasks[1], TELEGRAM) == once * 144
    small = replace(PLAN, limits=replace(PLAN.limits, bytes_per_month=3_000_000))
    assert cost.of_plan(small) == 100_000


def test_hours_may_go_over_midnight() -> None:
    config = parse(b"opt_out: {hours: [22-2, 6-7], tests: [web, tor]}", "c.yml")
    assert config.quiet_hours == {22, 23, 0, 1, 6}
    assert config.without == ("web", "tor")
    for bad in ("25-3", "3-3", "night", "3", "1-25"):
        with pytest.raises(ConfigError, match=r"c.yml, line 1: opt_out.hours cannot be"):
            parse(f"opt_out: {{hours: ['{bad}']}}".encode(), "c.yml")
