"""Only tasks with consent run."""

from dataclasses import replace

import pytest

from heliograph.observation import Access
from heliograph.plan import Endpoint, EndpointKind, Plan, PlannedTask, Service
from heliograph_agent import consent as c
from support.scripted_intake import plan_of


def service(name: str, *hosts: str) -> Service:
    return Service(
        name=name,
        title=name.title(),
        experiment=name,
        endpoints=tuple(Endpoint(id=h, kind=EndpointKind.TLS, host=h, port=443) for h in hosts),
    )


PLAN = plan_of(
    PlannedTask(experiment="telegram", service="telegram", interval_s=300),
    PlannedTask(experiment="web", target="https://news.example/", interval_s=90),
    version=3,
    services=(service("telegram", "web.telegram.example"),),
)
AGREED = c.Consent(given_us=1, plan_version=3, scope=c.consent_scope(PLAN))
TCP = PlannedTask(experiment="tcp", target="192.0.2.1:1", interval_s=1)


def extend(*tasks: PlannedTask) -> Plan:
    """PLAN with further tasks."""
    return replace(PLAN, tasks=(*PLAN.tasks, *tasks))


def test_terms_name_tests_risks_and_stopping() -> None:
    text = c.format_terms(PLAN, "collector.example:7443")
    assert "may be run again within a minute" in text, "who watches the line sees that, too"
    for words in (
        "collector.example:7443", "Telegram (1 addresses): telegram, every 5 min",
        "https://news.example/: web, every 90 s", "at most 300 MB a month",
        "Who can see it", "Risks", "not anonymity",
        "belongs to somebody else", "pause", "leave --erase",
    ):  # fmt: skip
        assert words in text


def test_terms_say_that_hello_looks_like_a_browser() -> None:
    hello = PlannedTask(experiment="hello", interval_s=7_200, target="pages")
    text = c.format_terms(extend(hello), "collector.example:7443")
    assert "the pages of this plan, 1 hosts in turn: hello, every 2 h" in text
    assert "a browser on this machine has gone there" in text
    assert "a browser on this machine" not in c.format_terms(PLAN, "collector.example:7443")


def limit_bytes(bytes_per_month: int) -> Plan:
    return replace(PLAN, limits=replace(PLAN.limits, bytes_per_month=bytes_per_month))


TWO_HOSTS = replace(PLAN, services=(service("telegram", "web.telegram.example", "other.example"),))
OTHER_WAYS = replace(
    PLAN,
    services=(
        replace(
            PLAN.services[0],
            endpoints=(
                *PLAN.services[0].endpoints,
                replace(PLAN.services[0].endpoints[0], id="b", addresses=("192.0.2.9",)),
                replace(PLAN.services[0].endpoints[0], id="r", resolver="https://192.0.2.53/q"),
            ),
        ),
    ),
)
EVERYTHING = replace(AGREED, scope=frozenset({c.EVERYTHING}))
LIMITED = replace(AGREED, bytes_per_month=300_000_000)
DEAR, CHEAP = limit_bytes(9_000_000_000), limit_bytes(1_000_000)


@pytest.mark.parametrize(
    ("plan", "agreed", "allowed", "waiting"),
    [
        pytest.param(PLAN, AGREED, PLAN, (), id="unchanged"),
        pytest.param(CHEAP, LIMITED, CHEAP, (), id="fewer bytes"),
        pytest.param(DEAR, LIMITED, PLAN, ("9000 MB a month",), id="more bytes"),
        pytest.param(DEAR, AGREED, DEAR, (), id="agreed before limits were noted"),
        pytest.param(extend(TCP), AGREED, PLAN, ("tcp 192.0.2.1:1",), id="new target"),
        pytest.param(TWO_HOSTS, AGREED, PLAN, ("other.example",), id="new host of a service"),
        pytest.param(
            OTHER_WAYS, AGREED, PLAN, ("192.0.2.53", "192.0.2.9"), id="new address of an old host"
        ),
        pytest.param(TWO_HOSTS, EVERYTHING, TWO_HOSTS, (), id="consent to everything"),
        pytest.param(
            replace(PLAN, tasks=PLAN.tasks[:1]), AGREED, replace(PLAN, tasks=PLAN.tasks[:1]), (),
            id="narrower",
        ),
    ],
)  # fmt: skip
def test_what_is_new_waits_for_consent(
    plan: Plan, agreed: c.Consent, allowed: Plan, waiting: tuple[str, ...]
) -> None:
    assert c.narrow_plan(plan, agreed) == (allowed, waiting)


def test_new_option_waits_for_consent() -> None:
    anchors = PlannedTask(experiment="connectivity", service="anchors", interval_s=60)
    agreed = replace(AGREED, scope=AGREED.scope | {"connectivity anchors"})
    wider = replace(anchors, options={"domestic": "https://victim.example/"})
    unit = "connectivity anchors domestic=https://victim.example/"
    assert c.narrow_plan(extend(anchors), agreed)[1] == ()
    assert c.narrow_plan(extend(wider), agreed) == (PLAN, (unit,))
    terms = c.format_terms(extend(wider), "x:1")
    assert "connectivity domestic=https://victim.example/, every 1 min" in terms


def test_light_check_needs_no_consent_beside_the_whole_test() -> None:
    light = PlannedTask(
        experiment="telegram", service="telegram", interval_s=150, options={"light": "true"}
    )
    plan = extend(light)
    assert c.narrow_plan(plan, AGREED) == (plan, ())
    wider = replace(light, options={"light": "true", "concurrency": "16"})
    assert c.narrow_plan(extend(wider), AGREED)[1] == ("telegram telegram concurrency=16",)


def test_plan_cannot_hide_consent_to_everything() -> None:
    """A volunteer is shown how many addresses a service has, and not each of them."""
    services = (service("telegram", "web.telegram.example", c.EVERYTHING),)
    everything = PlannedTask(experiment=c.EVERYTHING, interval_s=60)
    sly = replace(extend(everything), services=services)
    agreed = replace(AGREED, scope=c.consent_scope(sly))
    assert c.narrow_plan(extend(TCP), agreed)[0].tasks == PLAN.tasks


@pytest.mark.parametrize("hidden", ["tor", "tcp 192.0.2.1:1", "web https://banned.example/"])
def test_host_named_like_test_allows_no_test(hidden: str) -> None:
    sly = replace(PLAN, services=(service("telegram", "web.telegram.example", hidden),))
    agreed = replace(AGREED, scope=c.consent_scope(sly))
    experiment, _, target = hidden.partition(" ")
    wider = extend(PlannedTask(experiment=experiment, target=target, interval_s=1))
    assert c.narrow_plan(wider, agreed) == (PLAN, (hidden,))


def test_target_of_service_task_waits_for_consent() -> None:
    pages = PlannedTask(experiment="web", service="telegram", interval_s=60)
    before = extend(pages)
    agreed = replace(AGREED, scope=c.consent_scope(before))
    wider = replace(pages, target="https://banned.example/")
    plan = extend(wider)
    assert c.narrow_plan(before, agreed) == (before, ())
    assert c.narrow_plan(plan, agreed) == (PLAN, ("web telegram https://banned.example/",))
    assert "https://banned.example/" in c.format_terms(plan, "x:1")


def test_terms_contain_no_control_characters() -> None:
    """Terms contain no control characters, which could hide a part of them."""
    rubbed_out = "Telegram\x1b[2K\x1b[1A\r\u202e\n\x9b2K"
    hidden = PlannedTask(experiment="tcp\x1b[8m", target="a\x07", interval_s=1)
    sly = replace(extend(hidden), services=(replace(PLAN.services[0], title=rubbed_out),))
    text = c.format_terms(sly, "collector.example:7443")
    assert all(letter.isprintable() for line in text.split("\n") for letter in line)
    assert "tcp·[8m" in text
    assert c.make_printable("a\u200cb") == "a\u200cb"


def test_role_selects_tasks_and_services() -> None:
    abroad = PlannedTask(experiment="outside_in", service="sites", interval_s=60, role="control")
    odd = PlannedTask(experiment="tcp", target="192.0.2.1:1", interval_s=60, role="pigeon")
    services = (*PLAN.services, service("sites", "www.gov.example"))
    plan = replace(extend(abroad, odd), services=services)
    assert plan.for_role("volunteer") == PLAN
    assert plan.for_role("control").tasks == (*PLAN.tasks, abroad)
    assert plan.for_role("control").services == plan.services


def test_consent_round_trips_through_json() -> None:
    consent = replace(AGREED, bytes_per_month=5, country="KZ", region="KZ-75", access=Access.MOBILE)
    assert c.read_consent(consent.to_json()) == consent


@pytest.mark.parametrize(
    "stored", [None, {}, {"version": 0}, {**AGREED.to_json(), "scope": 5},
               {**AGREED.to_json(), "access": "wifi"}, {**AGREED.to_json(), "given_us": "soon"}],
)  # fmt: skip
def test_read_consent_refuses_invalid_file(stored: dict[str, object] | None) -> None:
    assert c.read_consent(stored) is None


def store_first_version(country: str) -> dict[str, object]:
    """Return a consent.json of the first version, whose text named no country's risk."""
    stored: dict[str, object] = {**replace(AGREED, country=country).to_json(), "version": 1}
    for name in ("network", "bytes_per_month", "tier"):
        del stored[name]
    return stored


@pytest.mark.parametrize("version", [1, 2, 3])
def test_new_wording_asks_for_no_new_consent(version: int) -> None:
    agreed = c.read_consent({**store_first_version("KZ"), "version": version})
    assert agreed is not None
    assert c.narrow_plan(PLAN, agreed) == (PLAN, ())


@pytest.mark.parametrize("scope", [AGREED.scope, {c.EVERYTHING}])
def test_new_risk_of_country_stops_only_what_it_endangers(scope: frozenset[str]) -> None:
    agreed = c.read_consent({**store_first_version("IR"), "scope": sorted(scope)})
    assert agreed is not None
    allowed, waiting = c.narrow_plan(PLAN, agreed)
    assert [task.experiment for task in allowed.tasks] == ["telegram"]
    assert allowed.services == PLAN.services
    assert waiting == ("web https://news.example/",)
    again = replace(agreed, tier=c.find_tier("IR"))
    assert c.narrow_plan(PLAN, again) == (PLAN, ()), "told and agreed to"


def test_risk_that_rose_since_the_consent_is_new() -> None:
    low = replace(AGREED, country="IR", tier=c.RiskTier.LOW)
    assert c.is_risk_new(low)
    assert c.read_consent(low.to_json()) == low
    assert not c.is_risk_new(replace(low, tier=c.RiskTier.NOT_LOOKED_AT)), "told to fear the worst"
