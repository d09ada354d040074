"""ech: the key is looked up, each hello has its label, a real server takes each."""

from pathlib import Path

import pytest

from heliograph.failure import Failure
from support.dns_server import answer, dns_server
from support.ech_server import PUBLIC_NAME, ech_server, in_base64, published
from support.experiment_run import observed
from support.fake_net import World
from support.loopback_ca import LoopbackCA
from support.probe_command import Command

HOST = "secret.test"
KEY = in_base64(published(bytes(range(32))))
RECORD = f'1 . alpn="h2" ech="{KEY}"'
PLACE = ("192.0.2.1", 443)


def publishing(record: Failure | tuple[str, ...]) -> World:
    return World(
        names={f"doh:{HOST}": record, HOST: ("192.0.2.1",)},
        ports={PLACE: None},
        speeches={PLACE: "server_hello"},
    )


async def test_with_a_published_key_the_sealed_hello_goes_first() -> None:
    seen = await observed("ech", HOST, publishing((RECORD,)))
    said = [(o.endpoint, o.tls.ech, o.tls.server_name, o.tls.outer_name) for o in seen if o.tls]
    assert said == [
        ("real", "real", HOST, PUBLIC_NAME),
        ("none", "", HOST, ""),
        ("grease", "grease", HOST, ""),
    ]
    assert all(o.exchange and o.exchange.protocol == "client_hello" for o in seen if o.tls)
    assert [o.endpoint for o in seen if o.dns and o.dns.query_type == "HTTPS"] == ["config"]


@pytest.mark.parametrize(
    "answer", [Failure.DNS_NO_ANSWER, Failure.GENERIC_TIMEOUT_ERROR, ('1 . ech="broken"',)]
)
async def test_without_a_key_the_other_two_are_still_tried(
    answer: Failure | tuple[str, ...],
) -> None:
    seen = await observed("ech", HOST, publishing(answer))
    assert [o.endpoint for o in seen if o.exchange] == ["none", "grease"]


async def test_a_given_key_is_not_looked_up_and_a_neutral_server_is_greased() -> None:
    scripted = World(
        names={HOST: ("192.0.2.1",), "neutral.test": ("192.0.2.9",)},
        ports={PLACE: None, ("192.0.2.9", 8443): None},
        speeches={PLACE: "alert_40", ("192.0.2.9", 8443): "server_hello"},
    )
    options = {"config": KEY, "neutral": "neutral.test:8443"}
    seen = await observed("ech", HOST, scripted, options)
    assert not any(o.dns and o.dns.query_type == "HTTPS" for o in seen)
    heard = {o.endpoint: o.exchange.reply for o in seen if o.exchange}
    assert heard == {
        "real": "alert_40", "none": "alert_40", "grease": "alert_40", "neutral": "server_hello",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("visited", "options", "labels"),
    [
        ({"none": ("192.0.2.1",)}, {}, ["none", "grease"]),
        ({"none": ("192.0.2.1",)}, {"config": KEY}, ["real", "none", "grease"]),
        ({"neutral": ("192.0.2.1",)}, {"neutral": "neutral.test"}, ["neutral"]),
        ({"none": ()}, {}, []),
    ],
)
async def test_a_visit_says_its_hellos_at_the_given_address_and_looks_nothing_up(
    visited: dict[str, tuple[str, ...]], options: dict[str, str], labels: list[str]
) -> None:
    seen = await observed("ech", HOST, publishing((RECORD,)), options, visited)
    assert [o.endpoint for o in seen if o.exchange] == labels
    assert [o for o in seen if o.dns] == []


async def test_the_record_of_another_port_is_asked_for_by_that_port() -> None:
    seen = await observed("ech", f"{HOST}:8443", World(names={HOST: ("192.0.2.1",)}))
    assert [o.dns.name for o in seen if o.dns and o.dns.query_type == "HTTPS"] == [
        f"_8443._https.{HOST}"
    ] * 2  # no resolver had it: the system is asked too


async def test_a_hello_that_is_met_by_silence_is_sent_once_more() -> None:
    seen = await observed("ech", HOST, World(names={HOST: ("192.0.2.1",)}, ports={PLACE: None}))
    told = [(o.endpoint, o.failure) for o in seen if o.exchange]
    silence = Failure.GENERIC_TIMEOUT_ERROR
    assert told == [(label, silence) for label in ("none", "none", "grease", "grease")]


@pytest.mark.slow
def test_the_probe_against_a_server_with_a_published_key(tmp_path: Path) -> None:
    leaf = LoopbackCA(tmp_path / "ca").leaf(HOST, PUBLIC_NAME)
    with ech_server(leaf) as server:
        name = f"_{server.port}._https.{HOST}."

        def script(query: bytes) -> list[bytes]:
            if b"_https" in query:
                return [answer(query, f'{name} 60 IN HTTPS 1 . ech="{server.config}"')]
            is_a = b"\x00\x01\x00\x01" in query[12:]
            return [answer(query, *([f"{HOST}. 60 IN A 127.0.0.1"] if is_a else []))]

        with dns_server(script) as resolver:
            options = {"net.resolver": resolver.address, "doh": "https://127.0.0.1:1/dns-query"}
            command = Command(state=tmp_path / "state", options=options)
            ran = command.run("ech", f"{HOST}:{server.port}", "--json")
    assert ran.code == 0, ran.err
    heard = {o["endpoint"]: o["exchange"]["reply"] for o in ran.observations if o["exchange"]}
    assert heard == {
        "real": "server_hello_ech_accepted", "none": "server_hello", "grease": "server_hello",
    }  # fmt: skip
