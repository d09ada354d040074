"""Files in many forms, broken and hostile ones: none of them stops the rest."""

import gzip
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph_collector.cli import main
from heliograph_collector.judge import judge
from heliograph_collector.sources.ooni import TEST_READERS, UnreadableError, files
from support.examples import limit_examples
from support.ooni import REFUSED, Json, connect, frame, import_document, judge_document, web

ROW = {
    "url": "https://www.example.com/",
    "here": [
        {"system": "93.184.216.34"},
        {"connect 93.184.216.34:443": "ok"},
        {"tls 93.184.216.34:443": "connection_reset"},
    ],
    "control": {"dns": "93.184.216.34", "ends": {"93.184.216.34:443": "ok ok"}, "page": 200},
}
KEYS = {
    "input", "test_name", "probe_cc", "probe_asn", "verdict", "layer", "method", "accessible",
    "blocking", "confidence", "rule", "reachable_endpoints", "endpoints", "function",
    "confirmed", "fingerprint",
}  # fmt: skip


Run = Callable[..., tuple[int, list[Json], list[str]]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a runner of `import ooni --json`: exit code, rows and complaints."""

    def command(*paths: str) -> tuple[int, list[Json], list[str]]:
        code = main(["import", "ooni", "--json", *paths])
        out, err = capsys.readouterr()
        return code, [json.loads(x) for x in out.splitlines()], err.splitlines()

    return command


def write(path: Path, *documents: object, indent: int | None = None) -> str:
    text = "\n".join(json.dumps(d, indent=indent) for d in documents) + "\n"
    body = text.encode()
    path.write_bytes(gzip.compress(body) if path.suffix == ".gz" else body)
    return str(path)


def test_import_prints_a_row_for_each_measurement(tmp_path: Path, run: Run) -> None:
    code, lines, said = run(write(tmp_path / "m.jsonl", web(ROW), web(ROW, "0.4")))
    assert (code, said) == (0, [])
    assert [set(x) for x in lines] == [KEYS, KEYS]
    assert lines[0] == {
        "input": "https://www.example.com/", "test_name": "web_connectivity", "probe_cc": "IT",
        "probe_asn": "AS137", "verdict": "blocked", "layer": "tls", "method": "reset_after_hello",
        "accessible": False, "blocking": "http-failure", "confidence": 0.85,
        "rule": "tls.reset_after_hello", "reachable_endpoints": 0, "endpoints": 0, "function": "",
        "confirmed": False, "fingerprint": "",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["m.json", "m.json.gz", "m.jsonl", "m.jsonl.gz"])
@pytest.mark.parametrize("indent", [None, 2])
def test_import_reads_every_form_of_file(
    tmp_path: Path, run: Run, name: str, indent: int | None
) -> None:
    code, lines, said = run(write(tmp_path / name, web(ROW), indent=indent))
    assert (code, len(lines), said) == (0, 1, [])


def test_import_reads_lists_folders_and_files_with_a_broken_first_line(
    tmp_path: Path, run: Run
) -> None:
    (tmp_path / "deep").mkdir()
    write(tmp_path / "deep" / "list.json", [web(ROW), web(ROW)])
    write(tmp_path / "one.jsonl.gz", web(ROW))
    (tmp_path / "notes.txt").write_text("not looked at")
    code, lines, said = run(str(tmp_path))
    assert (code, len(lines), said) == (0, 3, [])
    path = tmp_path / "m.json"
    path.write_text("{broken\n" + json.dumps(web(ROW)) + "\n")
    code, lines, _ = run(str(path))
    assert (code, len(lines)) == (1, 1)


def test_import_names_broken_lines_and_reads_the_rest(tmp_path: Path, run: Run) -> None:
    good = json.dumps(web(ROW))
    bad = [
        "{", "[1, 2]", '"text"', "null", json.dumps({"no": "test"}),
        json.dumps(frame("dash", {})), json.dumps(web(ROW) | {"input": "ftp://x/"}),
        "[" * 100_000, '{"test_name": 1' + "0" * 5000 + "}",
    ]  # fmt: skip
    path = tmp_path / "m.jsonl"
    path.write_text("\n".join([good, *bad, "", good]) + "\n")
    code, lines, said = run(str(path))
    assert (code, len(lines)) == (1, 2)
    numbers = [int(s.split(", line ")[1].split(":")[0]) for s in said]
    assert sorted(set(numbers)) == list(range(2, 2 + len(bad)))
    assert all(s.startswith(f"heliograph-collector: {path}, line ") for s in said)
    assert "not known here" in "\n".join(said)


def test_import_complains_of_a_folder_from_which_nothing_is_read(tmp_path: Path, run: Run) -> None:
    (tmp_path / "measurements.tar").write_bytes(b"")
    code, rows, complaints = run(str(tmp_path))
    assert (code, rows) == (1, [])
    (complaint,) = complaints
    assert f"{tmp_path}: it has no file ending in .json, .jsonl, .json.gz" in complaint


def test_import_complains_once_of_each_unreadable_file(tmp_path: Path, run: Run) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "empty.json").write_bytes(b"")
    (tmp_path / "torn.json.gz").write_bytes(gzip.compress(b"{}" * 500)[:-12])
    (tmp_path / "no.json.gz").write_bytes(b"not gzip")
    (tmp_path / "odd.json").write_bytes(b"\xff\xfe\x00")
    names = ("nowhere.json", "pipe.json", "empty.json", "torn.json.gz", "no.json.gz", "odd.json")
    code, lines, said = run(*(str(tmp_path / name) for name in names))
    assert (code, lines) == (1, [])
    assert len(said) == len(names)


def test_import_leaves_out_oversized_documents(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_BYTES", 20_000)
    large = web(ROW) | {"padding": "x" * 50_000}
    code, lines, said = run(write(tmp_path / "m.jsonl", web(ROW), large, web(ROW)))
    assert (code, len(lines), len(said)) == (1, 2, 1)
    assert "line 2" in said[0]


def test_import_stops_at_a_decompression_bomb(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_EXPANDED_BYTES", 1_000_000)
    path = tmp_path / "bomb.jsonl.gz"
    with gzip.open(path, "wb") as file:
        for _ in range(64):
            file.write(b" " * 1_000_000 + b"\n")
    code, lines, said = run(str(path))
    assert (code, lines) == (1, [])
    assert "too large" in said[-1]


def test_import_without_json_prints_a_sentence_and_without_paths_is_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", "ooni", write(tmp_path / "m.json", web(ROW))]) == 0
    said = capsys.readouterr().out
    assert "https://www.example.com/: blocked (tls, reset_after_hello)" in said
    with pytest.raises(SystemExit) as stopped:
        main(["import", "ooni"])
    assert stopped.value.code == 2


def test_issuer_of_interception_is_kept(national_root: Json) -> None:
    measured = web(ROW)
    row = measured["test_keys"]["tls_handshakes"][0]
    row |= {"failure": "ssl_unknown_authority", "peer_certificates": [national_root]}
    seen = import_document(measured)
    (verdict,) = judge(seen.record, seen.control)
    assert (verdict.method, verdict.issuer) == ("tls_interception", "CN=Qaznet Trust Network,C=KZ")


words = st.sampled_from(
    ["", "ok", "connection_reset", "dns_nxdomain_error", "1.2.3.4", "1.2.3.4:443", "::1", "http://x/",
     "https://www.example.com/", "GET", "A", "getaddrinfo", "doh", "depth=1", "depth=99", "\ud800"]
)  # fmt: skip
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
LISTS = ("queries", "tcp_connect", "tls_handshakes", "requests", "x_dns_duplicate_responses")
FIELDS = (
    "failure", "status", "ip", "port", "address", "tags", "transaction_id", "request", "response",
    "hostname", "answers", "engine", "query_type", "t", "t0", "peer_certificates", "server_name",
)  # fmt: skip
rows = st.lists(st.dictionaries(st.sampled_from(FIELDS), values, max_size=6), max_size=3)
keys = st.dictionaries(st.sampled_from(LISTS), rows | values, max_size=5)
HELPER = st.sampled_from(("dns", "tcp_connect", "tls_handshake", "http_request", "ip_info"))
test_keys = st.builds(lambda k, c: {**k, "control": c}, keys, st.dictionaries(HELPER, values))
BASE = ("probe_cc", "probe_asn", "measurement_start_time", "annotations")
documents = st.fixed_dictionaries(
    {"test_name": st.sampled_from(sorted(TEST_READERS)), "test_keys": test_keys | values},
    optional=dict.fromkeys(BASE, values) | {"input": words},
)


@settings(max_examples=limit_examples(300), deadline=None)
@given(documents)
def test_any_document_is_judged_or_refused(document: dict[str, Any]) -> None:
    with suppress(UnreadableError):
        json.dumps(judge_document(document))


@pytest.mark.parametrize("said", ["AS137", "as137", "137", 137])
def test_asn_is_read_in_any_form(said: object) -> None:
    assert import_document(web(ROW) | {"probe_asn": said}).probe_asn == "AS137"


def test_input_is_taken_from_the_first_request() -> None:
    measured = web(ROW) | {"input": None}
    measured["test_keys"]["requests"] = [
        {"request": {"url": "https://www.example.com/"}, "failure": "connection_reset"}
    ]
    assert import_document(measured).input == "https://www.example.com/"


def test_measurement_without_url_is_unknown() -> None:
    found = judge_document(frame("web_connectivity", None))
    assert (found["input"], found["verdict"]) == (None, "unknown")


def test_import_prints_no_control_characters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = web(ROW) | {"input": "http://\ud800x/\x1b[31m\nverdict: reachable"}
    name = tmp_path / "\x1b]0;owned\x07.json"
    write(name, hostile, {"test_name": "\x1b[2J"})
    assert main(["import", "ooni", str(name)]) == 1
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert len(out.splitlines()) == 1


@pytest.mark.long
def test_measurement_full_of_addresses_is_judged() -> None:
    """A measurement full of addresses is judged in time.

    It once took minutes: every address was compared with every other for every connection.
    """
    answers = [{"answer_type": "A", "ipv4": f"93.{n // 250}.{n % 250}.7"} for n in range(512)]
    asked = {"engine": "udp", "query_type": "A", "failure": None, "answers": answers}
    keys = {
        "queries": [asked | {"hostname": "www.example.com"}] * 200 + [asked] * 200,
        "tcp_connect": [connect(f"94.{n // 250}.{n % 250}.7:80", REFUSED) for n in range(512)],
    }
    found = judge_document(frame("web_connectivity", keys, input="http://www.example.com/"))
    assert found["verdict"] == "unknown"
