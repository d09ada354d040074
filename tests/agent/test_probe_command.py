"""The probe command against real servers, under each condition of a network.

nginx and unbound are Debian's own; servers that misbehave are small and ours. A table per
experiment: condition, target, and the steps to be reported.
"""

import io
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, redirect_stderr
from dataclasses import dataclass, fields
from pathlib import Path
from time import monotonic

import pytest

from heliograph.observation import Observation
from heliograph_agent import cli
from support.examples import IS_SOAK
from support.loopback_ca import LoopbackCA
from support.nginx import nginx
from support.ports import free_port
from support.probe_command import Command, Ran, story
from support.tcp_server import reset_after_first_bytes, slow_body, tcp_server, truncated_body
from support.tls_server import tls_server
from support.unbound import unbound

pytestmark = [pytest.mark.xdist_group("probe_command"), pytest.mark.slow]

NAMES = ("www", "other", "stranger", "expired", "slow", "cut", "closed", "reset")

# Targets are filled with the ports of the servers. The last column has the expected steps.
# What a resolver refuses or fails is told by the step that the next table has too.
WEB_BY_RESOLVER = [
    ("resolver refuses", "https://refused.test/",
     "resolve!dns_refused_error"),
    ("resolver fails", "https://servfail.test/", "resolve!dns_servfail_error"),
]  # fmt: skip
WEB = [
    *(WEB_BY_RESOLVER if IS_SOAK else ()),
    ("working", "https://www.example.test:{https}/",
     "resolve connect tls_handshake http_round_trip read_body"),
    ("working, in clear", "http://www.example.test:{http}/",
     "resolve connect http_round_trip read_body"),
    ("NXDOMAIN", "https://none.example.test/", "resolve!dns_nxdomain_error"),
    ("refused", "https://closed.example.test:{closed}/", "resolve connect!connection_refused"),
    ("reset after ClientHello", "https://reset.example.test:{reset}/",
     "resolve connect tls_handshake!connection_reset"),
    ("reset after GET", "http://reset.example.test:{reset}/",
     "resolve connect http_round_trip!connection_reset"),
    ("certificate of another host", "https://other.example.test:{https}/",
     "resolve connect tls_handshake!ssl_invalid_hostname"),
    ("certificate of an unknown CA", "https://stranger.example.test:{https}/",
     "resolve connect tls_handshake!ssl_unknown_authority"),
    ("certificate expired", "https://expired.example.test:{https}/",
     "resolve connect tls_handshake!ssl_invalid_certificate"),
    ("slow body", "https://slow.example.test:{slow}/",
     "resolve connect tls_handshake http_round_trip read_body!generic_timeout_error"),
    ("truncated body", "https://cut.example.test:{cut}/",
     "resolve connect tls_handshake http_round_trip read_body!http_truncated_body"),
]  # fmt: skip
DNS = [
    ("working", "www.example.test", "resolve"),
    ("NXDOMAIN", "none.example.test", "resolve!dns_nxdomain_error"),
    ("resolver refuses", "refused.test", "resolve!dns_refused_error"),
    ("resolver fails", "servfail.test", "resolve!dns_servfail_error"),
    # unbound closes what came over TCP
    ("query dropped", "dropped.test", "resolve!generic_timeout_error resolve!eof_error"),
]


@dataclass(frozen=True, slots=True)
class Loopback:
    """The servers' ports of a loopback world, and the command that uses them."""

    ports: Mapping[str, int]
    command: Command
    resolver: str


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    home = tmp_path_factory.mktemp("world")
    ca, strangers = LoopbackCA(home / "ca"), LoopbackCA(home / "strangers")
    sites = {
        "www.example.test": ca.leaf("www.example.test"),
        "other.example.test": ca.leaf("www.example.test"),
        "stranger.example.test": strangers.leaf("stranger.example.test"),
        "expired.example.test": ca.expired("expired.example.test"),
    }
    zone = "\n".join(f"{name} IN A 127.0.0.1" for name in NAMES)
    with ExitStack() as stack:
        web = stack.enter_context(nginx(home, sites))
        resolver = stack.enter_context(unbound(home, {"example.test": zone})).address
        slow = tls_server(ca.leaf("slow.example.test"), slow_body)
        cut = tls_server(ca.leaf("cut.example.test"), truncated_body)
        ports = {
            "http": web.http, "https": web.https, "closed": free_port(),
            "reset": stack.enter_context(tcp_server(reset_after_first_bytes)),
            "slow": stack.enter_context(slow), "cut": stack.enter_context(cut),
            "plain_slow": stack.enter_context(tcp_server(slow_body)),
        }  # fmt: skip
        options = {"net.resolver": resolver, "net.ca_file": str(ca.ca_file)}
        yield Loopback(ports, Command(state=home / "state", options=options), resolver)


Runs = Mapping[tuple[str, str], Future[Ran]]


@pytest.fixture(scope="module")
def runs(world: Loopback) -> Iterator[Runs]:
    """Start every row of the tables at once: they mostly wait for a deadline."""
    own = {
        "web": (f"--option=resolver={world.resolver}", "--option=doh="),
        "dns": (f"--option=resolver={world.resolver}", "--option=engines=system,udp,tcp"),
    }
    with ThreadPoolExecutor(max_workers=8) as pool:
        yield {
            (experiment, condition): pool.submit(
                world.command.run, experiment, target.format(**world.ports), "--json",
                *own[experiment],
            )
            for experiment, table in (("web", WEB), ("dns", DNS))
            for condition, target, _ in reversed(table)  # those that wait longest come first
        }  # fmt: skip


def rows(experiment: str, table: list[tuple[str, str, str]]) -> list[object]:
    return [
        pytest.param(experiment, condition, expected, id=f"{experiment}: {condition}")
        for condition, _, expected in table
    ]


@pytest.mark.parametrize(
    ("experiment", "condition", "expected"), rows("web", WEB) + rows("dns", DNS)
)
def test_the_steps_and_failures_are_those_of_the_condition(
    experiment: str, condition: str, expected: str, runs: Runs
) -> None:
    ran = runs[experiment, condition].result()
    assert story(ran.observations) == expected
    assert (ran.code, ran.err) == (0, "")


def test_json_lines_have_the_fields_of_an_observation(runs: Runs) -> None:
    observations = runs["web", "working"].result().observations
    for observation in observations:
        assert list(observation) == [f.name for f in fields(Observation)]
    body, trip, handshake, connect = reversed(observations[-4:])
    assert body["http"]["title"] == "It works here"
    assert trip["http"]["status"] == 200
    assert handshake["tls"]["server_name"] == "www.example.test"
    assert handshake["tls"]["version"] == "TLSv1.3"
    assert connect["tcp"]["address"] == "127.0.0.1"
    chain = [observations[step["parent"]]["operation"] for step in (body, trip, handshake, connect)]
    assert chain == ["http_round_trip", "tls_handshake", "connect", "resolve"]


def test_json_begins_with_what_was_tested_when_and_what_it_means(runs: Runs) -> None:
    whole = runs["dns", "resolver refuses"].result().whole
    assert list(whole) == ["experiment", "target", "started_us", "conclusion", "published"]
    assert (whole["experiment"], whole["started_us"] > 0) == ("dns", True)
    assert whole["published"] is None, "this machine has not joined"
    assert "This cannot tell whether there is such a name." in whole["conclusion"]
    denied = runs["dns", "NXDOMAIN"].result().whole["conclusion"]
    assert "Either the name does not exist" in denied


def test_what_failed_still_says_what_was_seen(runs: Runs) -> None:
    other = runs["web", "certificate of another host"].result().observations[-1]
    assert other["tls"]["chain"][0]["not_after_s"] > other["tls"]["chain"][0]["not_before_s"]
    cut = runs["web", "truncated body"].result().observations[-1]
    assert cut["http"]["body_bytes"] == len(b"<title>Half of it</title>")
    assert cut["http"]["title"] == "Half of it"
    asked = {(o["dns"]["engine"], o["dns"]["query_type"])
             for o in runs["dns", "NXDOMAIN"].result().observations}  # fmt: skip
    assert asked == {(e, t) for e in ("system", "udp", "tcp") for t in ("A", "AAAA")}
    assert {o["dns"]["rcode"] for o in runs["dns", "NXDOMAIN"].result().observations} == {3}


def test_people_get_a_tree_and_a_sentence_that_judges_nothing(world: Loopback) -> None:
    target = f"other.example.test:{world.ports['https']}"
    ran = world.command.run("tls", target)
    assert ran.code == 0
    first, *explanation = ran.out.splitlines()
    told, steps = " ".join(explanation[:-4]), explanation[-4:]  # the sentence comes first
    assert first.endswith(target)
    assert [line.split("  ")[1].split(" ")[:3] for line in steps] == [
        ["✓", "look", "up"],
        ["✓", "└", "connect"],
        ["✗"],
        ["-", "look", "up"],
    ]
    assert "└ TLS" in steps[2]
    assert len({line.rindex("s") for line in steps}) == 1  # durations stand in one column
    assert " ".join(told.split()) == (
        "What answered could not prove to be that server (certificate of another host). "
        "Either the connection is intercepted, or the server is set up wrongly. "
        "Only the same test from another network can tell which."
    )
    assert "\033" not in ran.out  # no colours in a pipe


def test_a_terminal_without_the_marks_still_tells_good_from_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = f"127.0.0.1:{server.getsockname()[1]}"
        good = Command(state=tmp_path).run("tcp", target)
    bad = Command(state=tmp_path).run("tcp", target)
    assert good.out.splitlines()[-1].startswith("  + connect")
    assert bad.out.splitlines()[-1].startswith("  x connect")


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["web"], 2, "probe web needs a TARGET: url."),
        (["teleport"], 2, "There is no experiment 'teleport'; there are: connectivity, dns"),
        (["web", "x", "--option=colour=red"], 2, "web has no option 'colour'; its options are"),
        (["web", "x", "--option=redirects"], 2, "--option 'redirects' must be KEY=VALUE."),
        (["web", "x", "--option=net.colour=red"], 2, "unknown key net.colour"),
        (["telegram", "carrier-pigeon"], 2, "no service 'carrier-pigeon'; there are: anchors"),
        (["web", "x", "--config=/nonexistent.yml"], 2, "no configuration file /nonexistent.yml"),
        (["web", "www.example.test"], 2, "is no URL of a web page"),
        (["tcp", "192.0.2.1"], 2, "does not say where to: give HOST:PORT"),
        (["dns", "no host"], 2, "is no host name"),
        (["telegram", "--option=plan.services_file={bad}"], 1, "bad.yml, line 1: hello: unknown"),
    ],
)
def test_what_cannot_run_says_why_in_one_sentence(
    arguments: list[str], code: int, sentence: str, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.yml"
    bad.write_text("hello: world\n")
    more = [argument.format(bad=bad) for argument in arguments]
    with redirect_stderr(io.StringIO()) as error:  # a process each would only load the same again
        assert cli.main(["probe", *more, f"--state={tmp_path}"]) == code
    said = error.getvalue()
    assert sentence in said
    assert said.startswith("heliograph-agent: ")
    assert said.count("\n") == 1


def test_ctrl_c_stops_it_within_a_second_and_shows_what_was_seen(world: Loopback) -> None:
    line = world.command.line(
        "web", f"http://slow.example.test:{world.ports['plain_slow']}/", "--json",
        f"--option=resolver={world.resolver}", "--option=doh=",
    )  # fmt: skip
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        _wait_until_it_waits(process.pid, world.ports["plain_slow"])
        process.send_signal(signal.SIGINT)
        asked = monotonic()
        out, err = process.communicate(timeout=60)
        took = monotonic() - asked
    assert process.returncode == 1
    assert "interrupted" in out.splitlines()[-1]
    assert "Stopped before its end." in err
    assert took < 30, f"{took:.1f} s"  # one second on a machine that is not testing
    print(f"Ctrl-C: {took:.2f} s", file=sys.stderr)


def _wait_until_it_waits(pid: int, port: int) -> None:
    """Wait until the process has its connection to `port` established."""
    deadline = monotonic() + 200
    needle = f":{port:04X} 01 "
    while needle not in Path(f"/proc/{pid}/net/tcp").read_text():
        assert monotonic() < deadline
