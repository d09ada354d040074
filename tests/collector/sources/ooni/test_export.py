"""Our measurement in OONI's format is read by OONI's package and our import."""

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from heliograph.observation import PUBLIC_RESOLVER
from heliograph_collector.http.api.measurements import build_document
from heliograph_collector.judge import judge
from heliograph_collector.model.control_look import VantageProfile
from support.ooni import judge_document
from support.scenario import Scenario, catalogue

SCENARIOS = catalogue()
# What OONI's format cannot carry: the link, the control's age and link, moments of a body.
GATES = ("link.", "control.", "none.")
UNTOLD = ("http.frozen", "http.throttled", "tls.nothing_in_common")  # arrivals, a TLS alert
# OONI's control has one resolver, so its format cannot say that two of ours disagree.
ONE_RESOLVER = "Two replies here, and the control's resolvers do not agree that the name is gone"


def told(scenario: Scenario) -> bool:
    """Return whether the format can express the basis of this page's verdict."""
    m = scenario.taken.measurement
    labels = {o.endpoint for o in m.observations}
    page = m.experiment == "web" and all(x == "" or x.startswith("redirect-") for x in labels)
    if not (page and labels) or scenario.name == ONE_RESOLVER:
        return False
    rule = judge(scenario.taken, scenario.control)[-1].rule
    return not rule.startswith(GATES) and rule not in UNTOLD


MIN_PAGES = 150  # of 160

# df-000: the base data format, 0.2.0
STRINGS = (
    "data_format_version id measurement_start_time probe_asn probe_cc probe_ip report_id"
    " resolver_asn resolver_ip resolver_network_name software_name software_version test_name"
    " test_start_time test_version"
)
NEEDED: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(STRINGS.split(), str),
    **dict.fromkeys(("annotations", "test_helpers", "test_keys"), dict),
    **dict.fromkeys(("input_hashes", "options"), list),
    **dict.fromkeys(("input", "probe_city"), (str, type(None))),
    "test_runtime": float,
}


def exported(scenario: Scenario) -> dict[str, Any]:
    verdicts = judge(scenario.taken, scenario.control)
    document = build_document(scenario.taken, verdicts, scenario.control)
    loaded: dict[str, Any] = json.loads(msgspec.json.encode(document))
    return loaded


def through_oonidata(body: dict[str, Any]) -> Any:
    """Parse a body by oonidata, imported late because the import is slow."""
    from oonidata.models.nettests import (  # type: ignore[import-untyped] # it ships no types
        NETTEST_MODELS,
        BaseMeasurement,
    )

    return NETTEST_MODELS.get(body["test_name"], BaseMeasurement).from_dict(body)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_it_is_ooni_s_base_format_and_oonidata_reads_it(scenario: Scenario) -> None:
    """An export is OONI's base format, and oonidata reads all rows that it supports."""
    body = exported(scenario)
    for key, kind in NEEDED.items():
        assert isinstance(body[key], kind), key
    assert body["data_format_version"] == "0.2.0"
    assert re.fullmatch(r"AS\d+", body["probe_asn"])
    assert re.fullmatch(r"[A-Z]{2}", body["probe_cc"])
    assert body["probe_ip"] == "127.0.0.1"
    for key in ("measurement_start_time", "test_start_time"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", body[key])
    assert all(isinstance(v, str) for v in body["annotations"].values())
    loaded = through_oonidata(body)
    assert (loaded.probe_cc, loaded.probe_asn) == ("KZ", "AS9198")
    keys = body["test_keys"]
    if body["test_name"] in ("web_connectivity", "telegram", "whatsapp", "signal"):
        for name in ("queries", "tcp_connect", "tls_handshakes", "requests"):
            assert len(getattr(loaded.test_keys, name)) == len(keys[name]), name
    if body["test_name"] == "web_connectivity":
        assert loaded.test_keys.blocking == keys["blocking"]
        assert loaded.test_keys.accessible == keys["accessible"]


@pytest.mark.long
def test_and_back_through_our_import_the_verdicts_are_the_same() -> None:
    """A round trip through our import keeps the verdicts."""
    # A document says nothing of what the collector knows of a vantage from elsewhere, nor of whose
    # the system's resolver is.
    pages = [
        s
        for s in SCENARIOS
        if s.control.profile == VantageProfile() and told(s) and not knows_resolver(s)
    ]
    assert len(pages) >= MIN_PAGES
    wrong = [(s.name, was, found) for s in pages for was, found in [both_ways(s)] if was != found]
    assert wrong == []


def knows_resolver(scenario: Scenario) -> bool:
    lookups = (x.dns for x in scenario.taken.measurement.observations if x.dns is not None)
    return any(dns.engine == "system" and dns.resolver == PUBLIC_RESOLVER for dns in lookups)


def both_ways(scenario: Scenario) -> tuple[tuple[object, ...], tuple[object, ...]]:
    """State, layer and OONI's word: of our verdict, and of the import of our document."""
    (before,) = (v for v in judge(scenario.taken, scenario.control) if v.endpoint == "")
    body = exported(scenario)
    through_oonidata(body)
    found = judge_document(body)
    said = (before.state, before.layer, body["test_keys"]["blocking"])
    return said, (found["verdict"], found["layer"], found["blocking"])
