"""hello: the ClientHellos it sends, and verdicts on a filter before a server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from heliograph.failure import Failure
from heliograph.observation import Measurement
from heliograph_collector.control import Assessor
from heliograph_collector.judge import judge
from heliograph_collector.model.records import AgentRole, Verdict, VerdictState
from support.experiment_run import observed
from support.fake_net import World
from support.hello_filter import (
    Drops,
    drops_browsers,
    drops_http2,
    drops_large,
    drops_ml_kem,
    drops_name,
    drops_name_in_first_segment,
    drops_nothing,
    drops_sealed,
    hello_filter,
    passes_browsers_only,
)
from support.loopback_ca import LoopbackCA
from support.net_fixtures import Opening
from support.nginx import nginx
from support.real_run import at_public_address, really, verdict
from support.scenario import taken

NAME = "minded.test"
NEUTRAL = "neutral.test"
PLACE = ("192.0.2.1", 443)
OPTIONS = {"neutral": NEUTRAL}
OLDER = "HELIOGRAPH_TEST_OLDER_GROUPS"  # set where this file runs with a library's older settings
# What drops all browsers' hellos, and ours where it is as theirs: large, with a share of ML-KEM.
BY_BROWSERS = (drops_browsers, drops_sealed, drops_large, drops_ml_kem)
CUT = "tls.eof_after_hello"  # or a reset, as the kernel has it


def world(**more: object) -> World:
    scripted = World(names={NAME: (PLACE[0],)}, ports={PLACE: None})
    for key, value in more.items():
        setattr(scripted, key, value)
    return scripted


async def test_where_all_pass_four_hellos_are_said_to_one_address() -> None:
    seen = await observed("hello", NAME, world(speeches={PLACE: "server_hello"}), OPTIONS)
    said = [(o.endpoint, o.tls.server_name, o.tls.profile.split(" ")[0]) for o in seen if o.tls]
    assert said == [
        ("own", NAME, ""),
        ("firefox", NAME, "firefox"),
        ("chrome", NAME, "chrome"),
        ("chrome_late", NAME, "chrome"),
    ]
    assert {o.tcp.address for o in seen if o.tcp} == {PLACE[0]}


@pytest.mark.parametrize(
    "more",
    [
        {"handshakes": {NAME: Failure.CONNECTION_RESET}, "speeches": {PLACE: "server_hello"}},
        {"speeches": {PLACE: Failure.CONNECTION_RESET}},
        {"speeches": {PLACE: "alert_40"}},
    ],
)
async def test_after_a_failure_a_neutral_name_and_ours_follow(more: dict[str, object]) -> None:
    seen = await observed("hello", NAME, world(**more), OPTIONS)
    said = [(o.endpoint, o.tls.server_name) for o in seen if o.tls]
    assert said[-2:] == [("neutral", NEUTRAL), ("again", NAME)]
    assert len(said) == 6


async def test_an_address_that_takes_no_connection_is_not_said_anything() -> None:
    seen = await observed("hello", NAME, World(names={NAME: (PLACE[0],)}), OPTIONS)
    assert not any(o.tls for o in seen)


@pytest.fixture(scope="module")
def web(ca: LoopbackCA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    sites = {NAME: ca.leaf(NAME), NEUTRAL: ca.leaf(NEUTRAL)}
    with nginx(tmp_path_factory.mktemp("web"), sites) as running:
        yield running.https


async def measured(experiment: str, port: int, opening: Opening, tmp_path: Path) -> Measurement:
    (tmp_path / "hosts").write_text(f"127.0.0.1 {NAME}\n")
    options = OPTIONS if experiment == "hello" else {"resolver": "", "doh": ""}
    scheme = "https://" if experiment == "web" else ""
    # No hello here is met by silence, so that these deadlines cost nothing and a slow machine is
    # not taken for a filter.
    opened = opening(local_targets=True, connect_s=300, tls_s=300, exchange_s=300)
    return await really(experiment, f"{scheme}{NAME}:{port}", opened, options)


def page_verdict(controls: list[Measurement], here: list[Measurement]) -> Verdict:
    """Return the assessor's verdict on the page, the last of `here`."""
    target = here[-1].target  # the censor's port is no other site
    blocks = [
        [
            taken(at_public_address(replace(m, target=target)), role=role, nym=role.value)
            for m in measurements
        ]
        for role, measurements in (
            (AgentRole.CONTROL, controls),
            (AgentRole.VOLUNTEER, here),
        )
    ]
    assessor = Assessor(judge)
    assessor.assess(blocks[0])
    return assessor.assess(blocks[1])[-1][1][-1]


def is_large(measurement: Measurement) -> bool:
    sizes = [o.tls.hello_bytes for o in measurement.observations if o.endpoint == "own" and o.tls]
    return sizes[0] > 1_460


@pytest.mark.parametrize(
    ("drops", "rule", "state", "page_rule"),
    [
        (drops_nothing, "hello.passes", VerdictState.REACHABLE, "reached.https"),
        (drops_browsers, "hello.browsers_dropped", VerdictState.BLOCKED, "tls.browsers_dropped"),
        (
            passes_browsers_only,
            "hello.own_filtered",
            VerdictState.UNKNOWN,
            "tls.own_hello_filtered",
        ),
        (drops_name(NAME), "hello.name", VerdictState.BLOCKED, CUT),
        (
            drops_name_in_first_segment(NAME),
            "hello.first_segment",
            VerdictState.BLOCKED,
            CUT,
        ),
        (lambda _: True, "hello.doubt", VerdictState.UNKNOWN, CUT),
        (drops_sealed, "hello.browsers_dropped", VerdictState.BLOCKED, "tls.browsers_dropped"),
        (drops_large, "hello.doubt", VerdictState.UNKNOWN, CUT),
        (drops_ml_kem, "hello.doubt", VerdictState.UNKNOWN, CUT),
        (drops_http2, "hello.doubt", VerdictState.UNKNOWN, CUT),
    ],
    ids=[
        *("nothing", "browsers", "all_but_browsers", "name", "first_segment", "everything"),
        *("sealed", "large", "ml_kem", "http2"),
    ],
)
async def test_a_filter_is_told_as_what_it_is(
    drops: Drops,
    rule: str,
    state: VerdictState,
    page_rule: str,
    web: int,
    opening: Opening,
    tmp_path: Path,
) -> None:
    """A filter gets its verdict by `hello`, and in the verdict on the page.

    The page alone would miss or invent a block.
    """
    controls = [await measured(name, web, opening, tmp_path) for name in ("hello", "web")]
    async with hello_filter(web, drops) as port:
        here = [await measured(name, port, opening, tmp_path) for name in ("hello", "web")]
    assert not (is_large(here[0]) and OLDER in os.environ)
    if drops in BY_BROWSERS and not is_large(here[0]):  # OpenSSL before 3.5
        rule, state = "hello.size_or_fingerprint", VerdictState.UNKNOWN
        page_rule = "tls.browsers_in_doubt"
    seen = verdict(here[0], controls[0])
    assert (seen.rule, seen.state) == (rule, state)
    assert page_verdict(controls, here).rule.replace("reset", "eof") == page_rule


OLDER_GROUPS = """
openssl_conf = of_library
[of_library]
ssl_conf = of_tls
[of_tls]
system_default = of_contexts
[of_contexts]
Groups = X25519:P-256:X448:P-521:P-384
"""


def test_the_groups_of_openssl_3_0_give_the_same_verdicts(tmp_path: Path) -> None:
    """The groups of OpenSSL 3.0 give the same verdicts.

    Our own hello is small there, so that a filter of browsers may be one of sizes: unknown.
    """
    settings = tmp_path / "openssl.cnf"
    settings.write_text(OLDER_GROUPS)
    command = [sys.executable, "-m", "pytest", __file__, "-k", "filter_is_told", "-q"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider"],
        env={**os.environ, "OPENSSL_CONF": str(settings), OLDER: "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "10 passed" in done.stdout, done.stdout[-4_000:]


async def test_a_server_that_trips_over_browsers_is_no_block(
    web: int, opening: Opening, tmp_path: Path
) -> None:
    async with hello_filter(web, drops_browsers) as port:
        here = await measured("hello", port, opening, tmp_path)
        control = await measured("hello", port, opening, tmp_path)
    seen = verdict(here, control)
    assert (seen.rule, seen.state) == ("hello.server", VerdictState.UNKNOWN)
