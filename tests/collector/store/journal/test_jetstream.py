"""The journal on a real nats-server: differences to SQLite, and error sentences.

The suite that both pass is test_journal.py; tests/scenarios/test_journal_cluster.py has three
servers, of which some are killed.
"""

import asyncio
import platform
import shutil
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import nats
import pytest
import trustme

from heliograph_collector.cli.doctor import check_leader
from heliograph_collector.cli.finding import Level
from heliograph_collector.config.journal_settings import JournalSettings
from heliograph_collector.model.records import JournalRow, RowKind
from heliograph_collector.store.journal.jetstream import lease
from heliograph_collector.store.journal.jetstream.connection import NatsConnection
from heliograph_collector.store.journal.jetstream.journal import JetStreamJournal, open_jetstream
from heliograph_collector.store.journal.journal import (
    JournalBusyError,
    JournalError,
    JournalFullError,
)
from heliograph_collector.store.journal.opening import (
    describe_servers,
    open_journal,
)
from support.nats_servers import NatsServers, nats_servers
from support.ports import refusing_port

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("nats")]
ANNA = b"A" * 16
CLUSTER = Path(__file__).parents[4] / "deploy" / "cluster"
LOST = JournalRow(kind=RowKind.LOST, agent=ANNA, received_us=5)


def envelope(sequence: int, body: bytes = b"body", at_us: int = 1_000) -> JournalRow:
    return JournalRow(
        kind=RowKind.ENVELOPE, agent=ANNA, sequence=sequence, received_us=at_us, body=body
    )


async def open_and_close(settings: JournalSettings, data: Path) -> None:
    async with open_jetstream(settings, data):
        pass


@asynccontextmanager
async def jetstream(settings: JournalSettings) -> AsyncIterator[nats.js.JetStreamContext]:
    client = await nats.connect(list(settings.urls))
    yield client.jetstream()
    await client.close()


async def test_unanswered_rows_are_appended_once(tmp_path: Path) -> None:
    """Rows without an answer are appended once.

    The server stalls, as one without a quorum does, and stores later what was sent.
    """
    with nats_servers(tmp_path) as servers:
        async with open_jetstream(servers.settings("j"), tmp_path / "data") as journal:
            await journal.append([envelope(1)])
            servers.signal(0, signal.SIGSTOP)
            for row in (envelope(2), LOST):
                with pytest.raises(JournalBusyError, match="no quorum"):
                    await journal.append([row], deadline_s=0.3)
            servers.signal(0, signal.SIGCONT)
            assert await journal.append([LOST], deadline_s=60) == [3]
            assert await journal.append([envelope(2)], deadline_s=60) == [None]
            assert [r.kind.value for r in await journal.read(0, 10)] == [
                "envelope", "envelope", "lost",
            ]  # fmt: skip
            assert await journal.append([LOST]) == [4], "a second loss is a row of its own"
            assert await journal.trim(4, 5_000) == 1, "a late message might bring the second back"
            assert await journal.append([envelope(1), envelope(2)]) == [None, None]


async def test_rows_are_read_from_the_server_as_from_memory(
    settings: JournalSettings, tmp_path: Path
) -> None:
    async with open_jetstream(settings, tmp_path) as journal:
        rows = [envelope(n, body=bytes([n]) * 50, at_us=n) for n in range(1, 101)]
        await journal.append([*rows, LOST])
        await journal.trim(40, 60)
        remembered = await journal.read(0, 1_000)
        assert [r.position for r in remembered] == list(range(41, 102))
    async with open_jetstream(settings, tmp_path) as again:
        assert await again.read(0, 1_000) == remembered
        assert await again.read(60, 7) == remembered[20:27]
        async with jetstream(settings) as servers:
            await servers.purge_stream(settings.name)
        assert await again.read(40, 60) == remembered[:60], "the next reader needs no server"


async def test_position_follows_rows_whose_answer_was_lost(
    settings: JournalSettings, tmp_path: Path
) -> None:
    async with open_jetstream(settings, tmp_path) as journal, jetstream(settings) as js:
        await journal.append([envelope(1)])
        message = await js.get_msg(settings.name, seq=1)
        await js.publish(f"{settings.name}.presence.00", message.data or b"")
        assert journal.position == 1
        await journal.mark_alive(1)
        assert journal.position == 2
        assert await journal.wait_beyond(1, 0)


async def test_full_stream_refuses_and_loses_nothing(
    nats_server: NatsServers, tmp_path: Path
) -> None:
    settings = nats_server.settings("full", max_bytes=60_000)
    async with open_jetstream(settings, tmp_path) as journal:
        positions: list[int] = []
        with pytest.raises(JournalFullError, match="raise max_gib"):
            await append_all(journal, positions)
        assert [r.position for r in await journal.read(0, 1_000)] == positions
        assert len(positions) > 5
        assert await journal.trim(positions[-2], 5_000) == len(positions) - 1
        assert await journal.append([envelope(1_000, bytes(4_000))]) == [positions[-1] + 1]
        assert await journal.append([envelope(1, bytes(4_000))]) == [None]


async def test_one_collector_owns_a_journal(
    settings: JournalSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW_S", 0.05)
    async with open_jetstream(settings, tmp_path / "one") as journal:
        with pytest.raises(JournalError, match="Another collector uses this journal: stop"):
            await open_and_close(settings, tmp_path / "two")
        assert await journal.append([envelope(1)]) == [1]
        async with jetstream(settings) as js:  # as if it had expired, and another was started
            await (await js.key_value(f"{settings.name}-lease")).put("owner", b"another")
        with pytest.raises(JournalError, match="Another collector has taken the journal"):
            await append_until_refused(journal)
    async with jetstream(settings) as js:
        await (await js.key_value(f"{settings.name}-lease")).delete("owner")
    await open_and_close(settings, tmp_path / "two")
    await open_and_close(settings, tmp_path / "one")


async def append_all(journal: JetStreamJournal, positions: list[int]) -> None:
    for sequence in range(1, 100):
        (position,) = await journal.append([envelope(sequence, bytes(4_000))])
        assert position is not None
        positions.append(position)


async def append_until_refused(journal: JetStreamJournal) -> None:
    async with asyncio.timeout(60):
        while True:
            await journal.append([LOST])
            await asyncio.sleep(0.02)


async def test_collector_takes_its_own_lease_and_a_copy_of_its_directory_does_not(
    settings: JournalSettings, tmp_path: Path
) -> None:
    """A collector takes its own lease, and a copy of its directory does not.

    Two with one name would take the lease from each other again and again.
    """
    async with open_jetstream(settings, tmp_path / "one") as journal:
        (tmp_path / "two").mkdir()
        shutil.copy(tmp_path / "one" / "journal.owner", tmp_path / "two")
        with pytest.raises(JournalError, match="Another collector uses this journal"):
            await open_and_close(settings, tmp_path / "two")
        assert await journal.append([LOST]) == [1]
        assert platform.node() in (await asyncio.to_thread(check_leader, settings)).sentence
        async with jetstream(settings) as js:
            left = await (await js.key_value(f"{settings.name}-lease")).get("owner")
    assert (await asyncio.to_thread(check_leader, settings)).level is Level.WARNING
    async with jetstream(settings) as js:  # as a process that was killed leaves it
        await (await js.key_value(f"{settings.name}-lease")).put("owner", left.value or b"")
    with pytest.raises(JournalError, match="free within a minute"):
        await open_and_close(settings, tmp_path / "two")
    await open_and_close(settings, tmp_path / "one")


async def test_lost_bucket_is_told(settings: JournalSettings, tmp_path: Path) -> None:
    """A lost bucket is reported.

    Without its ranges a copy of what was trimmed would count twice.
    """
    async with open_jetstream(settings, tmp_path) as journal:
        await journal.append([envelope(1)])
    async with jetstream(settings) as js:
        await js.delete_key_value(f"{settings.name}-state")
    with pytest.raises(JournalError, match="does not belong to the stream"):
        await open_and_close(settings, tmp_path)


async def test_new_stream_is_a_new_journal(settings: JournalSettings, tmp_path: Path) -> None:
    async with open_jetstream(settings, tmp_path) as journal:
        await journal.append([envelope(1, at_us=1), envelope(2, at_us=9)])
        await journal.trim(1, 5)
    async with jetstream(settings) as js:
        await js.delete_stream(settings.name)
    async with open_jetstream(settings, tmp_path) as again:
        assert again.id != journal.id
        assert await again.append([envelope(1), envelope(2)]) == [None, 1]


async def test_foreign_streams_and_messages_are_refused(
    settings: JournalSettings, tmp_path: Path
) -> None:
    async with jetstream(settings) as js:
        await js.add_stream(name=settings.name, subjects=[f"{settings.name}.>"])
        with pytest.raises(JournalError, match="is not a journal: give"):
            await open_and_close(settings, tmp_path)
        await js.delete_stream(settings.name)
        async with open_jetstream(settings, tmp_path) as journal:
            await js.publish(f"{settings.name}.presence.0", b"hello")
            await journal.mark_alive(1)
            with pytest.raises(JournalError, match="Message 1 of the journal's stream is no row"):
                await journal.read(0, 10)


async def test_replicas_beyond_the_servers_are_refused(
    nats_server: NatsServers, tmp_path: Path
) -> None:
    with pytest.raises(JournalError, match="replicas > 1 not supported"):
        await open_and_close(nats_server.settings("three", replicas=3), tmp_path)


async def test_servers_that_have_not_met_yet_are_asked_again(settings: JournalSettings) -> None:
    """Servers that do not know each other yet are asked again.

    The error is that of three real servers started with a collector (nats-server 2.15).
    """
    refused = nats.js.errors.BadRequestError(
        code=400, err_code=10_005, description="no suitable peers for placement, peer offline"
    )
    answers: list[Exception | None] = [refused, refused, None]

    async def create() -> None:
        if (answer := answers.pop(0)) is not None:
            raise answer

    connection = NatsConnection(settings)
    await connection.open()
    await connection.ask(create)
    connection.patience_s = 0
    answers = [refused]
    with pytest.raises(JournalError, match="no suitable peers"):
        await connection.ask(create)
    await connection.close()


async def test_cancellation_that_the_library_swallows_ends_the_task(
    settings: JournalSettings,
) -> None:
    """A cancellation that the library swallows still ends the task.

    `asyncio.wait_for` of Python 3.11 swallows it where the answer comes in the same turn.
    """
    connection = NatsConnection(settings)
    await connection.open()
    is_asked = asyncio.Event()

    async def answer_at_the_end() -> None:
        is_asked.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        asking = group.create_task(connection.ask(answer_at_the_end))
        await is_asked.wait()
        asking.cancel()
    assert asking.cancelled()
    await connection.close()


async def test_arrivals_are_read_by_the_servers_time(
    settings: JournalSettings, tmp_path: Path
) -> None:
    arrival = JournalRow(kind=RowKind.ARRIVAL, agent=ANNA, received_us=7)  # its host's clock is off
    async with open_jetstream(settings, tmp_path) as journal:
        await journal.append([envelope(1), arrival, LOST])
        now_us = time.time_ns() // 1_000
        (read,) = await journal.read_arrivals(now_us - 600_000_000)
        assert (read.agent, read.received_us) == (ANNA, 7)
        assert await journal.read_arrivals(now_us + 600_000_000) == []


async def test_doctor_describes_servers(settings: JournalSettings, tmp_path: Path) -> None:
    assert "creates it at its first start" in await describe_servers(settings)
    await open_and_close(settings, tmp_path)
    assert "only three survive the loss" in await describe_servers(settings)


async def test_journal_in_the_data_directory_is_not_left_behind(
    settings: JournalSettings, tmp_path: Path
) -> None:
    async with open_journal(tmp_path, None):
        pass
    with pytest.raises(JournalError, match="holds the journal of this collector"):
        async with open_journal(tmp_path, settings):
            pass


async def test_missing_server_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heliograph_collector.store.journal.jetstream.connection.CONNECT_S", 0.5)
    with refusing_port() as port:
        settings = JournalSettings(urls=(f"nats://127.0.0.1:{port}",))
        with pytest.raises(
            JournalError, match=r"cannot be used \(.*Connect call failed.*or start them"
        ):
            await open_and_close(settings, tmp_path)


async def test_credentials_and_certificates(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(ca_file := tmp_path / "ca.pem")
    pair = authority.issue_cert("127.0.0.1")
    pair.private_key_pem.write_to_path(key_file := tmp_path / "key.pem")
    pair.cert_chain_pems[0].write_to_path(certificate_file := tmp_path / "certificate.pem")
    options = (
        f"tls {{ cert_file: '{certificate_file}', key_file: '{key_file}', ca_file: '{ca_file}', "
        "verify: true }\nauthorization { user: anna, password: secret }"
    )
    (good := tmp_path / "good").write_text("anna:secret\n")
    (bad := tmp_path / "bad").write_text("anna:wrong\n")
    (empty := tmp_path / "empty").write_text("two words\n")
    (seed := tmp_path / "seed").write_text("SU" + 56 * "A")
    files = {
        "ca_file": ca_file, "certificate_file": certificate_file, "key_file": key_file,
        "credentials_file": good,
    }  # fmt: skip
    with nats_servers(tmp_path, options=options, scheme="tls") as servers:
        async with open_jetstream(servers.settings("j", **files), tmp_path / "data") as journal:
            assert await journal.append([envelope(1)]) == [1]
        for changed, sentence in (
            ({"credentials_file": bad}, "Authorization.*correct credentials_file"),
            ({"credentials_file": empty}, "must hold a .creds file"),
            ({"credentials_file": seed}, "cannot be used"),
            ({"credentials_file": tmp_path / "none"}, "cannot be read"),
            ({"ca_file": None}, "certificate.*correct ca_file"),
            ({"ca_file": key_file}, "The TLS files of store.journal cannot be used"),
        ):
            with pytest.raises(JournalError, match=sentence) as raised:
                await open_and_close(servers.settings("j", **files | changed), tmp_path / "data")
            assert "secret" not in str(raised.value)
            assert "wrong" not in str(raised.value)


async def test_servers_with_small_messages_are_refused(tmp_path: Path) -> None:
    with nats_servers(tmp_path) as servers:
        config = tmp_path / "server0.conf"
        servers.kill(0)
        config.write_text(config.read_text().replace("max_payload: 4MB", ""))
        servers.start_as_configured(0)
        servers.wait(0)
        with pytest.raises(JournalError, match="set max_payload: 4MB"):
            await open_and_close(servers.settings("j"), tmp_path / "data")
