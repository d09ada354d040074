"""Mutated files of strangers: each importer reads or refuses them in few steps.

HELIOGRAPH_FUZZ_S is the time for each importer (`make soak`); without it a few hundred inputs.
"""

import base64
import hashlib
import json
import os
import random
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.resources import files
from pathlib import Path

import pytest

from heliograph import keys, trust_chain
from heliograph.bundle import BundleError, check_bundle, pack_bundle, unpack_bundle
from heliograph.codec import epoch_to_pb, measurement_to_pb
from heliograph.failure import Operation
from heliograph.observation import Epoch, Observation
from heliograph.services import parse_services
from heliograph.v1 import envelope_pb2
from heliograph.voice_code import InvalidCodeError, parse_code
from heliograph.yaml_document import YamlError, parse_yaml
from heliograph.zstd_frame import compress_frame
from heliograph_collector.app.commands import RuleVoter, judge_files, load_event
from heliograph_collector.detect.signal_reader import SignalReader
from heliograph_collector.fleet.charter_draft import CharterDraft, format_draft, parse_draft
from heliograph_collector.fleet.keyring import KeysError
from heliograph_collector.fleet.plan_file import parse_plan
from heliograph_collector.fleet.signed_lists import ListsError, parse_signed_bundle
from heliograph_collector.judge.fingerprints.list_reader import FingerprintError, parse_list
from heliograph_collector.model.records import RowKind
from heliograph_collector.model.scope import Scope
from heliograph_collector.sources.complaints import Complaints, ImportRefusedError
from heliograph_collector.sources.csv_table import read_series
from heliograph_collector.sources.entity import CountryNames
from heliograph_collector.sources.ooni.vote_replay import read_ooni_replay
from heliograph_collector.sources.signal_file import read_signals
from heliograph_collector.store.journal.decode import read_rows
from heliograph_collector.store.pseudonyms import Pseudonyms
from heliograph_lab.evaluate.scenario_file import list_shipped, load_scenario
from support import results
from support.examples import limit_examples
from support.fuzzing import Fuzzer
from support.journal_rows import SECRET, upload

FIXTURES = Path(__file__).parents[1] / "heliograph_lab/evaluate/event/fixtures"
SERVICES = files("heliograph").joinpath("services.yml").read_bytes()
PLAN = b"""tasks:
- {experiment: dns, target: "example.org", every_s: 600}
- {experiment: web, target: "https://example.org/", every_s: 600}
limits: {bytes_per_day: 1000000}
"""
OONI = {
    "test_name": "web_connectivity", "input": "https://www.example.com/", "probe_cc": "KZ",
    "probe_asn": "AS9198", "measurement_start_time": "2022-01-05 12:00:00",
    "report_id": "20220105T120000Z_x", "test_keys": {
        "queries": [{"hostname": "www.example.com", "query_type": "A", "engine": "system",
                     "failure": None, "answers": [{"answer_type": "A", "ipv4": "93.184.216.34"}]}],
        "tcp_connect": [{"ip": "93.184.216.34", "port": 443,
                         "status": {"success": False, "failure": "generic_timeout_error"}}],
        "requests": [{"failure": None, "request": {"url": "https://www.example.com/"},
                      "response": {"code": 200, "body": "<title>x</title>", "headers": {}}}],
        "control": {"tcp_connect": {"93.184.216.34:443": {"status": True, "failure": None}},
                    "dns": {"addrs": ["93.184.216.34"], "failure": None}},
    },
}  # fmt: skip
SCENARIO = min((path.read_bytes() for path in list_shipped()), key=len)
STEP = Observation(operation=Operation.RESOLVE, started_us=0, duration_us=3)
BATCH = envelope_pb2.Batch(
    agent=bytes(16),
    sequence=1,
    epochs=[epoch_to_pb(Epoch(id="e1", started_us=1, country="KZ"))],
    measurements=[measurement_to_pb(results.measurement("example.org", observations=(STEP,)))],
).SerializeToString()
REFUSALS = (
    BundleError, FingerprintError, ImportRefusedError, InvalidCodeError, KeysError, ListsError,
    YamlError,
)  # fmt: skip
SECONDS = float(os.environ.get("HELIOGRAPH_FUZZ_S", "0"))
INPUTS = limit_examples(300)
MAX_STEPS = 2_000_000  # lines of ours for 16 KiB; the seeds take up to 100,000


def _read_event(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    load_event(file)


def _read_ooni(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    for _ in judge_files([file]):
        pass


def _read_replay(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    read_ooni_replay([file], RuleVoter(), Complaints())


def _read_scenario(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    load_scenario(file)


def _read_journal(_file: Path, data: bytes) -> None:
    """Read a row as replays and detectors read it again, by all versions."""
    body = compress_frame(data)
    row = upload("anna", 1, [])
    for kind in (RowKind.ENVELOPE, RowKind.ARRIVAL, RowKind.FAULT):
        content = body if kind is RowKind.ENVELOPE else data
        changed = replace(row, kind=kind, body=content)
        read_rows([changed], Pseudonyms(SECRET))
        reader = SignalReader(SECRET)
        for _ in reader.read_row(changed, reader.derive_pseudonym(changed.agent)):
            pass


def _read_services(_file: Path, data: bytes) -> None:
    parse_services(data, "services.yml")


def _read_plan(_file: Path, data: bytes) -> None:
    parse_plan(parse_yaml(data, "plan.yml"), parse_services(SERVICES, "services.yml"))


def _read_series(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    read_series(file, Scope(country="KZ"), Complaints(), CountryNames({"kazakhstan": "KZ"}))


def _read_signals(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    read_signals(file)


def _read_bundle(file: Path, data: bytes) -> None:
    """Read a bundle with a fitting SHA-256, as a forger makes it."""
    file.write_bytes(data + hashlib.sha256(data).digest())
    check_bundle(file)
    for _ in unpack_bundle(file):
        pass


def _read_list(file: Path, data: bytes) -> None:
    parse_list(file.name, data)


def _read_signed_lists(_file: Path, data: bytes) -> None:
    parse_signed_bundle(data)


def _read_draft(_file: Path, data: bytes) -> None:
    parse_draft(data)


def _read_code(_file: Path, data: bytes) -> None:
    parse_code(data.decode("utf-8", "replace"))


LIST = (
    b"name,scope,location_found,pattern_type,pattern,confidence_no_fp,expected_countries\n"
    b"x,isp,body,contains,<title>blocked,5,RU\n"
)
ROWS = [dict(zip(*(line.split(",") for line in LIST.decode().split()), strict=True))]
SIGNATURES = b"""- {id: x, scope: provider, source: ours, countries: [RU], status: [403],
  words: [[blocked, denied]], text: [this page is blocked, by order]}
"""
SERIES = b"time,value\n2022-01-05T00:00:00Z,1\n2022-01-05T00:05:00Z,2\n"
RADAR = b"""{"success": true, "result": {"meta": {}, "serie_0": {
  "timestamps": ["2022-01-05T00:00:00Z", "2022-01-05T01:00:00Z"], "values": ["0.7", "0.1"]}}}"""
ROWS_OF_OONI = [
    {
        "anomaly": True, "confirmed": False, "failure": False, "input": "https://x.com/",
        "measurement_start_time": "2022-01-05T00:00:00Z", "probe_asn": "AS9198", "probe_cc": "KZ",
        "report_id": "r", "test_name": "web_connectivity",
    }
]  # fmt: skip
COUNTS = (
    b"anomaly_count,confirmed_count,failure_count,measurement_count,measurement_start_day,ok_count\n"
    b"3,1,0,9,2022-01-05,5\n"
)
SIGNALS = b"""{"kind":"arrival","at":"2022-01-05T00:00:00Z","vantage":"a","country":"KZ","asn":9198}
{"kind":"loss","at":"2022-01-05T00:05:00Z","vantage":"a"}
{"kind":"level","at":"2022-01-05T00:06:00Z","step_s":300,"value":7,"country":"KZ","source":"bgp"}
"""
ROOT = keys.SigningKey(b"r" * 32)
ONE = trust_chain.KeyRole(1, (ROOT.public,))
CHARTER = trust_chain.TrustRoot(
    version=1, issued_s=1, expires_s=9, root=ONE, plan=ONE, receipts=ONE, sealing_key=b"s" * 32
)
SIGNED_CHARTER = trust_chain.sign_trust_root(CHARTER, [ROOT])
DRAFT = format_draft(CharterDraft(None, SIGNED_CHARTER)).encode()
SIGNED_LISTS = json.dumps(
    {
        "format": "heliograph fingerprints 1", "bundle": "", "signatures": [""],
        "charters": [base64.b64encode(SIGNED_CHARTER.SerializeToString()).decode()],
    }
).encode()  # fmt: skip
IMPORTERS: dict[str, tuple[Callable[[Path, bytes], None], str, bytes]] = {
    "ioda": (_read_event, "x.json", (FIXTURES / "ioda-signals.json").read_bytes()),
    "csv": (_read_event, "ioda-export-IR.csv", (FIXTURES / "ioda-export-IR.csv").read_bytes()),
    "radar": (_read_event, "KZ.json", RADAR),
    "rows": (_read_event, "x.json", json.dumps({"metadata": {}, "results": ROWS_OF_OONI}).encode()),
    "counts": (_read_event, "KZ.csv", COUNTS),
    "atlas": (_read_event, "x.jsonl", (FIXTURES / "atlas-connections.jsonl").read_bytes()),
    "ooni": (_read_ooni, "x.json", json.dumps(OONI).encode()),
    "replay": (_read_replay, "x.json", json.dumps(OONI).encode()),
    "scenario": (_read_scenario, "x.yml", SCENARIO),
    "journal": (_read_journal, "", BATCH),
    "services": (_read_services, "", SERVICES[:3_000]),
    "plan": (_read_plan, "", PLAN),
    "series": (_read_series, "x.csv", SERIES),
    "signals": (_read_signals, "x.jsonl", SIGNALS),
    "bundle": (_read_bundle, "x", b"".join(pack_bundle(b"12345678", [b"one", b"two"]))[:-32]),
    "list.csv": (_read_list, "x.csv", LIST),
    "list.json": (_read_list, "x.json", json.dumps(ROWS).encode()),
    "signatures": (_read_list, "x.yml", SIGNATURES),
    "signed lists": (_read_signed_lists, "", SIGNED_LISTS),
    "draft": (_read_draft, "", DRAFT),
    "code": (_read_code, "", b"72359 00003 47829 91468 50158 97012"),
}


@pytest.mark.parametrize("name", IMPORTERS)
def test_mutated_files_are_read_or_refused(tmp_path: Path, name: str) -> None:
    read, file, seed = IMPORTERS[name]
    fuzzer = Fuzzer(partial(read, tmp_path / file), REFUSALS, random.Random(1))
    end_s = time.monotonic() + SECONDS
    count = fuzzer.run([seed], lambda done: time.monotonic() < end_s if SECONDS else done < INPUTS)
    print(f"\n{name}: {count} inputs, {len(fuzzer.corpus)} reach new lines, {fuzzer.steps} steps")
    assert len(fuzzer.corpus) > 1, "the seed is understood, and what is near it goes elsewhere"
    assert fuzzer.steps < MAX_STEPS
