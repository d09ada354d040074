"""`/api/v1/measurements`: the evidence, for the operator alone."""

import asyncio
import base64
import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from heliograph.failure import Failure, Operation
from heliograph.observation import Dns, DnsAnswer, Http, Observation, Tcp, Tls
from heliograph_collector.http import basic_auth
from heliograph_collector.model.filters import MeasurementFilter
from heliograph_collector.model.records import (
    JudgedMeasurement,
    Vantage,
)
from support.fake_feed import NOW_US, World
from support.rows import blocked, taken
from support.site import Serve, Site

PASSWORD = "correct horse"
KEPT = basic_auth.hash_password(PASSWORD, b"salt")


def header(password: str = PASSWORD) -> dict[str, str]:
    credentials = base64.b64encode(f"operator:{password}".encode()).decode()
    return {"Authorization": f"Basic {credentials}"}


def first_hop(forwarded_for: str) -> str:
    """The address that a trusted proxy names."""
    return forwarded_for.split(",", maxsplit=1)[0]


def judged(number: int) -> JudgedMeasurement:
    answers = (DnsAnswer(type="A", data="149.154.167.99", ttl_s=60),)
    dns = Dns(
        engine="system", resolver="", name="web.telegram.org", query_type="A", rcode=0,
        answers=answers,
    )  # fmt: skip
    facts: tuple[tuple[Operation, dict[str, Any]], ...] = (
        (Operation.RESOLVE, {"dns": dns}),
        (Operation.CONNECT, {"parent": 0, "tcp": Tcp(address="149.154.167.99", port=443)}),
        (Operation.TLS_HANDSHAKE, {"parent": 1, "failure": Failure.CONNECTION_RESET,
                                   "tls": Tls(server_name="web.telegram.org")}),
        (Operation.HTTP_ROUND_TRIP, {"http": Http(method="GET", url="http://x/", status=200)}),
    )  # fmt: skip
    steps = tuple(
        Observation(operation=operation, started_us=1_000, duration_us=500_000, **fields)
        for operation, fields in facts
    )
    record = taken(
        number, at_us=NOW_US, steps=steps, vantage=Vantage(country="KZ", asn=9198, access="fixed")
    )
    record = replace(record, id=f"{number:032x}", prefix="secretprefixhash")
    return record, (
        msgspec.structs.replace(blocked(), rule="tls-reset-after-hello", evidence=(2,)),
    )


@pytest.fixture
def world() -> World:
    return World(judged=[judged(n) for n in range(5)])


@pytest.fixture
async def client(serve: Serve, world: World) -> Site:
    return await serve(world.feed(operator_hash=KEPT))


@pytest.mark.parametrize("path", ["/api/v1/measurements", f"/api/v1/measurements/{0:032x}"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        header("wrong"),
        header("пароль"),
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic " + "A" * 5000},
        {"Authorization": f"Digest {PASSWORD}"},
        {"Authorization": "Bearer "},
    ],
)
async def test_strangers_stay_out(client: Site, path: str, headers: dict[str, str]) -> None:
    answer = await client.get(path, headers=headers)
    assert (answer.status, answer.content_type) == (401, "application/problem+json")
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert "Access-Control-Allow-Origin" not in answer.headers


async def test_without_a_password_set_nobody_comes_in(serve: Serve, world: World) -> None:
    client = await serve(world.feed())
    for password in ("", PASSWORD):
        answer = await client.get("/api/v1/measurements", headers=header(password))
        assert answer.status == 401


async def test_the_operator_comes_in_with_basic_or_bearer(client: Site) -> None:
    for headers in (header(), {"Authorization": f"Bearer {PASSWORD}"}):
        assert (await client.get("/api/v1/measurements", headers=headers)).status == 200
    assert (await client.get("/api/v1/measurements", headers=header("wrong"))).status == 401


@pytest.mark.parametrize("path", ["/api/v1/measurements", "/metrics"])
async def test_a_guesser_has_to_wait_and_the_operator_does_not(
    serve: Serve, world: World, path: str
) -> None:
    feed = world.feed(operator_hash=KEPT, metrics_open=False, client_address=first_hop)
    client = await serve(feed)
    home, elsewhere = {"X-Forwarded-For": "192.0.2.7"}, {"X-Forwarded-For": "198.51.100.9"}
    assert (await client.get(path, headers=header() | home)).status == 200
    tried = [
        (await client.get(path, headers=header(f"guess {n}") | elsewhere)).status for n in range(8)
    ]
    assert tried == [401] * 5 + [429] * 3
    refused = await client.get(path, headers=header() | elsewhere | {"Accept": "*/*"})
    assert refused.status == 200, "who knows it, and was in already, is not kept waiting"
    assert (await client.get(path, headers=header("typo") | home)).status == 401
    world.clock.advance_us(3_700_000_000)
    assert (await client.get(path, headers=header("again") | elsewhere)).status == 401


async def test_many_requests_at_once_with_the_password_all_succeed(client: Site) -> None:
    """A reader with a password gets many answers at once.

    A reader's own page asks for a dozen things as it opens, before the password is verified.
    """

    async def ask() -> int:
        return int((await client.get("/api/v1/measurements", headers=header())).status)

    assert await asyncio.gather(*(ask() for _ in range(20))) == [200] * 20


@pytest.mark.long
async def test_a_guesser_from_many_networks_is_slow_too(
    serve: Serve, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(basic_auth, "_N", 2)  # the tries are counted, whatever each one costs
    client = await serve(world.feed(operator_hash=KEPT, client_address=first_hop))
    path, answers = "/api/v1/measurements", []
    for n in range(70):
        headers = header(f"guess {n}") | {"X-Forwarded-For": f"198.51.{n}.9"}
        answers.append((await client.get(path, headers=headers)).status)
    assert answers.count(401) == 60
    assert set(answers[60:]) == {429}


async def test_pages_follow_each_other_to_the_end(client: Site) -> None:
    ids: list[str] = []
    cursor = ""
    for _ in range(3):
        body = await client.json(f"/api/v1/measurements?limit=2{cursor}", headers=header())
        ids += [m["id"] for m in body["measurements"]]
        cursor = f"&cursor={body['next']}"
    assert ids == [f"{n:032x}" for n in range(5)]
    assert body["next"] is None


async def test_a_forged_cursor_is_refused(client: Site) -> None:
    for cursor in ("A", "zzzz", "bm9wZQ", "_w"):
        body = await client.problem(f"/api/v1/measurements?cursor={cursor}", headers=header())
        assert body["parameter"] == "cursor"


async def test_the_question_reaches_the_store(client: Site, world: World) -> None:
    query = "country=KZ&asn=AS9198&state=blocked&since=2022-01-05T10:00:00Z"
    await client.get(f"/api/v1/measurements?{query}", headers=header())
    wanted = MeasurementFilter(
        country="KZ", asn=9198, state="blocked", since_us=1_641_376_800_000_000
    )
    assert world.asked == [wanted]


async def test_one_shows_what_was_seen_and_which_rule_judged(client: Site) -> None:
    answer = await client.get(f"/api/v1/measurements/{3:032x}", headers=header())
    body = await answer.json()
    assert answer.headers["Cache-Control"] == "no-store"
    assert body["started"] == "2022-01-05T13:43:20Z"
    assert body["verdicts"][0]["rule"] == "tls-reset-after-hello"
    assert body["verdicts"][0]["evidence"] == [2]
    assert [o["failure"] for o in body["observations"]] == [None, None, "connection_reset", None]
    assert body["observations"][1]["tcp"] == {"address": "149.154.167.99", "port": 443}
    assert "secretprefixhash" not in json.dumps(body)


async def test_what_is_not_there_is_a_404(client: Site) -> None:
    for id_ in (f"{77:032x}", "x", "..%2f..", "'; DROP TABLE x"):
        await client.problem(f"/api/v1/measurements/{id_}", 404, headers=header())


async def test_it_can_be_read_as_ooni_s(client: Site) -> None:
    path = f"/api/v1/measurements/{1:032x}?format=ooni"
    body = await client.json(path, headers=header())
    assert body["data_format_version"] == "0.2.0"
    assert (body["probe_cc"], body["probe_asn"], body["probe_ip"]) == ("KZ", "AS9198", "127.0.0.1")
    assert body["measurement_start_time"] == "2022-01-05 13:43:20"
    keys = body["test_keys"]
    assert keys["tls_handshakes"][0]["failure"] == "connection_reset"
    answer = {"answer_type": "A", "ipv4": "149.154.167.99", "ttl": 60}
    assert keys["queries"][0]["answers"][0] == answer
    assert keys["tcp_connect"][0]["status"] == {"success": True, "failure": None}
    assert (keys["accessible"], keys["blocking"]) == (False, "http-failure")


def test_what_is_no_hash_of_ours_lets_nobody_in() -> None:
    assert not basic_auth.verify_password(PASSWORD, "scrypt$zz$zz")
