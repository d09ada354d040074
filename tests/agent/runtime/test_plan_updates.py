"""What is run, as plans come and age, keys change, and the volunteer has the last word."""

from dataclasses import replace
from pathlib import Path

import pytest

from heliograph import codec, keys
from heliograph import trust_chain as c
from heliograph.plan import PlannedTask
from heliograph.v1 import intake_pb2 as ipb
from heliograph.v1 import plan_pb2 as pb
from heliograph_agent.config import Config
from heliograph_agent.consent import consent
from heliograph_agent.consent.opt_out import hour_of
from heliograph_agent.runtime.plan_updates import Adopting
from heliograph_agent.runtime.settings import read_setting
from heliograph_agent.runtime.signing import answer
from heliograph_agent.state import CONSENT, KEY, PLAN, Collector, State
from support.hand_clock import HandClock
from support.scripted_intake import plan_of

ROOT, OLD, NEW = (keys.SigningKey(bytes([n]) * 32) for n in (1, 2, 3))
DAY_S = 86_400
TCP = PlannedTask(experiment="tcp", target="a.example:1", interval_s=60)
WEB = PlannedTask(experiment="web", target="https://b.example/", interval_s=60)


def charter(version: int, signer: keys.SigningKey) -> c.Charter:
    role = c.Role(1, (signer.public,))
    return c.Charter(
        version=version, issued_s=0, expires_s=2_000_000_000, root=c.Role(1, (ROOT.public,)),
        plan=role, receipts=role, sealing_key=signer.public,
    )  # fmt: skip


def signed(
    version: int, *tasks: PlannedTask, expires_s: int, by: keys.SigningKey = OLD,
    charters: tuple[pb.SignedCharter, ...] = (),
) -> pb.SignedPlan:  # fmt: skip
    plan = replace(plan_of(*tasks, version=version), expires_s=expires_s)
    body = codec.plan_to_pb(plan).SerializeToString(deterministic=True)
    return pb.SignedPlan(plan=body, signature=by.sign(keys.PLAN, body), charters=charters)


class Home:
    """An agent that joined, and what it would run."""

    def __init__(self, folder: Path, config: Config | None = None) -> None:
        self.clock, self.state = HandClock(), State(folder)
        self.ends_s = self.clock.wall // 1_000_000 + 30 * DAY_S
        self.state.prepare()
        signer = keys.SigningKey(self.state.private_key(make=True) or b"")
        self.state.save_collector(
            Collector(
                endpoint="collector.example:1",
                pin=b"p" * 32,
                certificate="",
                signing_key=OLD.public,
                sealing_key=OLD.public,
                agent=keys.agent_id(signer.public),
                charter=c.encode(charter(1, OLD)),
            )
        )
        first = signed(1, TCP, expires_s=self.ends_s)
        self.state.write(PLAN, first.SerializeToString())
        scope = consent.scope_of(plan_of(TCP))
        given = consent.Consent(given_us=1, plan_version=1, scope=scope)
        self.state.write_json(CONSENT, given.to_json())
        self.told: list[set[str]] = []
        setting = read_setting(self.state, config or Config())
        self.adopting = Adopting(setting, self.clock, lambda: None, lambda plan: self.tell())

    def tell(self) -> None:
        self.told.append(self.runs())

    def runs(self) -> set[str]:
        return {task.experiment for task in self.adopting.plan.tasks}

    def pass_s(self, seconds: int) -> None:
        self.clock.advance_us(seconds * 1_000_000)
        self.adopting.look()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_what_is_new_waits_for_a_yes_and_the_rest_goes_on(home: Home) -> None:
    home.adopting.take_plan(signed(2, TCP, WEB, expires_s=home.ends_s))
    assert home.runs() == {"tcp"}
    assert home.adopting.waiting == ("web https://b.example/",)


def test_an_expired_plan_goes_on_half_a_year_then_nothing_until_a_newer_one(home: Home) -> None:
    home.pass_s(31 * DAY_S)
    assert home.runs() == {"tcp"}, "stale"
    home.pass_s(178 * DAY_S)
    assert home.runs() == {"tcp"}
    home.pass_s(2 * DAY_S)
    assert home.runs() == set(), "over"
    late = signed(2, TCP, expires_s=home.ends_s + 60 * DAY_S)
    home.adopting.take_plan(late)
    assert home.runs() == set(), "one that is itself expired revives nothing"
    home.adopting.take_plan(signed(3, TCP, expires_s=home.clock.wall // 1_000_000 + DAY_S))
    assert home.runs() == {"tcp"}


def test_an_agent_dark_for_half_a_year_follows_to_new_keys(home: Home) -> None:
    home.pass_s(180 * DAY_S)
    chain = tuple(c.sign(charter(n, OLD if n < 4 else NEW), [ROOT]) for n in range(1, 5))
    fresh_s = home.clock.wall // 1_000_000 + DAY_S
    home.adopting.take_plan(signed(2, TCP, expires_s=fresh_s, by=NEW, charters=chain))
    kept = home.state.collector()
    assert kept is not None
    assert (kept.signing_key, kept.sealing_key) == (NEW.public, NEW.public)
    assert home.adopting.charter_version == 4
    assert home.adopting.setting.plan.version == 2


def test_a_renewed_charter_is_kept_though_the_plan_is_the_same(home: Home) -> None:
    again = signed(1, TCP, expires_s=home.ends_s, charters=(c.sign(charter(2, OLD), [ROOT]),))
    home.adopting.take_plan(again)
    assert home.adopting.charter_version == 2
    assert home.adopting.setting.plan.version == 1


def test_opt_outs_win_over_every_plan_and_over_an_earlier_yes(tmp_path: Path) -> None:
    quiet = Home(tmp_path / "a", Config(without=("tcp",)))
    assert quiet.runs() == set()
    hour = hour_of(HandClock().wall_us())
    night = Home(tmp_path / "b", Config(quiet_hours=frozenset({hour})))
    assert night.runs() == set()
    night.pass_s(3_600)
    assert night.told == [{"tcp"}]


def test_the_agent_s_own_key_is_offered_confirmed_and_only_then_replaced(home: Home) -> None:
    agent = b"a" * 16
    before = home.state.signer()
    offered = answer(home.state, agent, ipb.Renewed(public_key=before.public))
    assert offered is not None
    again = answer(home.state, agent, ipb.Renewed(public_key=before.public))
    assert again == offered, "a crash, or a lost answer, offers the same one"
    said = agent + offered.public_key
    assert keys.verify(before.public, offered.by_present, keys.RENEWAL, said)
    assert keys.verify(offered.public_key, offered.by_next, keys.RENEWAL, said)
    assert answer(home.state, agent, ipb.Renewed(public_key=b"x" * 32)) is None
    assert home.state.signer().public == before.public
    assert answer(home.state, agent, ipb.Renewed(public_key=offered.public_key)) is None
    assert home.state.signer().public == offered.public_key
    assert [p.name for p in home.state.root.glob(f"{KEY}*")] == [KEY]
