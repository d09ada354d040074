"""`relay`, the keys that go with it, and what an agent does when it cannot be one."""

import json
import logging
import random
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from heliograph import codec, relay_line
from heliograph.clock import SystemClock
from heliograph.observation import Epoch
from heliograph.plan import Carrier, Entrance
from heliograph_agent import cli
from heliograph_agent import config as c
from heliograph_agent.consent import Consent
from heliograph_agent.runtime.agent import read_settings
from heliograph_agent.runtime.plan_updater import PlanUpdater
from heliograph_agent.runtime.relay_task import run_relay
from heliograph_agent.runtime.settings import AgentSettings
from heliograph_agent.runtime.uplink_host import BeaconContents, EntrancePolicy
from heliograph_agent.runtime.vantage import VantageState
from heliograph_agent.state import CONSENT, PLAN, State
from support.agent_host import RecordingHost
from support.scripted_intake import Collector, Identity, plan_of

HOST = "127.0.0.1"
RELAY = Entrance(carrier=Carrier.RELAY, host="192.0.2.7", port=7_446, pin="ab" * 32)
POST = Entrance(carrier=Carrier.POST, host="a.example", port=7_444)


@pytest.fixture
def state(state: State, who: Identity) -> State:
    """Return the state of an agent that has agreed to a plan."""
    state.private_key(create=True)
    state.write_json(CONSENT, Consent(given_us=1, plan_version=1, scope=frozenset()).to_json())
    state.write(PLAN, Collector(who, plan_of()).signed(plan_of()).SerializeToString())
    return state


def make_updater(setting: AgentSettings) -> PlanUpdater:
    return PlanUpdater(setting, SystemClock(), RecordingHost())


def command(state: State, *words: str) -> int:
    return cli.main(["relay", *words, "--state", str(state.root)])


def test_the_line_names_the_place_and_says_when_nobody_is_answered(
    state: State, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(state, "relay.example:7446") == 0
    said = capsys.readouterr()
    named = relay_line.parse_relay_line(said.out)
    assert (named.host, named.port, len(named.pin)) == ("relay.example", 7_446, 64)
    assert "set the key relay.listen" in said.err
    (state.root / "config.yml").write_text("relay: {listen: '0.0.0.0:7446'}\n")
    assert command(state, "relay.example:7446", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"line": said.out.strip(), "listens": True}, "the same key, the same line"


@pytest.mark.parametrize("place", ["192.0.2.7", "a b:1", "a.example"])
def test_a_place_that_is_none_is_a_sentence(
    place: str, state: State, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(state, place) == 1
    assert place in capsys.readouterr().err


def test_an_agent_that_has_not_joined_cannot_relay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(State(tmp_path / "none"), "a.example:1") == 1
    assert "join INVITE" in capsys.readouterr().err


def test_relays_are_used_only_as_far_as_the_owner_says() -> None:
    listed = (POST, RELAY)
    mine = replace(RELAY, host="192.0.2.8")
    line = relay_line.format_relay_line(mine)
    assert c.Config().entrances(listed) == (POST,)
    assert c.Config(relays=(c.LISTED,)).entrances(listed) == listed
    assert c.Config(relays=(line,)).entrances(listed) == (POST, mine)
    parsed = c.parse_config(
        f"uplink: {{relays: [listed, '{line}'], beacon: yes}}".encode(), "x.yml"
    )
    assert (parsed.entrances(listed), parsed.beacon) == ((POST, RELAY, mine), True)


def test_a_plan_names_no_way_into_the_volunteers_own_network(state: State) -> None:
    near = replace(POST, host="192.168.1.1")
    mixed = replace(POST, addresses=("192.168.1.1", "9.9.9.9"))
    mine = replace(RELAY, host="192.168.1.5")
    config = c.Config(relays=(relay_line.format_relay_line(mine),))
    setting = read_settings(state, config)
    setting = replace(setting, plan=replace(setting.plan, entrances=(near, mixed)))

    def ways(setting: AgentSettings) -> dict[str, tuple[tuple[str, ...], bool]]:
        dial_context = config.dial_context(SystemClock(), random.Random(1))
        policy = EntrancePolicy(make_updater(setting), dial_context)
        return {e.host: (e.addresses, policy.is_guarded(e)) for e in policy.list_allowed()}

    assert ways(setting) == {
        mixed.host: (("9.9.9.9",), True), mine.host: ((), False),
    }, "what the volunteer typed may lead anywhere"  # fmt: skip
    everywhere = {
        near.host: ((), False), mixed.host: (mixed.addresses, False), mine.host: ((), False),
    }  # fmt: skip
    allowed = replace(setting, config=replace(config, local_targets=True))
    assert ways(allowed) == everywhere
    collector = replace(setting.collector, endpoint="192.168.1.1:7443")
    assert ways(replace(setting, collector=collector)) == everywhere, "joined there"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("uplink: {relays: [heliograph1:abc]}", "uplink.relays cannot be"),
        ("uplink: {beacon: perhaps}", "uplink.beacon cannot be 'perhaps'; allowed: yes, no"),
        ("relay: {listen: 7446}", "relay.listen cannot be '7446'"),
        ("relay: {listen: 'relay.example:7446'}", "relay.listen cannot be"),
        ("relay: {bytes_per_day: 5}", "relay.bytes_per_day cannot be '5'"),
    ],
)
def test_a_mistake_in_a_key_is_named(text: str, says: str) -> None:
    with pytest.raises(c.AgentConfigError, match=says):
        c.parse_config(text.encode(), "x.yml")


def test_a_last_word_needs_leave_of_both_sides(state: State) -> None:
    for zone, willing, said in (("b.example", True, "b.example"), ("b.example", False, ""),
                                ("", True, "")):  # fmt: skip
        setting = read_settings(state, c.Config(beacon=willing))
        updater = make_updater(replace(setting, plan=replace(setting.plan, beacon_zone=zone)))
        beacon = BeaconContents(
            updater, VantageState(epoch=Epoch(id="e", started_us=0)), SystemClock()
        )
        assert beacon.get_zone() == said
    plan = replace(plan_of(), beacon_zone="b.example", entrances=(POST, RELAY))
    assert codec.plan_from_pb(codec.plan_to_pb(plan)) == plan


async def test_a_port_that_is_taken_is_said_and_the_rest_goes_on(
    state: State, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        setting = read_settings(state, c.Config(relay_listen=(HOST, port)))
        with caplog.at_level(logging.WARNING):
            await run_relay(make_updater(setting), SystemClock(), random.Random(1))
    assert "relay.listen cannot be listened on" in caplog.text
    assert str(port) not in caplog.text
