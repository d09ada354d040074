"""The shipped configuration of the servers, and the permissions of each user."""

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from heliograph_collector.config.journal_settings import JournalSettings
from heliograph_collector.model.records import JournalRow, RowKind
from heliograph_collector.store.journal.jetstream.bus import Bus, SharedLog, SharedTable
from heliograph_collector.store.journal.jetstream.cluster import (
    open_console_side,
    open_judge_side,
    open_published_side,
)
from heliograph_collector.store.journal.jetstream.connection import NatsConnection
from heliograph_collector.store.journal.jetstream.journal import open_jetstream
from heliograph_collector.store.journal.opening import describe_servers
from support.journal_rows import bare_envelope
from support.nats_servers import nats_servers
from support.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("nats")]
ANNA = b"A" * 16
CLUSTER = Path(__file__).parents[4] / "deploy" / "cluster"
LOST = JournalRow(kind=RowKind.LOST, agent=ANNA, received_us=5)


def envelope(sequence: int) -> JournalRow:
    return bare_envelope(ANNA, sequence, received_us=1_000)


async def test_shipped_configuration_serves_its_users(tmp_path: Path) -> None:
    """The shipped configuration serves its users, as one server without a cluster.

    It has its limits, its TLS, and its users' permissions.
    """
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    pair = authority.issue_cert("127.0.0.1")
    pair.private_key_pem.write_to_path(tmp_path / "server.key")
    pair.cert_chain_pems[0].write_to_path(tmp_path / "server.pem")
    (tmp_path / "credentials").write_text("collector:REPLACE-ME")
    shutil.copy(CLUSTER / "nats-users.conf", tmp_path)
    whole, _, _ = (CLUSTER / "nats-server.conf").read_text().partition("cluster {")
    shipped = whole.replace("/etc/nats", str(tmp_path)).replace("/var/lib/nats", f"{tmp_path}/s")
    with nats_servers(tmp_path, scheme="tls", replaced=shipped) as servers:
        settings = servers.settings(
            "heliograph",
            ca_file=tmp_path / "ca.pem",
            certificate_file=tmp_path / "server.pem",
            key_file=tmp_path / "server.key",
            credentials_file=tmp_path / "credentials",
        )
        async with open_jetstream(settings, tmp_path / "data") as journal:
            assert await journal.append([envelope(1), LOST]) == [1, 2]
            assert await journal.trim(1, 5_000) == 1
            await journal.mark_alive(1)
        async with open_jetstream(settings, tmp_path / "data") as again:
            assert await again.append([envelope(1)]) == [None]
            assert [row.position for row in await again.read(0, 10)] == [2]
        assert "only three" in await describe_servers(settings)
        await check_judge(settings)
        await check_console(settings)
        (tmp_path / "publisher").write_text("publisher:REPLACE-ME-TOO")
        await check_publisher(settings, replace(settings, credentials_file=tmp_path / "publisher"))


async def hear_published(sender: Bus, reader: Bus, heard: str, topic: str) -> None:
    """Check that what one side publishes reaches the other."""
    hearing = asyncio.ensure_future(anext(reader.listen(heard)))

    async def is_heard() -> bool:
        await sender.publish(topic, b"report")
        return hearing.done()

    await until(is_heard)
    assert hearing.result() == (topic.rpartition(".")[2], b"report")


async def check_judge(settings: JournalSettings) -> None:
    """Check that a judge host can offer itself and answer the leader."""

    async def answer(content: bytes) -> bytes:
        return content.upper()

    async with open_judge_side(settings) as side, side.bus.answer("judge.work.a", answer):
        await hear_published(side.bus, side.bus, "judge.offer.*", "judge.offer.a")
        assert await side.bus.ask("judge.work.a", b"work", 10) == b"WORK"


async def check_console(settings: JournalSettings) -> None:
    """Check that a console host can write users and trail."""
    async with open_console_side(settings) as side:
        await side.operators.write(b"sealed")
        await side.audit.append(1, b"line")


async def check_console_kept(settings: JournalSettings) -> None:
    """Check that users and trail are unchanged."""
    async with open_console_side(settings) as side:
        assert await side.operators.read() == b"sealed"
        assert await side.audit.read_after(0) == [b"line"]


async def check_publisher(settings: JournalSettings, fewer_rights: JournalSettings) -> None:
    """Check that a publisher reads leader and log, and can write no log or fleet."""
    connection = NatsConnection(settings)
    await connection.open()
    leader = Bus(connection, settings.name)
    shared = await SharedLog.open(connection, settings)
    table = await SharedTable.open(connection, settings)
    await shared.append(1, b"the leader's")
    async with open_published_side(fewer_rights) as published:
        await hear_published(leader, published.bus, "public", "public")
        assert await published.log.read_after(0) == [b"the leader's"]
        client = published.bus._connection.client
        for subject in ("-log", ".audit"):
            await client.publish(f"heliograph{subject}", b"forged")
        for key in ("fleet.a", "state.operators"):
            await client.publish(f"$KV.heliograph-{key}", b"forged")
        await client.flush()
        await shared.append(2, b"the leader's too")
    assert await shared.read_after(0) == [b"the leader's", b"the leader's too"]
    assert await table.read_new() == {}
    await check_console_kept(settings)
    await connection.close()
