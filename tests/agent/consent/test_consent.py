"""What was agreed to stays what is run."""

from dataclasses import replace

import pytest

from heliograph.observation import Access
from heliograph.plan import Endpoint, EndpointKind, Plan, PlannedTask, Service
from heliograph_agent.consent import consent as c


def service(name: str, *hosts: str) -> Service:
    return Service(
        name=name,
        title=name.title(),
        experiment=name,
        endpoints=tuple(Endpoint(id=h, kind=EndpointKind.TLS, host=h, port=443) for h in hosts),
    )


PLAN = Plan(
    version=3,
    issued_s=0,
    expires_s=1,
    services_version="1",
    services=(service("telegram", "web.telegram.example"),),
    tasks=(
        PlannedTask(experiment="telegram", service="telegram", interval_s=300),
        PlannedTask(experiment="web", target="https://news.example/", interval_s=90),
    ),
)
AGREED = c.Consent(given_us=1, plan_version=3, scope=c.scope_of(PLAN))


def test_the_terms_say_what_runs_who_sees_it_and_how_to_stop() -> None:
    text = c.terms(PLAN, "collector.example:7443")
    for words in (
        "collector.example:7443", "Telegram (1 addresses): telegram, every 5 min",
        "https://news.example/: web, every 90 s", "at most 300 MB a month",
        "Who can see it", "Risks", "not anonymity",
        "belongs to somebody else", "pause", "leave --erase",
    ):  # fmt: skip
        assert words in text


def test_the_same_plan_runs_whole() -> None:
    assert c.narrow(PLAN, AGREED) == (PLAN, ())


def test_a_new_target_waits_for_another_yes() -> None:
    wider = replace(
        PLAN,
        tasks=(*PLAN.tasks, PlannedTask(experiment="tcp", target="192.0.2.1:1", interval_s=1)),
    )
    assert c.narrow(wider, AGREED) == (PLAN, ("tcp 192.0.2.1:1",))


def test_a_new_host_behind_an_old_service_waits_too() -> None:
    wider = replace(PLAN, services=(service("telegram", "web.telegram.example", "victim.example"),))
    assert c.narrow(wider, AGREED) == (PLAN, ("victim.example",))


def test_an_option_may_name_a_host_so_it_waits_too() -> None:
    anchors = PlannedTask(experiment="connectivity", service="anchors", interval_s=60)
    agreed = replace(AGREED, scope=AGREED.scope | {"connectivity anchors"})
    wider = replace(anchors, options={"domestic": "https://victim.example/"})
    plan = replace(PLAN, tasks=(*PLAN.tasks, wider))
    unit = "connectivity anchors domestic=https://victim.example/"
    assert c.narrow(replace(PLAN, tasks=(*PLAN.tasks, anchors)), agreed)[1] == ()
    assert c.narrow(plan, agreed) == (PLAN, (unit,))
    assert "connectivity domestic=https://victim.example/, every 1 min" in c.terms(plan, "x:1")


def test_a_plan_may_narrow_at_any_time() -> None:
    narrower = replace(PLAN, tasks=PLAN.tasks[:1])
    assert c.narrow(narrower, AGREED) == (narrower, ())


def test_yes_to_everything_covers_what_comes_later() -> None:
    always = replace(AGREED, scope=frozenset({c.EVERYTHING}))
    wider = replace(PLAN, services=(service("telegram", "other.example"),))
    assert c.narrow(wider, always) == (wider, ())


def test_no_plan_can_hide_a_yes_to_everything_among_its_hosts() -> None:
    """A volunteer is shown how many addresses a service has, and not each of them."""
    sly = replace(
        PLAN,
        services=(service("telegram", "web.telegram.example", c.EVERYTHING),),
        tasks=(*PLAN.tasks, PlannedTask(experiment=c.EVERYTHING, interval_s=60)),
    )
    agreed = replace(AGREED, scope=c.scope_of(sly))
    wider = replace(
        PLAN,
        tasks=(*PLAN.tasks, PlannedTask(experiment="tcp", target="192.0.2.1:1", interval_s=1)),
    )
    assert c.narrow(wider, agreed)[0].tasks == PLAN.tasks


@pytest.mark.parametrize("hidden", ["tor", "tcp 192.0.2.1:1", "web https://banned.example/"])
def test_a_host_that_reads_like_a_test_allows_no_test(hidden: str) -> None:
    sly = replace(PLAN, services=(service("telegram", "web.telegram.example", hidden),))
    agreed = replace(AGREED, scope=c.scope_of(sly))
    experiment, _, target = hidden.partition(" ")
    wider = replace(
        PLAN,
        tasks=(*PLAN.tasks, PlannedTask(experiment=experiment, target=target, interval_s=1)),
    )
    assert c.narrow(wider, agreed) == (PLAN, (hidden,))


def test_a_target_beside_a_service_is_shown_and_waits_for_a_yes() -> None:
    pages = PlannedTask(experiment="web", service="telegram", interval_s=60)
    before = replace(PLAN, tasks=(*PLAN.tasks, pages))
    agreed = replace(AGREED, scope=c.scope_of(before))
    wider = replace(pages, target="https://banned.example/")
    plan = replace(PLAN, tasks=(*PLAN.tasks, wider))
    assert c.narrow(before, agreed) == (before, ())
    assert c.narrow(plan, agreed) == (PLAN, ("web telegram https://banned.example/",))
    assert "https://banned.example/" in c.terms(plan, "x:1")


def test_no_plan_can_paint_over_its_own_terms() -> None:
    """What moves a terminal's cursor, or the order of letters, could hide what is agreed to."""
    rubbed_out = "Telegram\x1b[2K\x1b[1A\r\u202e\n\x9b2K"
    sly = replace(
        PLAN,
        services=(replace(PLAN.services[0], title=rubbed_out),),
        tasks=(*PLAN.tasks, PlannedTask(experiment="tcp\x1b[8m", target="a\x07", interval_s=1)),
    )
    text = c.terms(sly, "collector.example:7443")
    assert all(letter.isprintable() for line in text.split("\n") for letter in line)
    assert "tcp·[8m" in text
    assert c.plain("a\u200cb") == "a\u200cb"


def test_more_bytes_a_month_than_were_told_wait_for_a_yes() -> None:
    agreed = replace(AGREED, bytes_per_month=300_000_000)
    dear = replace(PLAN, limits=replace(PLAN.limits, bytes_per_month=9_000_000_000))
    cheap = replace(PLAN, limits=replace(PLAN.limits, bytes_per_month=1_000_000))
    assert c.narrow(dear, agreed) == (PLAN, ("9000 MB a month",))
    assert c.narrow(cheap, agreed) == (cheap, ())
    assert c.narrow(dear, AGREED) == (dear, ()), "who agreed before this was noted"


def test_what_is_for_controls_is_never_asked_of_a_volunteer() -> None:
    abroad = PlannedTask(experiment="outside_in", service="sites", interval_s=60, role="control")
    odd = PlannedTask(experiment="tcp", target="192.0.2.1:1", interval_s=60, role="pigeon")
    plan = replace(
        PLAN,
        tasks=(*PLAN.tasks, abroad, odd),
        services=(*PLAN.services, service("sites", "www.gov.example")),
    )
    assert plan.of_role("volunteer") == PLAN
    assert plan.of_role("control").tasks == (*PLAN.tasks, abroad)
    assert plan.of_role("control").services == plan.services


def test_it_survives_the_file() -> None:
    told = replace(AGREED, bytes_per_month=5, country="KZ", region="KZ-75", access=Access.MOBILE)
    assert c.read_consent(told.to_json()) == told


@pytest.mark.parametrize(
    "stored", [None, {}, {"version": 0}, {**AGREED.to_json(), "scope": 5},
               {**AGREED.to_json(), "access": "wifi"}, {**AGREED.to_json(), "given_us": "soon"}],
)  # fmt: skip
def test_anything_else_is_no_consent(stored: dict[str, object] | None) -> None:
    assert c.read_consent(stored) is None
