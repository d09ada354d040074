"""The effective plan, as plans and keys are replaced and age, and opt-outs."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from heliograph import codec, keys
from heliograph import trust_chain as c
from heliograph.plan import ANCHORS, PlannedTask
from heliograph.v1 import intake_pb2 as ipb
from heliograph.v1 import plan_pb2 as pb
from heliograph_agent import consent
from heliograph_agent.config import Config
from heliograph_agent.consent import local_hour
from heliograph_agent.runtime.plan_updater import PlanUpdater
from heliograph_agent.runtime.settings import read_settings
from heliograph_agent.runtime.signing import answer_renewal
from heliograph_agent.state import CONSENT, KEY, PLAN, Collector, State, StateError
from support.agent_host import RecordingHost
from support.hand_clock import HandClock
from support.scripted_intake import plan_of

ROOT, OLD, NEW = (keys.SigningKey(bytes([n]) * 32) for n in (1, 2, 3))
DAY_S = 86_400
TCP = PlannedTask(experiment="tcp", target="a.example:1", interval_s=60)
WEB = PlannedTask(experiment="web", target="https://b.example/", interval_s=60)


def charter(version: int, signer: keys.SigningKey) -> c.TrustRoot:
    role = c.KeyRole(1, (signer.public,))
    return c.TrustRoot(
        version=version, issued_s=0, expires_s=2_000_000_000, root=c.KeyRole(1, (ROOT.public,)),
        plan=role, receipts=role, sealing_key=signer.public,
    )  # fmt: skip


def signed(
    version: int, *tasks: PlannedTask, expires_s: int, by: keys.SigningKey = OLD,
    charters: tuple[pb.SignedCharter, ...] = (),
) -> pb.SignedPlan:  # fmt: skip
    plan = replace(plan_of(*tasks, version=version), expires_s=expires_s)
    body = codec.plan_to_pb(plan).SerializeToString(deterministic=True)
    return pb.SignedPlan(plan=body, signature=by.sign(keys.PLAN, body), charters=charters)


class JoinedAgent:
    """A joined agent's state directory, and its plan updater."""

    def __init__(
        self, folder: Path, config: Config | None = None, tasks: tuple[PlannedTask, ...] = (TCP,)
    ) -> None:
        self.clock, self.state = HandClock(), State(folder)
        self.ends_s = self.clock.wall // 1_000_000 + 30 * DAY_S
        self.state.prepare()
        signer = keys.SigningKey(self.state.private_key(create=True) or b"")
        self.state.save_collector(
            Collector(
                endpoint="collector.example:1",
                pin=b"p" * 32,
                certificate="",
                signing_key=OLD.public,
                sealing_key=OLD.public,
                agent=keys.agent_id(signer.public),
                charter=c.encode_trust_root(charter(1, OLD)),
            )
        )
        first = signed(1, *tasks, expires_s=self.ends_s)
        self.state.write(PLAN, first.SerializeToString())
        scope = consent.consent_scope(plan_of(*tasks))
        given = consent.Consent(given_us=1, plan_version=1, scope=scope)
        self.state.write_json(CONSENT, given.to_json())
        self.host = RecordingHost()
        setting = read_settings(self.state, config or Config())
        self.updater = PlanUpdater(setting, self.clock, self.host)

    def runs(self) -> set[str]:
        return {task.experiment for task in self.updater.plan.tasks}

    def pass_s(self, seconds: int) -> None:
        self.clock.advance_us(seconds * 1_000_000)
        self.updater.poll()


@pytest.fixture
def agent(tmp_path: Path) -> JoinedAgent:
    return JoinedAgent(tmp_path)


def test_new_task_waits_for_consent(agent: JoinedAgent) -> None:
    agent.updater.take_plan(signed(2, TCP, WEB, expires_s=agent.ends_s))
    assert agent.runs() == {"tcp"}
    assert agent.updater.waiting == ("web https://b.example/",)


def test_expired_plan_is_run_for_half_a_year(agent: JoinedAgent) -> None:
    agent.pass_s(31 * DAY_S)
    assert agent.runs() == {"tcp"}, "stale"
    agent.pass_s(178 * DAY_S)
    assert agent.runs() == {"tcp"}
    agent.pass_s(2 * DAY_S)
    assert agent.runs() == set(), "over"
    late = signed(2, TCP, expires_s=agent.ends_s + 60 * DAY_S)
    agent.updater.take_plan(late)
    assert agent.runs() == set(), "one that is itself expired revives nothing"
    agent.updater.take_plan(signed(3, TCP, expires_s=agent.clock.wall // 1_000_000 + DAY_S))
    assert agent.runs() == {"tcp"}


def test_long_offline_agent_follows_new_keys(agent: JoinedAgent) -> None:
    agent.pass_s(180 * DAY_S)
    chain = tuple(c.sign_trust_root(charter(n, OLD if n < 4 else NEW), [ROOT]) for n in range(1, 5))
    fresh_s = agent.clock.wall // 1_000_000 + DAY_S
    agent.updater.take_plan(signed(2, TCP, expires_s=fresh_s, by=NEW, charters=chain))
    collector = agent.state.collector()
    assert collector is not None
    assert (collector.signing_key, collector.sealing_key) == (NEW.public, NEW.public)
    assert agent.updater.charter_version == 4
    assert agent.updater.settings.plan.version == 2


def test_trust_root_is_kept_when_plan_is_unchanged(agent: JoinedAgent) -> None:
    again = signed(
        1, TCP, expires_s=agent.ends_s, charters=(c.sign_trust_root(charter(2, OLD), [ROOT]),)
    )
    agent.updater.take_plan(again)
    assert agent.updater.charter_version == 2
    assert agent.updater.settings.plan.version == 1


def test_opt_out_overrides_plan_and_consent(tmp_path: Path) -> None:
    quiet = JoinedAgent(tmp_path / "a", Config(without=("tcp",)))
    assert quiet.runs() == set()
    hour = local_hour(HandClock().wall_us())
    night = JoinedAgent(tmp_path / "b", Config(quiet_hours=frozenset({hour})))
    assert night.runs() == set()
    night.pass_s(3_600)
    assert [[t.experiment for t in plan.tasks] for plan in night.host.plans] == [["tcp"]]


def test_on_a_low_battery_only_anchors_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    battery = [15]
    monkeypatch.setattr(
        "heliograph_agent.runtime.battery.is_battery_low", lambda below: battery[0] < below
    )
    anchors = PlannedTask(experiment=ANCHORS, interval_s=60)
    agent = JoinedAgent(tmp_path / "a", tasks=(anchors, TCP))
    assert [line.experiment for line in agent.updater.plan.tasks] == [ANCHORS]
    battery[0] = 20
    agent.pass_s(50)
    assert agent.host.plans == [], "it looks once a minute"
    agent.pass_s(10)
    assert [[line.experiment for line in p.tasks] for p in agent.host.plans] == [[ANCHORS, "tcp"]]
    battery[0] = 1
    agent.pass_s(60)
    assert [line.experiment for line in agent.host.plans[-1].tasks] == [ANCHORS]
    never = JoinedAgent(tmp_path / "b", Config(battery_percent=0), (anchors, TCP))
    assert [line.experiment for line in never.updater.plan.tasks] == [ANCHORS, "tcp"]


def test_key_renewal_replaces_key_after_confirmation(
    agent: JoinedAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector = agent.state.collector()
    assert collector is not None
    before = agent.state.signer()
    offered = answer_renewal(agent.state, collector, ipb.Renewed(public_key=before.public))
    assert offered is not None
    again = answer_renewal(agent.state, collector, ipb.Renewed(public_key=before.public))
    assert again == offered, "a crash, or a lost answer, offers the same one"
    signed_message = collector.agent + offered.public_key
    context = keys.bind_context(keys.RENEWAL, collector.pin)
    assert keys.verify(before.public, offered.by_present, context, signed_message)
    assert keys.verify(offered.public_key, offered.by_next, context, signed_message)
    assert answer_renewal(agent.state, collector, ipb.Renewed(public_key=b"x" * 32)) is None
    assert agent.state.signer().public == before.public
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_ino))
    assert (
        answer_renewal(agent.state, collector, ipb.Renewed(public_key=offered.public_key)) is None
    )
    assert agent.state.signer().public == offered.public_key
    assert agent.state.root.stat().st_ino in synced, "a rename is durable once its directory is"
    assert [p.name for p in agent.state.root.glob(f"{KEY}*")] == [KEY]


def test_operators_own_agent_waits_for_no_consent(agent: JoinedAgent) -> None:
    """An operator's own agent needs no consent; a file with less does not stop it."""
    given = {"version": 0, "scope": [], "country": "KZ"}
    for content in (b"{}", json.dumps(given).encode()):
        agent.state.write(CONSENT, content)
        with pytest.raises(StateError):
            read_settings(agent.state, Config())
        settings = read_settings(agent.state, Config(), is_agreed=True)
        plan = replace(settings.plan, tasks=(TCP, WEB))
        assert replace(settings, plan=plan).effective_plan()[1] == ()
