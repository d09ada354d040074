"""The list of services: the shipped edition is consistent, errors name a place."""

import ipaddress
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.address import parse_literal
from heliograph.codec import plan_from_pb, plan_to_pb
from heliograph.plan import EndpointKind, Plan
from heliograph.services import (
    load_services,
    load_shipped_services,
    merge_services,
    parse_services,
)
from heliograph.yaml_document import YamlError
from heliograph_collector.judge.service_verdict import judge_service
from heliograph_collector.model.records import Verdict, VerdictState
from support.values import present

GOOD = """\
version: "2026-01-01.1"
services:
  telegram:
    title: Telegram
    endpoints:
      - {id: dc1, kind: http, host: 192.0.2.1, port: 443, method: POST, group: dc}
      - id: web
        kind: https
        host: Web.Example.Test.
"""


def test_what_is_written_is_what_is_read() -> None:
    (service,) = parse_services(GOOD.encode(), "mine.yml").services
    assert (service.name, service.title, service.experiment) == ("telegram", "Telegram", "telegram")
    dc1, web = service.endpoints
    assert (dc1.port, dc1.method, dc1.group, dc1.path) == (443, "POST", "dc", "/")
    assert (web.host, web.port, web.kind) == ("web.example.test", 443, EndpointKind.HTTPS)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("kind: http,", "kind: pigeon,", "line 6: services.telegram.endpoints[0].kind: 'pigeon'"),
        ("kind: http,", "kind: pigeon,", "must be one of tcp, tls, http, https, dns, mtproto,"),
        ("host: 192.0.2.1", "host: a b", "'a b' is neither a host name nor an address"),
        ("host: 192.0.2.1", "host: http://x/", "is neither a host name nor an address"),
        ("port: 443", "port: 65536", "line 6: services.telegram.endpoints[0].port: '65536'"),
        ("port: 443", "port: -1", "'-1' must be a whole number from 1 to 65535"),
        ("port: 443", "prot: 443", "endpoints[0].prot: unknown key; allowed: addresses, alpn,"),
        ("group: dc", "alpn: [h2]", "only a tls endpoint chooses protocols"),
        ("group: dc", "addresses: [a.test]", "addresses are allowed, and no names"),
        ("group: dc", 'resolver: "http://a.test/"', "is no https URL of a DoH resolver"),
        ("method: POST", "method: DELETE", "'DELETE' must be one of GET, HEAD, POST"),
        ("group: dc", "trust: mine", "'mine' must be one of \"\", signal, any"),
        ("group: dc", "path: x", "'x' must begin with /"),
        ("group: dc", "id: dc2", "endpoints[0].id: stands twice"),
        ("id: web", "id: dc1", "line 7: services.telegram.endpoints[1]: the id dc1 is taken"),
        ("        host: Web.Example.Test.\n", "", "line 7: services.telegram.endpoints[1]"),
        ("        host: Web.Example.Test.\n", "", "the key host is missing"),
        ("kind: https", "kind: tls", "endpoints[1]: the key port is missing, which a tls"),
        ("title: Telegram", "title: A\n    roots: [MIIF]", "roots[0]: is no certificate in PEM"),
        ("title: Telegram", "title: A\n    roots: []", "roots: from 1 to 8 are allowed"),
        ("title: Telegram", "title: [a]", "line 4: services.telegram.title: must be one value"),
        ("title: Telegram", 'title: ""', "must have 1 to 253 characters"),
        ("title: Telegram", 'title: "a\\eb"', "no control characters"),
        ("version:", "edition:", "line 1: edition: unknown key; allowed: services, version"),
        ("services:", "services: []\nother:", "other: unknown key"),
        ("{id: dc1", "[id: dc1", "not YAML"),
    ],
)  # fmt: skip
def test_a_mistake_names_file_line_key_and_what_is_allowed(
    old: str, new: str, sentence: str
) -> None:
    assert old in GOOD
    with pytest.raises(YamlError) as caught:
        parse_services(GOOD.replace(old, new, 1).encode(), "mine.yml")
    assert str(caught.value).startswith("mine.yml")
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        b"", b"\xff\xfe\x00", b"- a", b"version: 1\nservices: {}", b"[" * 50_000, b"a: &a [*a]",
        b"version: 1\nservices: " + b"x" * 1_100_000,
    ],
)  # fmt: skip
def test_what_is_no_list_of_services_is_refused(text: bytes) -> None:
    with pytest.raises(YamlError, match=r"mine\.yml"):
        parse_services(text, "mine.yml")


@given(st.binary(max_size=300))
def test_no_bytes_do_worse_than_a_sentence(text: bytes) -> None:
    with pytest.raises(YamlError):
        parse_services(text, "mine.yml")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(YamlError, match=r"none\.yml: cannot be read: No such file"):
        load_services(tmp_path / "none.yml")


def test_given_services_take_the_place_of_the_shipped_ones() -> None:
    both = merge_services(load_shipped_services(), parse_services(GOOD.encode(), "mine.yml"))
    assert both.version == "2026-01-01.1"
    telegram, signal = both.get("telegram"), both.get("signal")
    assert [e.id for e in present(telegram).endpoints] == ["dc1", "web"]
    assert signal == load_shipped_services().get("signal")


def test_the_shipped_edition_names_what_can_be_run_and_survives_the_wire() -> None:
    services = load_shipped_services()
    assert {s.name for s in services.services} >= {"anchors", "telegram", "whatsapp", "signal"}
    plan = Plan(
        version=1, issued_s=0, expires_s=1, services_version=services.version,
        services=services.services,
    )  # fmt: skip
    assert plan_from_pb(plan_to_pb(plan)) == plan


@pytest.mark.parametrize("name", [service.name for service in load_shipped_services().services])
def test_a_visit_of_all_endpoints_fits_into_one_measurement(name: str) -> None:
    service = present(load_shipped_services().get(name))
    steps = {"dns": 0, "tcp": 1, "tls": 2, "http": 3, "https": 4, "websocket": 4}
    steps |= {"stun": 1, "quic": 1, "mtproto": 2, "noise": 2}
    total = 0
    for endpoint in service.endpoints:
        literal = bool(parse_literal(endpoint.host))
        total += steps[endpoint.kind] if literal else 2 + 3 * steps[endpoint.kind]
        if literal:
            assert ipaddress.ip_address(endpoint.host).is_global
    assert total <= 512


@pytest.mark.parametrize("name", ["telegram", "whatsapp", "signal", "facebook_messenger"])
@pytest.mark.parametrize(
    ("needed", "further"),
    [
        (VerdictState.BLOCKED, VerdictState.REACHABLE),
        (VerdictState.REACHABLE, VerdictState.BLOCKED),
        (VerdictState.DOWN, VerdictState.REACHABLE),
    ],
)
def test_what_an_app_falls_back_to_decides_nothing(
    name: str, needed: VerdictState, further: VerdictState
) -> None:
    service = present(load_shipped_services().get(name))
    functions = service.map_functions()
    spare = {e.id for e in service.endpoints} - functions.keys()
    assert spare
    assert spare.isdisjoint(e.id for e in service.list_light_endpoints())
    verdicts = [
        Verdict(state=further if e.id in spare else needed, rule="x", endpoint=e.id, confidence=0.9)
        for e in service.endpoints
    ]
    groups = {e.id: e.group for e in service.endpoints}
    assert judge_service(verdicts, groups, functions).state is needed


@pytest.mark.parametrize(
    ("rest", "whole"),
    [
        (VerdictState.BLOCKED, VerdictState.BLOCKED),
        (VerdictState.DOWN, VerdictState.BLOCKED),
        (VerdictState.REACHABLE, VerdictState.PARTIAL),
    ],
)
def test_of_what_an_older_list_measures_nothing_that_works_is_left(
    rest: VerdictState, whole: VerdictState
) -> None:
    """Results of an outdated list leave no working service.

    Its edition has no endpoint that messaging needs by the list of today.
    """
    functions = present(load_shipped_services().get("signal")).map_functions()
    told = {"chat": VerdictState.BLOCKED, "storage": rest}
    verdicts = [Verdict(state=s, rule="x", endpoint=e, confidence=0.9) for e, s in told.items()]
    groups = {endpoint: endpoint for endpoint in told}
    known = {endpoint: functions[endpoint] for endpoint in told}
    assert judge_service(verdicts, groups, known).state is whole


def test_yaml_is_loaded_only_when_a_list_is_read() -> None:
    probe = "import sys, heliograph.services; print('yaml' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "False\n"
