"""The next leader has all users and the audit trail, on a real nats-server."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from heliograph_collector.app.console_records import (
    ConsoleRecords,
    open_files,
    take_over_records,
)
from heliograph_collector.app.shared_audit import LEAD, SharedAudit
from heliograph_collector.config.journal_settings import JournalSettings
from heliograph_collector.config.settings import Config
from heliograph_collector.fleet import open_keyring
from heliograph_collector.fleet.audit_log import AuditLog
from heliograph_collector.fleet.operators import Operators
from heliograph_collector.store.journal.journal import JournalBusyError
from support.intake import HOST
from support.nats_servers import NatsServers
from support.waiting import until_true

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("nats")]
NOW_US = 1_641_380_400_000_000


class Console:
    """A collector that leads, as its console acts."""

    def __init__(self, records: ConsoleRecords, data: Path) -> None:
        self.records = records
        self.operators = Operators(records.operators)
        self.data = data

    async def act(self, action: str) -> None:
        await asyncio.to_thread(self.records.trail.add, NOW_US, "vera", action)

    def list_actions(self) -> list[str]:
        """Return the trail's actions, the oldest first."""
        entries, _ = self.records.trail.read_page(None, 100)
        return [entry.did for entry in reversed(entries)]


class Consoles:
    """Collectors of one cluster, each with a data directory and the same keys."""

    def __init__(self, directory: Path, settings: JournalSettings) -> None:
        self.settings = settings
        self._directory = directory
        self._first = open_keyring(directory / "first", [HOST])

    def create_data(self, name: str) -> Path:
        data = self._directory / name
        (data / "keys").mkdir(parents=True, exist_ok=True)
        for file in (self._directory / "first" / "keys").iterdir():
            (data / "keys" / file.name).write_bytes(file.read_bytes())
        return data

    @asynccontextmanager
    async def lead(self, name: str, term: int, *, follows: bool = False) -> AsyncIterator[Console]:
        """Lead on a machine; with `follows`, keep its files equal to the servers' records."""
        data = self.create_data(name)
        async with AsyncExitStack() as stack:
            shared = await take_over_records(Config(data=data), self.settings, term, stack)
            if follows:
                stack.callback(asyncio.create_task(shared.run()).cancel)
            yield Console(shared.records, data)


@pytest.fixture
def consoles(tmp_path: Path, nats_server: NatsServers) -> Consoles:
    return Consoles(tmp_path, nats_server.settings(f"t{uuid4().hex[:16]}"))


def in_thread(work: Callable[[], object]) -> "asyncio.Future[object]":
    return asyncio.ensure_future(asyncio.to_thread(work))


async def test_next_leader_has_users_and_trail_and_the_one_before_writes_no_more(
    consoles: Consoles,
) -> None:
    async with consoles.lead("a", 1, follows=True) as old:
        await in_thread(partial(old.operators.add, "vera", "operator", "hash", 0))
        await in_thread(partial(old.operators.set_totp, "vera", "JBSWY3DPEHPK3PXP"))
        await old.act("agent.revoke")
        assert await in_thread(partial(old.operators.use_step, "vera", 7))
        async with consoles.lead("b", 2) as new:
            assert new.operators.read_people()["vera"].totp == "JBSWY3DPEHPK3PXP"
            assert not await in_thread(partial(new.operators.use_step, "vera", 7)), "used before"
            with pytest.raises(OSError, match="Another collector leads"):
                await old.act("agent.clear")
            await new.act("plan.issue")
            await in_thread(partial(new.operators.remove, "vera"))
            assert new.list_actions() == [LEAD, "agent.revoke", LEAD, "plan.issue"]
            await until_true(lambda: "vera" not in old.operators.read_people())
    async with consoles.lead("c", 3) as last:
        assert last.list_actions() == [LEAD, "agent.revoke", LEAD, "plan.issue", LEAD]
        assert set(last.operators.read_people()) == {"operator"}


async def test_leader_that_was_slow_to_begin_does_not_fence_the_next_one(
    consoles: Consoles,
) -> None:
    async with consoles.lead("b", 2) as leading, consoles.lead("a", 1):
        await leading.act("agent.revoke")
        assert leading.list_actions() == [LEAD, LEAD, "agent.revoke"]


async def test_files_of_one_machine_come_along_and_nothing_of_them_is_lost(
    consoles: Consoles,
) -> None:
    for name, action in (("a", "before.a"), ("b", "before.b")):
        files = open_files(consoles.create_data(name))
        Operators(files.operators).add(f"user-{name}", "viewer", "hash", 0)
        files.trail.add(NOW_US, f"user-{name}", action)
    async with consoles.lead("a", 1) as first:
        assert set(first.operators.read_people()) == {"operator", "user-a"}
        assert first.list_actions() == ["before.a", LEAD]
    async with consoles.lead("b", 2) as second:
        assert set(second.operators.read_people()) == {"operator", "user-a"}
        assert second.list_actions() == ["before.a", LEAD, "before.b", LEAD]
    alone = open_files(second.data)
    assert set(Operators(alone.operators).read_people()) == {"operator", "user-a"}, "the way back"


async def test_servers_that_lost_all_get_it_from_the_files_of_the_leader(
    consoles: Consoles, nats_server: NatsServers
) -> None:
    async with consoles.lead("a", 5_000) as leading:
        await in_thread(partial(leading.operators.add, "vera", "operator", "hash", 0))
        await leading.act("agent.revoke")
    consoles.settings = nats_server.settings(f"t{uuid4().hex[:16]}")
    for term in (1, 2):  # the new servers count leases from the beginning
        async with consoles.lead("a", term) as leading:
            assert set(leading.operators.read_people()) == {"operator", "vera"}
            await leading.act(f"act.{term}")
    assert leading.list_actions() == [LEAD, "agent.revoke", LEAD, "act.1", LEAD, "act.2"]


async def test_two_that_change_the_users_at_once_lose_neither(consoles: Consoles) -> None:
    async with consoles.lead("a", 1) as one, consoles.lead("b", 2, follows=True) as two:
        adding = [
            in_thread(partial(console.operators.add, f"{name}-{number}", "viewer", "hash", 0))
            for number in range(5)
            for console, name in ((one, "one"), (two, "two"))
        ]
        await asyncio.gather(*adding)
        await until_true(lambda: len(two.operators.read_people()) == 11)


class DeadLog:
    """A log whose servers do not answer."""

    def __init__(self) -> None:
        self.asked = 0

    async def count(self) -> int:
        return 0

    async def read_after(self, number: int) -> list[bytes]:
        return []

    async def append(self, number: int, line: bytes) -> None:
        self.asked += 1
        raise JournalBusyError("No server of the journal can be reached.")


async def test_servers_that_are_away_refuse_each_line_and_are_not_waited_for_by_many(
    tmp_path: Path,
) -> None:
    dead = DeadLog()
    trail = AuditLog(tmp_path, SharedAudit(dead, 1))
    for _ in range(3):
        with pytest.raises(OSError, match="server"):
            await asyncio.to_thread(trail.add, NOW_US, "vera", "agent.revoke")
    assert dead.asked == 1
    assert trail.read_page(None, 10) == ([], 0)


class HalfDeadLog(DeadLog):
    """A log that can be written but not read, since its reader's server was killed."""

    async def read_after(self, number: int) -> list[bytes]:
        raise JournalBusyError("No server of the journal can be reached.")

    async def append(self, number: int, line: bytes) -> None:
        self.asked += 1


async def test_line_is_stored_though_those_of_others_could_not_be_read(tmp_path: Path) -> None:
    audit = SharedAudit(HalfDeadLog(), 1)
    trail = AuditLog(tmp_path, audit)
    with pytest.raises(JournalBusyError):
        await audit.follow()
    await asyncio.to_thread(trail.add, NOW_US, "vera", "login")
    assert [entry.did for entry in trail.read_page(None, 10)[0]] == ["login"]
