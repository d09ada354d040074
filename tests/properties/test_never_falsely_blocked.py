"""No experiment says blocked of a run that was cut off, without a link, for want of IPv6, or when
the control cannot bear it out. Over every experiment there is, and whatever its steps brought."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.failure import Failure, Operation
from heliograph.observation import Link, Measurement, Observation
from heliograph_agent.experiments import REGISTRY
from heliograph_collector.judge import judge
from heliograph_collector.judge.failure_semantics import METHODS
from heliograph_collector.model.records import ControlView, State, Verdict
from support.scenario import measurement, taken

FOUR, SIX = "5.6.7.8", "2a00:1::8"
FRESH_US = 60_000_000
LOOKUP, TCP, HELLO, PAGE = ("A",), ("connect",), ("connect", "tls"), ("connect", "http", "body")
HTTPS = ("connect", "tls", "http", "body")
OPERATIONS = {
    "A": Operation.RESOLVE,
    "connect": Operation.CONNECT,
    "tls": Operation.TLS_HANDSHAKE,
    "quic": Operation.QUIC_HANDSHAKE,
    "http": Operation.HTTP_ROUND_TRIP,
    "body": Operation.READ_BODY,
    "exchange": Operation.EXCHANGE,
}


@dataclass(frozen=True)
class Shape:
    """What an experiment does to each of its endpoints, step upon step, and how often."""

    ladders: dict[str, tuple[str, ...]]
    named: bool = False  # its endpoints are found by name
    times: int = 1


def _same(ladder: tuple[str, ...], *labels: str) -> dict[str, tuple[str, ...]]:
    return dict.fromkeys(labels, ladder)


TALK = ("connect", "exchange")
SHAPES = {
    "connectivity": Shape(_same(HTTPS, "foreign-1", "foreign-2", "domestic-1")),
    "dns": Shape(_same(LOOKUP, "")),
    "tcp": Shape(_same(TCP, ""), named=True),
    "tls": Shape(_same(HELLO, ""), named=True),
    "web": Shape(_same(HTTPS, ""), named=True),
    "telegram": Shape(_same(TALK, "dc-1", "dc-2") | _same(HTTPS, "web")),
    "whatsapp": Shape(_same(TALK, "chat-1", "chat-2") | _same(HTTPS, "web"), named=True),
    "signal": Shape(_same(HTTPS, "chat", "storage", "cdn"), named=True),
    **dict.fromkeys(
        (entry.name for entry in REGISTRY if entry.function_name == "messengers"),
        Shape(_same(HTTPS, "api", "web") | _same(TCP, "chat-1", "chat-2"), named=True),
    ),
    "middlebox": Shape(_same(TALK, "http", "line_version")),
    "ech": Shape(_same(HELLO, "none", "grease", "real")),
    "path": Shape(_same(("hop",), "target", "neutral"), times=4),
    "dns_integrity": Shape(
        _same(
            LOOKUP, "system", "udp", "tcp", "dot", "doh", "nowhere", "nowhere_neutral",
            "whoami_system", "whoami_udp",
        )
    ),
    "sni": Shape(_same(HELLO, "target", "neutral", "none", "direct", "direct_neutral")),
    "http_host": Shape(_same(("connect", "http"), "target", "neutral")),
    "quic": Shape(_same(("quic",), "target", "neutral") | _same(HELLO, "tcp")),
    "throttling": Shape(_same(HTTPS, "target", "neutral"), times=3),
    "outside_in": Shape(_same(HTTPS, "gov", "bank"), named=True),
    "stun": Shape(_same(("exchange",), "one", "two")),
    "tor": Shape(
        _same(HELLO, "or_port-1", "or_port-2", "or_port-3")
        | _same(TCP, "dir_port-1")
        | _same(("exchange",), "bootstrap")
    ),
    "vpn": Shape(_same(TALK, "openvpn-1", "wireguard-1")),
}  # fmt: skip
ENGINES = {"udp": "udp", "nowhere": "udp", "nowhere_neutral": "udp", "whoami_udp": "udp"} | {
    label: label for label in ("tcp", "dot", "doh")
}
EXPERIMENTS = tuple(sorted(e.name for e in REGISTRY))
# Of an experiment that has no shape of its own: what most of them do.
USUAL = Shape(_same(TALK, ""), named=True)

Steps = list[dict[str, Any]]


@st.composite
def runs(draw: st.DrawFn, name: str, *, rate: int = 2, six: bool = True) -> Measurement:
    """A run of an experiment to its end; one step in `rate` fails, none with a rate of 0."""
    shape, steps = SHAPES.get(name, USUAL), {}
    for label, ladder in shape.ladders.items():
        steps[label] = [
            step
            for time in range(shape.times)
            for step in draw(visit(name, label, ladder, rate=rate, six=six, time=time))
        ]
    return measurement(steps, experiment=name)


@st.composite
def visit(
    draw: st.DrawFn,
    name: str,
    label: str,
    ladder: tuple[str, ...],
    *,
    rate: int,
    six: bool,
    time: int,
) -> Steps:
    steps: Steps = []
    if SHAPES.get(name, USUAL).named:
        steps += [{"system A": FOUR}, {"system AAAA": SIX if six else "dns_no_answer"}]
    addresses = (FOUR, SIX) if six and ladder[0] in ("connect", "quic") else (FOUR,)
    for address in addresses:
        for word in ladder:
            step, good = _step(word, label, address, time)
            fails = rate and draw(st.integers(1, rate)) == 1
            steps.append({step: draw(failures(word)) if fails else good})
            if fails:
                break
    return steps


def _step(word: str, label: str, address: str, time: int) -> tuple[str, Any]:
    """The step as the catalogue writes it, and how it ends well."""
    if word == "A":
        return f"{ENGINES.get(label, 'system')} A", FOUR
    if word in ("connect", "quic"):
        return f"{word} {address}{' name.example' if word == 'quic' else ''}", "ok"
    if word == "hop":
        return f"hop client_hello {time + 1}", "server_hello 58" if time == 3 else "time_exceeded"
    if word == "exchange":
        protocol = "tcp_echo" if label.startswith("line") else "http_echo"
        return f"exchange {protocol}", "ok"
    page = {"status": 200, "bytes": 90_000, "title": "The page itself"}
    return word, "ok" if word == "tls" else page | {"arrivals": [[0.5, 90_000]]}


def failures(word: str) -> st.SearchStrategy[str]:
    if word == "hop":
        return st.sampled_from(("rst 61", "generic_timeout_error"))
    words = sorted(METHODS[OPERATIONS[word]])
    return st.sampled_from([w.value for w in words])


def view(of: Measurement | None, **more: Any) -> ControlView:
    return replace(ControlView(measurement=of, age_us=FRESH_US, link=Link.ONLINE), **more)


def blocked(m: Measurement, control: ControlView) -> list[Verdict]:
    return [v for v in judge(taken(m), control) if v.state is State.BLOCKED]


def test_no_shape_is_of_an_experiment_that_is_gone() -> None:
    assert SHAPES.keys() <= set(EXPERIMENTS)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_cut_in_any_step_blocks_nothing_that_it_touches(name: str) -> None:
    """Stopped at a step: that one is interrupted, and none follows."""

    @settings(max_examples=30, deadline=None)
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        run, control = data.draw(runs(name)), data.draw(runs(name, rate=0))
        at = data.draw(st.integers(0, len(run.observations) - 1))
        cut = replace(run, observations=cut_at(run.observations, at))
        label = cut.observations[at].endpoint
        found = blocked(cut, view(control))
        assert not [v for v in found if v.endpoint in ("", label)], found

    holds()


def cut_at(seen: Sequence[Observation], at: int) -> tuple[Observation, ...]:
    return (*seen[:at], replace(seen[at], failure=Failure.INTERRUPTED))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_without_a_link_nothing_is_blocked(name: str) -> None:
    @settings(max_examples=30, deadline=None)
    @given(runs(name), runs(name, rate=0), st.sampled_from([x for x in Link if x != Link.ONLINE]))
    def holds(run: Measurement, control: Measurement, link: Link) -> None:
        assert not blocked(replace(run, link=link), view(control))

    holds()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_without_a_good_control_nothing_is_blocked(name: str) -> None:
    @settings(max_examples=30, deadline=None)
    @given(runs(name), runs(name, rate=0), runs(name, rate=1))
    def holds(run: Measurement, good: Measurement, bad: Measurement) -> None:
        for control in (
            view(None, age_us=None),
            view(good, age_us=16 * 60_000_000),
            view(good, link=Link.UNKNOWN),
            view(good, link=Link.OFFLINE),
            view(replace(good, observations=())),
            view(bad),
        ):
            assert not blocked(run, control)

    holds()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_failures_of_ipv6_alone_block_nothing(name: str) -> None:
    """Whatever happens to connections over IPv6 and to lookups of it, while IPv4 works."""

    @settings(max_examples=30, deadline=None)
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        run, control = data.draw(runs(name, rate=0)), data.draw(runs(name, rate=0))
        seen = [_spoilt(run.observations, i, data) for i in range(len(run.observations))]
        assert not blocked(replace(run, observations=tuple(seen)), view(control))

    holds()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_want_of_ipv6_blocks_nothing(name: str) -> None:
    @settings(max_examples=20, deadline=None)
    @given(runs(name, rate=0, six=False), runs(name, rate=0))
    def holds(run: Measurement, control: Measurement) -> None:
        assert not blocked(run, view(control))

    holds()


def _spoilt(seen: Sequence[Observation], index: int, data: st.DataObject) -> Observation:
    one = seen[index]
    if one.dns is not None and one.dns.query_type == "AAAA":
        word = data.draw(st.sampled_from(sorted(METHODS[Operation.RESOLVE])))
        return replace(one, failure=word, dns=replace(one.dns, answers=()))
    return replace(one, failure=data.draw(_word(one))) if _six(seen, index) else one


def _word(seen: Observation) -> st.SearchStrategy[Failure | None]:
    words = sorted(METHODS.get(seen.operation, {}))
    return st.none() | st.sampled_from(words) if words else st.none()


def _six(seen: Sequence[Observation], index: int | None) -> bool:
    """Whether the step stands on a connection over IPv6."""
    while index is not None:
        end = seen[index].tcp or seen[index].udp
        if end is not None:
            return ":" in end.address
        index = seen[index].parent
    return False


@pytest.mark.parametrize(
    "name", sorted(set(EXPERIMENTS) - {"connectivity", "middlebox", "path", "throttling"})
)
def test_all_of_this_can_fail(name: str) -> None:
    """With link, control and an end, some run is blocked: the tests above are not empty."""
    found: list[Verdict] = []

    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(runs(name), runs(name, rate=0))
    def holds(run: Measurement, control: Measurement) -> None:
        found.extend(blocked(run, view(control)))

    holds()
    assert found
