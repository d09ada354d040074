"""Opt-outs, risks by country, and estimated bytes."""

from dataclasses import replace
from pathlib import Path

import pytest

from heliograph.plan import PlannedTask
from heliograph.services import load_shipped_services
from heliograph_agent import consent
from heliograph_agent.config import AgentConfigError, parse_config
from support.scripted_intake import plan_of

TELEGRAM = next(s for s in load_shipped_services().services if s.name == "telegram")
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
def test_exclude_tests_by_category_experiment_or_service(
    unwanted: tuple[str, ...], left: set[str]
) -> None:
    plan = consent.exclude_tests(PLAN, unwanted)
    assert {task.experiment for task in plan.tasks} == left
    assert bool(plan.services) == ("telegram" in left)
    assert len(consent.list_excluded(PLAN, unwanted)) == len(PLAN.tasks) - len(left)


def test_misspelled_opt_out_is_found() -> None:
    """A misspelled opt-out is reported, as it leaves out nothing."""
    names = ("telegramm", "telegram", "tor", "web", "circumvention", "stun", "WhatsApp")
    assert consent.find_unmatched_names(PLAN, names) == ["WhatsApp", "telegramm"]


def test_grave_risk_restricts_consent_to_basics() -> None:
    assert consent.is_grave("IR")
    assert {t.experiment for t in consent.restrict_to_basics(PLAN).tasks} == {
        "connectivity",
        "telegram",
    }


def test_risk_tiers_by_country() -> None:
    assert [consent.find_tier(c) for c in ("NO", "KZ", "IR", "QQ", "")] == [
        consent.RiskTier.LOW,
        consent.RiskTier.WATCHED,
        consent.RiskTier.PUNISHED,
        consent.RiskTier.NOT_LOOKED_AT,
        consent.RiskTier.NOT_LOOKED_AT,
    ]
    assert "take it as dangerous" in consent.describe_risk("")
    import yaml

    text = (Path(consent.__file__).parent / "risks.yml").read_text()
    tiers = yaml.safe_load(text)["tiers"].values()
    listed = [country for tier in tiers for country in tier]
    assert all(isinstance(c, str) and len(c) == 2 for c in listed), "NO is no boolean"
    assert len(set(listed)) == len(listed)


def test_estimated_bytes_are_bounded() -> None:
    small = replace(PLAN, limits=replace(PLAN.limits, bytes_per_month=3_000_000))
    assert consent.estimate_daily_bytes(small) == 100_000


def test_quiet_hours_may_cross_midnight() -> None:
    config = parse_config(b"opt_out: {hours: [22-2, 6-7], tests: [web, tor]}", "c.yml")
    assert config.quiet_hours == {22, 23, 0, 1, 6}
    assert config.without == ("web", "tor")
    for bad in ("25-3", "3-3", "night", "3", "1-25"):
        with pytest.raises(AgentConfigError, match=r"c.yml, line 1: opt_out.hours cannot be"):
            parse_config(f"opt_out: {{hours: ['{bad}']}}".encode(), "c.yml")
