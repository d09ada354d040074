"""browser: a page with a browser's TLS, against real servers and filters."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliograph.experiments.web import ONE_SEGMENT
from heliograph.failure import Failure, Operation
from heliograph.hello_profiles import load_shipped_profiles
from heliograph.observation import Measurement
from heliograph_agent.experiments.experiment import CannotRun
from heliograph_agent.net.browser import page
from heliograph_collector.model.records import VerdictState
from support.experiment_run import observed
from support.fake_net import Page, World
from support.hello_filter import (
    Drops,
    drops_browsers,
    drops_name,
    drops_nothing,
    hello_filter,
    passes_browsers_only,
)
from support.http2_server import Http2Reply, http2_server
from support.loopback_ca import Leaf, LoopbackCA
from support.net_fixtures import Opening
from support.nginx import nginx
from support.real_run import at_public_address, really, verdict
from support.tcp_server import (
    Handler,
    alert,
    close_after_first_bytes,
    reply,
    reset_after_first_bytes,
    say_nothing,
    tcp_server,
)
from support.tls_server import tls_server
from support.values import present

NAME = "www.example.test"
BROWSERS = ("chrome", "firefox")
# Of curl_cffi 0.17, by whose profile of ours; their hellos are those of hello_profiles.yml.
SAME_AS_CAPTURED = {"chrome152": "chrome", "firefox154": "firefox", "firefox155": "firefox"}
DEADLINE_S = 300.0
# A ServerHello of TLS 1.0, which no browser has offered since 2020; then the server waits.
OLD_SERVER_HELLO = bytes.fromhex("160301002a020000260301") + bytes(33) + bytes.fromhex("002f00")
HIGHEST = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


@pytest.fixture(scope="module")
def web(ca: LoopbackCA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with nginx(tmp_path_factory.mktemp("web"), {NAME: ca.leaf(NAME)}) as running:
        yield running.https


async def browse(
    opening: Opening, tmp_path: Path, port: int, tls_s: float = DEADLINE_S, **options: str
) -> Measurement:
    (tmp_path / "hosts").write_text(f"127.0.0.1 {NAME}\n")
    limits = {"connect_s": DEADLINE_S, "tls_s": tls_s, "http_s": DEADLINE_S, "body_s": DEADLINE_S}
    net = opening(local_targets=True, **limits)
    seen = await really("browser", f"https://{NAME}:{port}/", net, options)
    return at_public_address(seen)


def failures_of(measurement: Measurement) -> dict[str, Failure | None]:
    steps = [o for o in measurement.observations if o.operation is not Operation.RESOLVE]
    return {step.operation.value: step.failure for step in steps}


@pytest.mark.parametrize("browser", BROWSERS)
async def test_a_page_comes_with_a_browsers_hello(
    opening: Opening, tmp_path: Path, web: int, browser: str
) -> None:
    seen = await browse(opening, tmp_path, web, browser=browser)
    assert failures_of(seen) == dict.fromkeys(
        ("connect", "tls_handshake", "http_round_trip", "read_body")
    )
    tls = present(seen.observations[-3].tls)
    assert tls.server_name == NAME
    assert tls.profile.startswith(browser)
    assert tls.library.startswith("curl_cffi ")
    assert (tls.ja4[:4], tls.ja4[8:10]) == ("t13d", "h2")
    assert tls.hello_bytes > ONE_SEGMENT
    if tls.profile in SAME_AS_CAPTURED:
        assert tls.ja4 == load_shipped_profiles().get(SAME_AS_CAPTURED[tls.profile]).ja4
    http = present(seen.observations[-1].http)
    assert (http.status, http.title, http.truncated) == (200, "It works here", False)
    assert http.body_bytes > 0
    assert "content-type" in http.header_names


@pytest.mark.parametrize("highest", HIGHEST, ids=lambda version: version.name)
async def test_a_filter_that_waits_for_the_request(
    opening: Opening, ca: LoopbackCA, tmp_path: Path, highest: ssl.TLSVersion
) -> None:
    """A filter that waits for the request is no failure of the handshake."""
    with tls_server(ca.leaf(NAME), reset_after_first_bytes, highest=highest) as port:
        seen = await browse(opening, tmp_path, port)
    expected = {"connect": None, "tls_handshake": None}
    assert failures_of(seen) == expected | {"http_round_trip": Failure.CONNECTION_RESET}


async def test_http2_alone_and_a_long_body(
    opening: Opening, ca: LoopbackCA, tmp_path: Path
) -> None:
    body = b"<title>Long</title>" + bytes(300_000)
    reply = Http2Reply([(":status", "203"), ("location", "/x")], body)
    with http2_server(ca.leaf(NAME), lambda _: reply) as port:
        seen = await browse(opening, tmp_path, port, body_limit="100000")
    http = present(seen.observations[-1].http)
    assert failures_of(seen)["read_body"] is None
    assert (http.status, http.version, http.location) == (203, "2", "/x")
    assert (http.body_bytes, http.truncated, http.title) == (100_000, True, "Long")


@pytest.mark.parametrize(
    ("handler", "failure", "number"),
    [
        (reset_after_first_bytes, Failure.CONNECTION_RESET, None),
        (close_after_first_bytes, Failure.EOF_ERROR, None),
        (say_nothing, Failure.GENERIC_TIMEOUT_ERROR, None),
        (alert(40), Failure.SSL_FAILED_HANDSHAKE, 40),
        (alert(70), Failure.SSL_UNSUPPORTED, 70),
        (reply(OLD_SERVER_HELLO), Failure.SSL_UNSUPPORTED, None),
        (reply(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Failure.SSL_FAILED_HANDSHAKE, None),
    ],
)
async def test_handshakes_that_break_off(
    opening: Opening, tmp_path: Path, handler: Handler, failure: Failure, number: int | None
) -> None:
    tls_s = 0.4 if failure is Failure.GENERIC_TIMEOUT_ERROR else DEADLINE_S
    with tcp_server(handler) as port:
        seen = await browse(opening, tmp_path, port, tls_s)
    assert failures_of(seen) == {"connect": None, "tls_handshake": failure}
    tls = present(seen.observations[-1].tls)
    assert tls.alert == number
    assert tls.hello_bytes > ONE_SEGMENT or failure is Failure.GENERIC_TIMEOUT_ERROR


@pytest.mark.parametrize("highest", HIGHEST, ids=lambda version: version.name)
@pytest.mark.parametrize("case", ["stranger", "expired", "other name"])
async def test_a_wrong_certificate_makes_no_block(
    opening: Opening,
    ca: LoopbackCA,
    tmp_path: Path,
    web: int,
    case: str,
    highest: ssl.TLSVersion,
) -> None:
    """A wrong certificate makes no block, as its unseen chain has an unknown issuer."""
    leaves: dict[str, tuple[Leaf, Failure]] = {
        "stranger": (LoopbackCA(tmp_path / "x").leaf(NAME), Failure.SSL_UNKNOWN_AUTHORITY),
        "expired": (ca.expired(NAME), Failure.SSL_INVALID_CERTIFICATE),
        "other name": (ca.leaf("x.test"), Failure.SSL_INVALID_HOSTNAME),
    }
    leaf, failure = leaves[case]
    control = await browse(opening, tmp_path, web)
    with tls_server(leaf, highest=highest) as port:
        seen = await browse(opening, tmp_path, port)
    assert failures_of(seen) == {"connect": None, "tls_handshake": failure}
    assert verdict(seen, control).state is VerdictState.UNKNOWN


@pytest.mark.parametrize(
    ("drops", "state"),
    [
        (drops_nothing, VerdictState.REACHABLE),
        (drops_browsers, VerdictState.BLOCKED),
        (passes_browsers_only, VerdictState.REACHABLE),
        (drops_name(NAME), VerdictState.BLOCKED),
    ],
    ids=["nothing", "browsers", "all_but_browsers", "name"],
)
async def test_it_meets_what_browsers_meet(
    drops: Drops, state: VerdictState, opening: Opening, tmp_path: Path, web: int
) -> None:
    control = await browse(opening, tmp_path, web)
    async with hello_filter(web, drops) as port:
        here = await browse(opening, tmp_path, port)
    assert verdict(here, control).state is state


async def test_a_client_that_says_nothing_is_our_own_fault(
    opening: Opening, tmp_path: Path, web: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that sends nothing is our own fault.

    So an older curl_cffi without the browser, or a firewall on loopback, fails.
    """
    monkeypatch.setattr(page, "name_newest", lambda _: "netscape4")
    with pytest.raises(CannotRun, match="does not have this browser"):
        await browse(opening, tmp_path, web)


async def test_without_the_package_it_says_what_to_install() -> None:
    place = ("192.0.2.1", 443)
    world = World(names={NAME: (place[0],)}, ports={place: None}, without=frozenset({"browser"}))
    with pytest.raises(CannotRun, match="has no browser"):
        await observed("browser", f"https://{NAME}/", world)
    with pytest.raises(CannotRun, match="https://"):
        await observed("browser", f"http://{NAME}/", world)


async def test_one_address_is_asked_once() -> None:
    url, place = f"https://{NAME}/", ("192.0.2.1", 443)
    world = World(names={NAME: (place[0], "192.0.2.2")}, ports={place: None})
    world.pages[url] = Page(title="Here")
    seen = await observed("browser", url, world)
    assert [o.http.title for o in seen if o.http] == ["", "Here"]
    assert world.requests == [("GET", url, {"browser": "chrome"})]
