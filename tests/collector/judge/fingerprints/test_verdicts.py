"""Verdicts by fingerprints: who confirms a blocking, and what leaves it in doubt."""

from dataclasses import replace

import pytest

from heliograph.failure import Failure, Operation
from heliograph.observation import Dns, DnsAnswer, Http, Link, Measurement, Observation, Tcp
from heliograph_collector.judge import judge
from heliograph_collector.model.records import (
    AgentRole,
    ControlView,
    ReceivedMeasurement,
    Vantage,
    Verdict,
    VerdictState,
)

URL = "http://www.target.example/"
PAGE = Http(method="GET", url=URL, status=200, title="The free newspaper", body_bytes=50_000)
BLOCKED = VerdictState.BLOCKED
UNKNOWN = VerdictState.UNKNOWN


def build_measurement(address: str, http: Http | None, *, alias: str = "") -> Measurement:
    answers = [DnsAnswer(type="CNAME", data=alias)] if alias else []
    dns = Dns(
        engine="system",
        resolver="",
        name="www.target.example",
        query_type="A",
        answers=(*answers, DnsAnswer(type="A", data=address)),
    )
    end = Tcp(address=address, port=80)
    failure = None if http else Failure.GENERIC_TIMEOUT_ERROR
    lookup = Observation(operation=Operation.RESOLVE, started_us=0, duration_us=1, dns=dns)
    connect = Observation(
        operation=Operation.CONNECT, started_us=1, duration_us=1, parent=0, tcp=end, failure=failure
    )
    steps = [lookup, connect]
    if http is not None:
        steps.append(replace(connect, operation=Operation.HTTP_ROUND_TRIP, parent=1, http=http))
        steps.append(replace(connect, operation=Operation.READ_BODY, parent=2, http=http))
    return Measurement(
        experiment="web",
        experiment_version=1,
        target=URL,
        started_us=0,
        monotonic_us=0,
        boot="",
        runtime_us=1,
        epoch="",
        link=Link.ONLINE,
        observations=tuple(steps),
    )


def judge_page(country: str, measurement: Measurement, control: Measurement | None) -> Verdict:
    record = ReceivedMeasurement(
        id="0" * 32,
        position=1,
        received_us=0,
        pseudonym="x",
        prefix="x",
        role=AgentRole.VOLUNTEER,
        vantage=Vantage(country=country, asn=1, access="fixed"),
        measurement=measurement,
    )
    age_us = None if control is None else 0
    view = ControlView(measurement=control, age_us=age_us, link=Link.ONLINE)
    return judge(record, view)[-1]


CONTROL = build_measurement("5.6.7.8", PAGE)


@pytest.mark.parametrize("control", [CONTROL, None], ids=["with a control", "without"])
@pytest.mark.parametrize(
    ("country", "markup", "state", "line", "is_confirmed"),
    [
        ("RU", '<a href="https://blocked.mts.ru/">', BLOCKED, "cl.isp_ru_mts_forward", True),
        ("DE", '<a href="https://blocked.mts.ru/">', BLOCKED, "cl.isp_ru_mts_forward", False),
        ("ZZ", '<a href="https://blocked.mts.ru/">', BLOCKED, "cl.isp_ru_mts_forward", False),
        ("DE", "<p>FortiGate Application Control", UNKNOWN, "cp.a_prod_fortinet_5", False),
        ("GB", "<h1>Taunton School allow access to the following search engines", UNKNOWN,
         "ooni.gb_4", False),
        ("CO", "<h1>Acceso Denegado</h1>", None, "cp.e_unk_hn_forbid", False),
    ],
)  # fmt: skip
def test_page(
    country: str,
    markup: str,
    state: VerdictState | None,
    line: str,
    is_confirmed: bool,
    control: Measurement | None,
) -> None:
    page = replace(PAGE, title="", markup=markup, body_bytes=900)
    verdict = judge_page(country, build_measurement("5.6.7.8", page), control)
    assert verdict.confirmed == is_confirmed
    if state is not None and (control is not None or state is BLOCKED):
        assert (verdict.state, verdict.fingerprint) == (state, line)


@pytest.mark.parametrize(
    ("country", "address", "alias", "state", "line", "is_confirmed"),
    [
        ("CN", "93.46.8.89", "", BLOCKED, "ooni.cn_4", True),
        ("US", "93.46.8.89", "", BLOCKED, "ooni.cn_4", False),
        ("ID", "9.8.7.6", "restricted.tri.co.id.", BLOCKED, "ooni.id_41", True),
        ("IR", "d0:0:0:0:0:0:0:11", "", BLOCKED, "ooni.ir_ipv6_1", True),
        ("DE", "146.112.61.106", "", UNKNOWN, "cl.dns_prod_opendns_1", False),
    ],
)
@pytest.mark.parametrize("control", [CONTROL, None], ids=["with a control", "without"])
def test_answer(
    country: str,
    address: str,
    alias: str,
    state: VerdictState,
    line: str,
    is_confirmed: bool,
    control: Measurement | None,
) -> None:
    measurement = build_measurement(address, None, alias=alias)
    verdict = judge_page(country, measurement, control)
    if control is None and country == "US":  # not of that line, and no other evidence
        assert verdict.state is UNKNOWN
    else:
        assert (verdict.state, verdict.fingerprint) == (state, line)
    assert verdict.confirmed == is_confirmed
    same = judge_page(country, measurement, measurement)
    assert same.state is not BLOCKED, "the control got the same"


def test_a_page_of_a_proven_server_is_its_own() -> None:
    """A page of a proven server is its own: nobody can inject into verified TLS."""
    page = replace(PAGE, url="https://www.target.example/", markup="blocked.mts.ru")
    verdict = judge_page("RU", build_measurement("5.6.7.8", page), None)
    assert not verdict.confirmed
