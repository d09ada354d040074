"""`incidents`: an operator with a shell and no browser reads, confirms, corrects and comments."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

from heliograph import local_socket
from heliograph.durable_file import read_lines
from heliograph_collector import cli
from heliograph_collector.console.incident_socket import SOCKET_FILE, CommandServer
from heliograph_collector.fleet import Fleet
from heliograph_collector.fleet.audit_log import AuditEntry, AuditLog
from heliograph_collector.incidents.incident import Incident, IncidentState
from heliograph_collector.incidents.log_file import LOG_FILE_NAME, EntryBasis, verify_lines
from heliograph_collector.incidents.log_writer import IncidentLogWriter
from heliograph_collector.incidents.operator_entries import OperatorEntry
from heliograph_collector.incidents.state import LogEntry
from support.fake_feed import NOW_US, World
from support.incident_book import KEY, MINUTE, VERSIONS, ago, silence

DOUBT = silence(
    state=IncidentState.SUSPECTED, confirmed_us=None, confidence=0.5, held=("few_votes",)
)
ID = DOUBT.id


class Terminal(StringIO):
    """A terminal at which Ctrl-D is typed."""

    def isatty(self) -> bool:
        return True


class Serve:
    """The part of a running collector that `incidents` speaks with."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.ledger = IncidentLogWriter(data / LOG_FILE_NAME, KEY, 5)
        self._now_us = NOW_US - 20 * MINUTE
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._stop: Callable[[], object] = lambda: None
        self._is_running = threading.Event()

    def find(self, *incidents: Incident) -> None:
        self._now_us += 2 * MINUTE
        grounds = EntryBasis(1, 9, ago(60), self._now_us, VERSIONS)
        self.ledger.write_changes(incidents, grounds, self._now_us)

    async def preview_operator_entry(self, operator_entry: OperatorEntry) -> LogEntry:
        return self.ledger.preview_operator_entry(operator_entry, self._now_us)

    async def record_operator_entry(self, operator_entry: OperatorEntry) -> LogEntry:
        return self.ledger.write_operator_entry(operator_entry, self._now_us)

    def start(self) -> None:
        self._thread.start()
        self._is_running.wait()

    def stop(self) -> None:
        self._stop()
        if self._thread.ident:
            self._thread.join()

    async def _serve(self) -> None:
        world = World()
        feed = world.feed(book=self.ledger.book, public_key=KEY.public, k_anonymity=5)
        server = CommandServer(self, feed, AuditLog(self.data), self.data, world.clock)
        task = asyncio.create_task(server.run())
        loop = asyncio.get_running_loop()
        self._stop = lambda: loop.call_soon_threadsafe(task.cancel)
        self._is_running.set()
        with suppress(asyncio.CancelledError):
            await task

    def audit(self) -> list[AuditEntry]:
        return AuditLog(self.data).read_page(None, 50)[0]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    Fleet(tmp_path).close()
    made = Serve(tmp_path)
    made.find(DOUBT)
    yield made
    made.stop()


def run(serve: Serve, *words: str) -> int:
    try:
        return cli.main(["incidents", *words, "--data", str(serve.data)])
    except SystemExit as end:
        return int(end.code or 0)


def test_withdrawal_is_in_the_log_and_in_the_trail_with_who_and_why(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    serve.start()
    words = ("withdraw", ID[:6], "--note", "A test of ours.", "--by", "vera")
    assert run(serve, *words) == 1, "nobody was asked"
    shown = capsys.readouterr()
    assert "Readers will see:" in shown.out
    assert "add --yes to publish" in shown.err
    assert serve.audit() == []
    assert run(serve, *words, "--yes") == 0
    assert "Published." in capsys.readouterr().out
    history = serve.ledger.book.history_of(ID)
    assert history is not None
    assert history.state().withdrawn_by == "operator"
    (entry,) = serve.audit()
    assert (entry.who, entry.did) == ("command line: vera", "incident.withdrawn")
    assert (entry.about, entry.note) == (ID, "A test of ours.")
    body = serve.ledger.book.entries[-1].line.decode()
    assert "A test of ours." in body
    assert "vera" not in body, "the name is public by --named alone"
    proof = verify_lines(read_lines(serve.data / LOG_FILE_NAME), KEY.public)
    assert (proof.entries, proof.bad) == (2, None)


def test_list_and_show_need_no_running_collector(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(serve, "list") == 0
    assert ID in capsys.readouterr().out
    assert run(serve, "list", "--country", "uz", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []
    assert run(serve, "show", ID[:4], "--json") == 0
    assert json.loads(capsys.readouterr().out)["state"] == "suspected"
    serve.start()
    assert run(serve, "annotate", ID, "--note", "Snow.", "--by", "vera", "--named", "--yes") == 0
    capsys.readouterr()
    assert run(serve, "show", ID[:4]) == 0
    assert "operator, vera, note by the operator: Snow." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("withdraw", ID), "A reason is required to withdraw"),
        (("annotate", ID), "A note wants some text"),
        (("confirm", "ffff"), "no incident's id begins with 'ffff'"),
        (("confirm", ID, "--note", "\u202e"), "invisible character U+202E"),
        (("confirm", ID, "--named"), "give that too"),
    ],
)
def test_refusals_name_their_remedy_and_leave_no_entry(
    serve: Serve, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], reason: str
) -> None:
    serve.start()
    assert run(serve, *words, "--yes") == 1
    assert reason in capsys.readouterr().err
    assert len(serve.ledger.book.entries) == 1
    assert serve.audit() == []


def test_an_incident_that_changed_since_it_was_shown_is_not_judged(
    serve: Serve, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    serve.start()

    def closes_meanwhile() -> None:
        serve.find(replace(DOUBT, state=IncidentState.CLOSED, closed_us=NOW_US))

    monkeypatch.setattr("heliograph_collector.cli.incidents._ask", closes_meanwhile)
    assert run(serve, "confirm", ID) == 1
    assert "It has changed since you looked" in capsys.readouterr().err
    assert serve.audit() == []


def test_a_trail_that_cannot_be_written_publishes_nothing(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    serve.start()
    (serve.data / "audit.jsonl").mkdir()
    assert run(serve, "confirm", ID, "--yes") == 1
    assert "so nothing was said" in capsys.readouterr().err
    assert len(serve.ledger.book.entries) == 1


def test_without_a_running_collector_the_command_names_what_to_start(
    serve: Serve, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heliograph_collector.console.incident_socket._START_TIMEOUT_S", 0.1)
    assert run(serve, "confirm", ID, "--yes") == 1
    assert "start `serve`, and in a cluster run this command where the leader runs" in (
        capsys.readouterr().err
    )


def test_a_country_that_is_none_is_refused(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    for claim in ("Kazakhstan", "KX"):
        assert run(serve, "list", "--country", claim) == 2, "no incident there would be good news"
        printed = capsys.readouterr()
        assert f"'{claim}' is no country; allowed: a code of ISO 3166-1" in printed.err
        assert printed.out == ""


def test_a_question_without_an_answer_publishes_nothing(
    serve: Serve, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    serve.start()
    monkeypatch.setattr("sys.stdin", Terminal())
    assert run(serve, "confirm", ID) == 1
    assert "nothing was published" in capsys.readouterr().err
    assert serve.audit() == []


def test_a_bug_in_an_entry_ends_no_collector(
    serve: Serve, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    serve.start()
    with monkeypatch.context() as patch:
        patch.setattr(serve.ledger, "preview_operator_entry", None)
        assert run(serve, "confirm", ID, "--yes") == 1
    assert "broke off: see its log" in capsys.readouterr().err
    assert run(serve, "confirm", ID, "--yes") == 0


def test_a_text_in_another_encoding_is_refused(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    serve.start()
    assert run(serve, "annotate", ID, "--note", "Caf\udce9", "--yes") == 1  # a byte of Latin-1
    assert "is not in UTF-8" in capsys.readouterr().err
    assert serve.audit() == []


@pytest.mark.parametrize(
    ("reply", "error"),
    [(b"", "broke off: see its log, and restart it"), (None, "has not answered for")],
)
def test_a_collector_that_does_not_answer_is_not_said_to_be_off(
    serve: Serve,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    reply: bytes | None,
    error: str,
) -> None:
    monkeypatch.setattr("heliograph_collector.console.incident_socket._REPLY_TIMEOUT_S", 0.1)
    with local_socket.listen(serve.data, SOCKET_FILE) as listener:
        listener.setblocking(True)

        def serve_badly() -> None:
            with listener.accept()[0] as connection:
                if reply is not None:
                    connection.sendall(reply)
                    return
                while connection.recv(65_536):
                    pass

        thread = threading.Thread(target=serve_badly)
        thread.start()
        assert run(serve, "confirm", ID, "--yes") == 1
        thread.join()
    printed = capsys.readouterr().err
    assert f"nothing was published: the collector on {serve.data} {error}" in printed
    assert "start `serve`" not in printed


def test_the_socket_is_the_collectors_own(serve: Serve) -> None:
    serve.start()
    assert run(serve, "acknowledge", ID, "--yes") == 0
    assert (serve.data / SOCKET_FILE).stat().st_mode & 0o777 == 0o600
