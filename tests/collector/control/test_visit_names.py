"""Visits of redirects and of servers in a comparison use names of the plan alone."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from heliograph.plan import Plan, PlannedTask
from heliograph.visits import Visit
from heliograph_collector.control.visit_planner import VisitPlanner
from heliograph_collector.control.visit_policy import VisitPolicy
from heliograph_collector.model.control_look import ControlSite
from heliograph_collector.model.records import JudgedMeasurement, Verdict, VerdictState
from heliograph_collector.model.seniority import Seniority
from support.control_records import build_control, build_record
from support.scenario import HOST, MINUTE_US, NOON_US

URL = f"https://{HOST}/"
EDGE = "9.8.7.6"  # which only vantages were led to
SHARED = "5.6.7.8"  # the site's own
SITES = (ControlSite(b"a", "AS1"),)
PLAN = Plan(
    version=1, issued_s=0, expires_s=2**33, services_version="1", services=(),
    tasks=tuple(
        PlannedTask(experiment=experiment, target=target, interval_s=600)
        for experiment, target in (
            ("web", URL), ("web", "http://Other.example:8080/path"), ("sni", "named.example"),
            ("quic", "named.example"), ("ech", "named.example"),
        )
    ),
)  # fmt: skip


class UnknownAsns:
    def find_asn(self, literal: str) -> int:
        return 0


def list_visits(judged: Sequence[JudgedMeasurement]) -> list[Visit]:
    """The visits that are ordered four minutes after these were judged at noon."""
    planner = VisitPlanner(VisitPolicy(UnknownAsns()), random.Random(1))
    planner.follow_plan(PLAN)
    planner.add(judged, NOON_US)
    taken = planner.take_orders(SITES, NOON_US + 4 * MINUTE_US)
    return [visit for order in taken for visit in order.visits]


def report_pair(
    steps: dict[str, list[dict[str, Any]]], *, experiment: str = "web", target: str = URL
) -> list[JudgedMeasurement]:
    """Return results of two vantages with these labeled steps and unknown verdicts."""
    verdicts = (Verdict(state=VerdictState.UNKNOWN, rule="none.unobserved", endpoint=""),)
    records = [
        replace(
            build_record(steps, 0, nym=nym, experiment=experiment, target=target),
            reporter=nym, seniority=Seniority.ESTABLISHED, received_us=NOON_US,
        )
        for nym in ("v1", "v2")
    ]  # fmt: skip
    return [(record, verdicts) for record in records]


def redirected_to(name: str, port: int = 443) -> dict[str, list[dict[str, Any]]]:
    cut = {f"tls {name}": "connection_reset"} if port != 80 else {"http": "connection_reset"}
    return {
        "": [{"system A": SHARED}, {f"connect {SHARED}": "ok"}, {"tls": "ok"}, {"http": 301}],
        "redirect-1": [{f"system A {name}": EDGE}, {f"connect {EDGE} {port}": "ok"}, cut],
    }


HELLOS = {
    "neutral": [{f"connect {EDGE}": "ok"}, {"tls neutral.example": "ok"}],
    "target": [{f"connect {EDGE}": "ok"}, {"tls named.example": "connection_reset"}],
}
PLAIN_HELLOS = {
    "none": [{f"connect {EDGE}": "ok"}, {"tls named.example": "ok"}],
    "grease": [{f"connect {EDGE}": "ok"}, {"tls named.example": "connection_reset"}],
}
INITIALS = {"target": [{f"quic {EDGE} named.example": "generic_timeout_error"}]}


@pytest.mark.parametrize(
    ("case", "judged", "label"),
    [
        ("the same site without www", report_pair(redirected_to("target.example")),
         "https://target.example/"),
        ("another page of the plan", report_pair(redirected_to("other.example")),
         "https://other.example/"),
        ("a name of the site's own choice", report_pair(redirected_to("victim.example")), ""),
        ("a name below the site's", report_pair(redirected_to("intern.target.example")), ""),
        ("an odd port of the same site", report_pair(redirected_to("target.example", 22)), ""),
        ("a page in clear of the same site", report_pair(redirected_to("target.example", 80)), ""),
        ("the neutral server of sni",
         report_pair(HELLOS, experiment="sni", target="named.example"), "neutral"),
        ("the target of ech",
         report_pair(PLAIN_HELLOS, experiment="ech", target="named.example"), "none"),
        ("the target of quic",
         report_pair(INITIALS, experiment="quic", target="named.example"), "target"),
        ("quic by another protocol",
         report_pair({"target": HELLOS["target"]}, experiment="quic", target="named.example"), ""),
    ],
)  # fmt: skip
def test_redirects_and_servers_are_visited_under_names_of_the_plan_alone(
    case: str, judged: list[JudgedMeasurement], label: str
) -> None:
    """Redirects and servers are visited under names of the plan alone.

    Wherever a site redirects its visitors, it cannot send a control there.
    """
    visited = [(v.endpoint, v.address) for v in list_visits(judged)]
    assert [x for x in visited if x != ("", SHARED)] == ([(label, EDGE)] if label else []), case


def test_control_that_looked_at_the_redirect_is_not_asked_again() -> None:
    control = build_control(
        {"https://target.example/": [{f"connect {EDGE}": "ok"}, {"tls target.example": "ok"}]},
        target=URL, is_visit=True,
    )  # fmt: skip
    judged = report_pair(redirected_to("target.example"))
    visited = list_visits([(control, ()), *judged])
    assert [visit.address for visit in visited] == [SHARED]
