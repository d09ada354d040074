"""Large imports: several processes, limits, and a message for all that is cut."""

import base64
import gzip
import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from heliograph_collector.cli import main
from heliograph_collector.judge import judge
from heliograph_collector.sources.ooni import Complaint, judged_import
from heliograph_collector.sources.ooni.archival import parse_certificate
from heliograph_collector.sources.ooni.judged_import import judge_files
from support.ooni import RST, Json, connect, frame, handshake, query, request, web
from support.waiting import until_now

ROW = {
    "url": "https://www.example.com/",
    "here": [{"system": "93.184.216.34"}, {"connect 93.184.216.34:443": "ok"}],
    "control": {"dns": "93.184.216.34", "ends": {"93.184.216.34:443": "ok ok"}, "page": 200},
}


def write(path: Path, documents: list[Json]) -> Path:
    body = "".join(json.dumps(d) + "\n" for d in documents).encode()
    path.write_bytes(gzip.compress(body) if path.suffix == ".gz" else body)
    return path


def signal(country: str, number: int, outcome: str) -> Json:
    url = "https://chat.signal.org/"
    keys: Json = {
        "queries": query("system", "chat.signal.org", "13.248.212.1"),
        "tcp_connect": [connect("13.248.212.1:443", "ok")],
        "tls_handshakes": [handshake("13.248.212.1:443", outcome, "chat.signal.org")],
        "requests": [request(url, 200 if outcome == "ok" else outcome)],
    }
    return frame("signal", keys, probe_cc=country, report_id=f"r{number}")


def test_processes_give_the_same_in_the_same_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of one measurement, so that other countries are in other processes."""
    monkeypatch.setattr(judged_import, "BATCH_BYTES", 1)
    elsewhere = [signal(country, 1, "ok") for country in ("IT", "BR")]
    mixed = [signal("KZ", 0, RST), *elsewhere, web(ROW), {"x": 1}]
    path = write(tmp_path / "m.jsonl", mixed * 3)
    alone = list(judge_files([path], judge, processes=1))
    assert list(judge_files([path], judge, processes=2)) == alone
    assert [isinstance(x, Complaint) for x in alone] == [False, False, False, False, True] * 3
    first = alone[0]
    assert not isinstance(first, Complaint)
    assert first.row["verdict"] == "blocked"
    assert first.row["confidence"] > 0.5, "others reached it, so it is no guess"


def is_running(process: str) -> bool:
    """Return whether a process runs; a zombie has no command line."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes() != b""
    except OSError:
        return False


def test_processes_end_with_the_import_that_was_killed(tmp_path: Path) -> None:
    """Worker processes end with a killed import.

    It writes more than a pipe holds, so that it waits for its reader until it is killed.
    """
    path = write(tmp_path / "m.jsonl", [web(ROW)] * 400)
    command = [sys.executable, "-m", "heliograph_collector", "import", "ooni", "--json"]
    options = ["--jobs", "2", "--data", str(tmp_path / "none"), str(path)]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE) as started:
        assert started.stdout is not None
        assert started.stdout.readline()
        children = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
        started.kill()
    assert len(children) >= 2
    until_now(lambda: not any(map(is_running, children)))


@pytest.mark.parametrize("wrong", ["0", "-1", "many", "257", ""])
def test_a_wrong_number_of_jobs_is_refused(
    wrong: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["import", "ooni", f"--jobs={wrong}", str(tmp_path)])
    assert "must be a whole number from 1 to 256" in capsys.readouterr().err


def test_max_expanded_stops_a_file_with_a_clear_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "m.jsonl.gz", [web(ROW)] * 10)
    size = len(json.dumps(web(ROW))) + 1
    command = ["import", "ooni", "--json", "--summary", "--max-expanded", str(3 * size), str(path)]
    assert main(command) == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 3
    complaint, summary = err.splitlines()
    assert f"line 4: the file is too large: what follows {3 * size} bytes" in complaint
    assert "--max-expanded" in complaint
    assert json.loads(summary) == {"read": 3, "left_out": 1, "read_in_part": 0, "stored": 0}


@pytest.mark.parametrize("wrong", ["0", "-1", "1 GiB", ""])
def test_max_expanded_is_a_number_of_bytes(wrong: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["import", "ooni", f"--max-expanded={wrong}", str(tmp_path)])
    assert stopped.value.code == 2


def test_a_list_that_is_cut_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    measured = web(ROW)
    measured["test_keys"]["tcp_connect"] *= 600
    ends = {f"1.0.{n // 250}.{n % 250}:443": {"status": True} for n in range(520)}
    measured["test_keys"]["control"]["tcp_connect"] = ends
    path = write(tmp_path / "m.jsonl", [measured, web(ROW)])
    assert main(["import", "ooni", "--json", "--summary", str(path)]) == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    cut, summary = err.splitlines()
    assert "line 1: read in part: 96 of its rows" in cut, "88 connections and 8 of the helper"
    assert json.loads(summary) == {"read": 2, "left_out": 0, "read_in_part": 1, "stored": 0}


def test_odd_certificates_bring_no_warnings_of_libraries(national_root: Json) -> None:
    """A serial number of zero is one of the things that the parser warns about."""
    der = base64.b64decode(national_root["data"]).replace(b"\x02\x01\x07", b"\x02\x01\x00", 1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        certificate = parse_certificate(der)
    assert certificate is not None
    assert not caught
