"""Results on a memory stick: agent and collector as real programs that never meet.

An agent enrols, loses its collector for good, and hands everything over by file; each result is at
the collector once, and the agent forgets what the receipts name, and nothing else.
"""

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from heliograph import bundle
from heliograph.v1 import envelope_pb2
from heliograph_agent.runtime.volatile_file import VolatileFile
from heliograph_agent.state import State
from support import loopback_plan, serve_process
from support.programs import agent, ask, collector
from support.zstd_library import zstd

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("joined")]


class Hands:
    """One agent and one collector, and the files carried between them."""

    def __init__(self, folder: Path) -> None:
        self.data, self.state = folder / "data", folder / "agent"
        self.stick, self.back = folder / "results.bundle", folder / "results.bundle.receipts"

    def measure(self) -> None:
        ask(agent("run", "--once", "--state", self.state))

    def export(self, *more: str) -> str:
        return ask(agent("export", *more, "--state", self.state))

    def take(self, *, code: int = 0) -> dict[str, object]:
        command = collector("import", "bundle", self.stick, "--json", "--data", self.data)
        told: dict[str, object] = json.loads(ask(command) if code == 0 else failing(command)[0])
        return told

    def queued(self) -> int:
        told = json.loads(ask(agent("status", "--json", "--state", self.state)))
        return int(told["queued_measurements"])

    def taken(self) -> list[int]:
        """Return the sequences of all measurements in the journal."""
        with closing(sqlite3.connect(self.data / "journal.db")) as db:
            bodies = [b for (b,) in db.execute("SELECT body FROM log WHERE kind = 'envelope'")]
        batches = [envelope_pb2.Batch.FromString(zstd.decompress(body)) for body in bodies]
        return sorted(m.sequence for batch in batches for m in batch.measurements)


def failing(command: list[str]) -> tuple[str, str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def measured(joined: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Make a folder with a joined agent that has measured; each test has a copy."""
    folder = shutil.copytree(joined, tmp_path_factory.mktemp("measured") / "hands")
    made = Hands(folder)
    made.measure()
    yield folder
    known = State(made.state).collector()
    assert known is not None
    VolatileFile(known.agent).remove()  # the one part that all copies share


@pytest.fixture
def hands(measured: Path, tmp_path: Path) -> Hands:
    return Hands(shutil.copytree(measured, tmp_path / "hands"))


def test_results_go_over_by_file_once_and_are_forgotten_on_receipt(hands: Hands) -> None:
    hands.export(str(hands.stick))
    first = hands.stick.read_bytes()
    hands.export(str(hands.stick))
    assert hands.stick.read_bytes() == first, "twice is once"
    assert hands.stick.stat().st_mode & 0o777 == 0o600
    waiting = hands.queued()
    assert waiting >= 2, "nothing is removed before a receipt"

    config = loopback_plan.build_config(hands.data.parent)
    with serve_process.served(hands.data, config=config) as served:
        served.wait_for("http")
        told = hands.take()
    assert told["stored"]
    assert (told["rejected"], told["again"]) == (0, 0)
    assert hands.take()["stored"] == 0, "the same bundle again, without a running collector"

    hands.measure()
    hands.export("--receipts", str(hands.back))
    assert hands.queued() >= 2, "what was measured since is kept"
    hands.export(str(hands.stick))
    assert hands.take()["duplicate"] == 0, "and what arrived is in no further bundle"
    hands.export("--receipts", str(hands.back))
    assert hands.queued() == 0
    numbers = hands.taken()
    assert numbers == list(range(1, len(numbers) + 1))


def test_what_a_stick_must_not_do(hands: Hands, tmp_path: Path) -> None:
    hands.export(str(hands.stick))
    whole = hands.stick.read_bytes()

    other = tmp_path / "other"
    other.mkdir()
    ask(collector("invite", "--data", other))  # makes its keys
    _, said = failing(collector("import", "bundle", hands.stick, "--data", other))
    assert "is sealed to another collector" in said

    hands.stick.write_bytes(whole[:-40])
    _, said = failing(collector("import", "bundle", hands.stick, "--data", hands.data))
    assert "cut short" in said
    assert not hands.back.exists(), "and nobody is told that it arrived"

    strange = [b"\xff" * 600, b"", envelope_pb2.Envelope(version=9).SerializeToString()]
    hands.stick.write_bytes(b"".join(bundle.pack_bundle(whole[20:28], strange)))
    told = hands.take(code=1)
    assert told["rejected"] == 3
    assert hands.taken() == []

    hands.back.write_bytes(bundle.RECEIPTS + bytes(200))
    _, said = failing(agent("export", "--receipts", hands.back, "--state", hands.state))
    assert "another collector" in said
    assert hands.queued() >= 2
