"""A plan is edited in a form: the rest is unchanged, and errors return as typed."""

import re
from dataclasses import replace
from html import unescape
from typing import Any

import pytest

from heliograph.plan import Limits, PlannedTask
from heliograph.services import load_shipped_services
from heliograph_collector.console.backend import InvalidInputError
from heliograph_collector.console.plan_form import (
    build_plan,
    read_fields,
    write_interval,
)
from heliograph_collector.fleet.plans import build_default_plan, load_current_plan
from support.console_backend import Caller, FakeBackend

PLAN = build_default_plan(load_shipped_services())
SENT = """heartbeat_s: 15
tasks:
- {experiment: telegram, service: telegram, interval_s: 600}
- {experiment: telegram, service: telegram, interval_s: 3600, options: {light: "true"}}
"""


def test_untouched_form_changes_nothing_of_the_default_plan() -> None:
    odd = replace(PLAN, limits=replace(PLAN.limits, bytes_per_month=1_234_567))
    for plan in (PLAN, odd):
        assert build_plan(plan, read_fields(plan, {})) == plan


@pytest.mark.parametrize("seconds", [10, 59, 60, 90, 900, 3_600, 5_400, 7_200, 86_400, 604_800])
def test_interval_is_written_as_it_is_read(seconds: int) -> None:
    plan = replace(PLAN, tasks=(replace(PLAN.tasks[0], interval_s=seconds),))
    assert build_plan(plan, read_fields(plan, {"interval-0": write_interval(seconds)})) == plan


def test_fields_change_the_tasks_beside_which_they_stand() -> None:
    first, second, third = PLAN.tasks[:3]
    plan = replace(PLAN, tasks=(first, second, third))
    fields = {
        "interval-0": "2 h", "role-0": "control", "remove-1": "1", "interval-2": " 30s ",
        "new-target-0": "telegram", "new-interval-0": "15 min",
        "new-target-1": "https://b.example/", "new-interval-1": "1 d", "new-role-1": "volunteer",
        "new-target-2": "b.example", "new-experiment-2": "tls", "new-interval-2": "1 h",
        "megabytes_per_month": "90", "concurrency": "2", "target_pause_s": "60",
        "heartbeat_s": "30", "newest_version": " 0.2.0 ", "insecure_before": "0.1.3",
    }  # fmt: skip
    changed = build_plan(plan, read_fields(plan, fields))
    assert changed.tasks == (
        replace(first, interval_s=7_200, role="control"),
        replace(third, interval_s=30),
        PlannedTask(experiment="telegram", service="telegram", interval_s=900),
        PlannedTask(
            experiment="web", target="https://b.example/", interval_s=86_400, role="volunteer"
        ),
        PlannedTask(experiment="tls", target="b.example", interval_s=3_600),
    )
    assert changed.limits == Limits(bytes_per_month=90_000_000, concurrency=2, target_pause_s=60)
    assert changed.heartbeat_s == 30
    assert (changed.newest_version, changed.insecure_before) == ("0.2.0", "0.1.3")
    withdrawn = build_plan(changed, read_fields(changed, {"newest_version": ""}))
    assert (withdrawn.newest_version, withdrawn.insecure_before) == ("", "0.1.3")


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"interval-0": "often"}, "“often” is no interval"),
        ({"interval-0": "9 s"}, "10 s to 7 d"),
        ({"interval-0": "8 d"}, "10 s to 7 d"),
        ({"role-0": "king"}, "everybody, volunteers or controls"),
        ({"new-target-0": "telegramm", "new-interval-0": "1 h"}, "telegramm: it is neither"),
        ({"new-target-0": "telegram"}, "telegram: “” is no interval"),
        ({"new-target-0": "a", "new-experiment-0": "magic"}, "no experiment magic"),
        ({"concurrency": "65"}, "from 1 to 64"),
        ({"heartbeat_s": "1.5"}, "from 1 to 300"),
        ({"newest_version": "0.2.0-rc1"}, "Newest version: “0.2.0-rc1” is no version of agents"),
        ({"insecure_before": "all"}, "such as 0.2.0, or nothing"),
        ({"megabytes_per_month": "0"}, "from 1 to 1000000"),
        ({f"remove-{n}": "1" for n in range(len(PLAN.tasks))}, "at least one task"),
    ],
)
def test_wrong_field_is_told_by_name_and_cure(fields: dict[str, str], error: str) -> None:
    with pytest.raises(InvalidInputError, match=re.escape(error)):
        build_plan(PLAN, read_fields(PLAN, fields))


async def test_plan_of_a_form_is_previewed_and_sent(caller: Caller, backend: FakeBackend) -> None:
    await caller.log_in()
    await caller.post("/console/plan/send", {"plan": SENT, "version": "0"})
    _, page = await caller.get("/console/plan/edit")
    fields = dict(re.findall(r'<input name="([a-z_0-9-]+)" value="([^"]*)"', page))
    assert [fields["interval-0"], fields["interval-1"]] == ["10 min", "1 h"]
    fields |= {"version": "1", "interval-0": "5 min", "newest_version": "0.2.0"}
    status, page = await caller.post("/console/plan/form", fields)
    assert status == 200
    assert "every 10 min → every 5 min" in page
    assert "newest_version <small>none → 0.2.0</small>" in page
    sent = re.search(r'name="plan" value="([^"]*)"', page)
    assert sent is not None
    assert await caller.post("/console/plan/send", {"plan": unescape(sent[1]), "version": "1"}) == (
        303,
        "/console/plan",
    )
    current = load_current_plan(backend.fleet)
    assert current is not None
    assert [task.interval_s for task in current[0].tasks] == [300, 3_600]
    assert current[0].newest_version == "0.2.0"
    assert current[0].tasks[1].options == {"light": "true"}, "what the form does not show stays"


async def test_form_with_an_error_comes_back_as_it_was_typed(
    caller: Caller, backend: FakeBackend
) -> None:
    await caller.log_in()
    await caller.post("/console/plan/send", {"plan": SENT, "version": "0"})
    typed = {"version": "1", "interval-0": "often", "remove-1": "1", "new-target-2": "a b"}
    status, page = await caller.post("/console/plan/form", typed)
    assert status == 400
    assert "telegram: “often” is no interval" in page
    assert 'value="often"' in page
    assert 'value="a b"' in page
    assert re.search(r'name="remove-1"[^>]* checked', page)
    assert not re.search(r'name="remove-0"[^>]* checked', page)
    assert (await caller.post("/console/plan/form", {"version": "9"}))[0] == 404
    plan = load_current_plan(backend.fleet)
    assert plan is not None
    assert plan[0].version == 1


async def test_a_plan_that_another_operator_sends_at_the_same_time_is_not_overwritten(
    caller: Caller, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    await caller.log_in()
    add = backend.trail.add

    def add_while_another_sends(*words: Any, **more: Any) -> None:
        add(*words, **more)
        monkeypatch.setattr(backend.trail, "add", add)
        backend.issue_plan(backend.read_plan(SENT.replace("600", "300"), "plan"), 0)

    monkeypatch.setattr(backend.trail, "add", add_while_another_sends)
    status, page = await caller.post("/console/plan/send", {"plan": SENT, "version": "0"})
    assert status == 409
    assert "look at the preview again" in page
    current = load_current_plan(backend.fleet)
    assert current is not None
    assert (current[0].version, current[0].tasks[0].interval_s) == (1, 300)
