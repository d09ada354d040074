"""`serve` as a process: it answers, refuses a second one, stops, loses nothing."""

import asyncio
import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import stat
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from heliograph.v1 import intake_pb2 as pb
from heliograph.v1 import intake_pb2_grpc
from heliograph_collector import cli
from heliograph_collector.cli import serve as serve_command
from heliograph_collector.cli.doctor import check_readiness
from heliograph_collector.fleet import Fleet, open_keyring
from support.examples import only_in_soak
from support.intake import CLOCK, Caller, greeted, measurement, receipts
from support.loopback_plan import prepare
from support.serve_process import NO_CONTROL, Served, run_refused, served
from support.tcp_server import say_nothing, tcp_server
from support.waiting import until_now

# Else each worker of the suite starts a collector for those that it plays.
only_looks = pytest.mark.xdist_group("serve")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Run one collector for the tests that only read."""
    config = NO_CONTROL + 'alerts: [{name: desk, kind: slack, url: "https://127.0.0.1:9/x"}]\n'
    with served(tmp_path_factory.mktemp("serve") / "data", config=config) as found:
        found.wait_for("http")
        yield found


def channel_arguments(home: Served) -> tuple[Any, ...]:
    """Endpoint, credentials and options of a channel to its intake."""
    options = (("grpc.ssl_target_name_override", "heliograph-collector"),)
    credentials = grpc.ssl_channel_credentials(open_keyring(home.data, []).tls_certificate)
    return f"127.0.0.1:{home.grpc_port}", credentials, options


@asynccontextmanager
async def stub_of(home: Served) -> "AsyncIterator[intake_pb2_grpc.IntakeAsyncStub]":
    async with grpc.aio.secure_channel(*channel_arguments(home)) as channel:
        yield intake_pb2_grpc.IntakeStub(channel)


async def enrolled(home: Served, stub: "intake_pb2_grpc.IntakeAsyncStub") -> Caller:
    caller, now_s = Caller(open_keyring(home.data, [])), CLOCK.wall_us() // 1_000_000
    with closing(Fleet(home.data)) as fleet:
        token = fleet.create_invite(role="volunteer", uses=1, now_s=now_s, expires_s=now_s + 60)
    await stub.Enrol(caller.enrol_request(token), timeout=60)
    return caller


@only_looks
async def test_results_go_from_intake_to_the_page(home: Served) -> None:
    until_now(lambda: home.get("/readyz")[0] == 200)
    async with stub_of(home) as stub:
        call = await greeted(stub, caller := await enrolled(home, stub))
        envelope = caller.envelope(1, [measurement("https://news.example/")])
        await call.write(pb.AgentMessage(envelope=envelope))
        (receipt,) = await receipts(call, 1)
        assert receipt.status == pb.STATUS_STORED
        password = (home.data / "keys" / "operator.password").read_text().strip()
        until_now(lambda: "https://news.example/" in operator(home, password))
        call.cancel()
    counted = 'heliograph_envelopes_total{carrier="session"'
    until_now(lambda: counted in home.get("/metrics", operator=True)[1])
    assert home.get("/metrics")[0] == 401
    loaded = home.list_loaded_files()
    assert "pyarrow" in loaded
    assert "pandas" not in loaded, "46 MB that nothing here uses"
    assert "numpy" not in loaded, "12 MB that nothing here uses"


def operator(home: Served, password: str) -> str:
    connection = http.client.HTTPConnection(str(home.places["http"]), timeout=60)
    headers = {"Authorization": f"Bearer {password}"}
    with closing(connection):
        connection.request("GET", "/api/v1/measurements", headers=headers)
        return connection.getresponse().read().decode()


@only_looks
def test_the_log_says_where_the_page_is_and_where_the_password(home: Served) -> None:
    wanted = (f"http://{home.places['http']}/", str(home.data / "keys" / "operator.password"))
    # The entrances are open, and their places written down, before the log says so.
    until_now(lambda: all(words in home.log.read_text() for words in wanted))
    assert len(home.log.read_text().splitlines()) < 10


@only_looks
def test_nobody_else_on_the_machine_can_read_what_it_keeps(home: Served) -> None:
    """No other user of the machine can read the data, in any directory.

    Also where another user made the directory, open to all.
    """
    assert home.places  # it runs
    modes: dict[str, int] = {}
    for folder, _, names in os.walk(home.data):
        for name in names:
            with suppress(FileNotFoundError):  # the store tidies up meanwhile
                modes[name] = (Path(folder) / name).lstat().st_mode
    assert {name for name, mode in modes.items() if stat.S_ISREG(mode) and mode & 0o077} == set()
    assert "journal.db" in modes


def test_damaged_fleet_is_told_in_a_sentence(tmp_path: Path) -> None:
    Fleet(tmp_path).close()
    content = bytearray((tmp_path / "fleet.db").read_bytes())
    content[8_192:12_288] = os.urandom(4_096)  # a page that no query of the start reads
    (tmp_path / "fleet.db").write_bytes(content)
    told = run_refused(tmp_path)
    assert "fleet.db cannot be used (it is damaged): restore a backup" in told


@only_looks
async def test_malformed_requests_are_one_line_of_the_log(home: Served) -> None:
    """Anybody can send them, to each service, without a login."""
    before = len(home.log.read_text().splitlines())
    began = time.monotonic()
    async with grpc.aio.secure_channel(*channel_arguments(home)) as channel:
        for method in ("heliograph.v1.Intake/Enrol", "grpc.health.v1.Health/Check") * 10:
            unary: Any = channel.unary_unary(f"/{method}")
            with pytest.raises(grpc.aio.AioRpcError):
                await unary(b"\xff\xff", timeout=60)
        session: Any = channel.stream_stream("/heliograph.v1.Intake/Session")
        call = session(timeout=60)
        await call.write(b"\xff\xff")
        with pytest.raises(grpc.aio.AioRpcError):
            [_ async for _ in call]  # its challenge, and then the refusal
    written = home.log.read_text().splitlines()[before:]
    refusals = [line for line in written if line.startswith("Malformed requests refused: ")]
    minutes = (time.monotonic() - began) / 60  # a starved machine may need several
    assert 1 <= len(refusals) <= 1 + minutes
    assert refusals[0].startswith("Malformed requests refused: 1 ")
    assert not [line for line in written if "DecodeError" in line or line.startswith((" ", "Trac"))]


@only_looks
def test_backup_of_a_running_collector_serves_elsewhere(
    home: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The proof is a restore; the second collector has the first one's keys and page."""
    saved, data = tmp_path / "saved", tmp_path / "again"
    assert cli.main(["backup", str(saved), "--data", str(home.data)]) == 0
    assert "proved by a restore" in capsys.readouterr().out
    assert cli.main(["restore", str(saved), "--data", str(data)]) == 0
    assert not list(home.data.glob("backup.scratch"))
    with served(data) as again:
        again.wait_for("http")
        assert open_keyring(data, []).pin == open_keyring(home.data, []).pin
    (data / "restore.unfinished").touch()
    assert "did not end" in run_refused(data)


@only_looks
def test_a_second_one_on_the_same_directory_is_refused(home: Served) -> None:
    assert "in use by another process" in run_refused(home.data)


@only_looks
def test_a_taken_port_is_told_in_a_sentence(home: Served, tmp_path: Path) -> None:
    for option, place in (("--grpc", home.places["grpc"]), ("--http", home.places["http"])):
        told = run_refused(tmp_path / option, option, str(place))
        assert f"{place} cannot be listened on" in told
        assert f"say {option} HOST:PORT" in told


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("feed: {k: 1}\n", "line 3: feed.k: unknown key"),
        ("plan: {services_file: none.yml}\n", "none.yml: cannot be read"),
        ("console: {password_file: none}\n", "password file"),
        ("geo: {country_file: geo.mmdb}\n", "is no geo database"),
        ("geo: {asn_file: misspelled.mmdb}\n", "geo.asn_file: "),
        ("geo: {country_file: misspelled.mmdb}\n", "is not there, and no place would be known"),
    ],
)
def test_what_is_wrong_with_the_configuration_is_told(
    tmp_path: Path,
    config: str,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(serve_command, "configure_logging", lambda _format: None)
    (tmp_path / "geo.mmdb").write_bytes(b"nonsense")
    file = tmp_path / "collector.yml"
    file.write_text(NO_CONTROL + config)
    command = ["serve", "--data", str(tmp_path / "data"), "--config", str(file)]
    assert cli.main([*command, "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"]) == 1
    assert says in capsys.readouterr().err


# Whichever signal it is sets one event; `ingest/test_entrances_in_serve.py` stops by SIGTERM.
@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=only_in_soak)]
)
def test_it_stops_clean_and_soon(tmp_path: Path, number: int) -> None:
    with served(tmp_path / "data", "--roles", "ingest,judge,detect,publish,jobs") as home:
        home.wait_for("http")
        assert [home.get(path)[0] for path in ("/healthz", "/console")] == [200, 404]
        began = time.monotonic()
        assert home.stop(number) == 0
        print(f"stopped in {time.monotonic() - began:.2f} s")
        assert not (home.data / "serving.json").exists()
        assert "Traceback" not in home.log.read_text()


async def test_what_was_acknowledged_survives_a_kill(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Acknowledged envelopes survive a kill.

    Ingest alone is killed as envelopes arrive, then all roles run: what had a receipt is there.
    """
    acknowledged: list[int] = []
    with served(tmp_path / "data", "--roles", "ingest") as home:
        async with stub_of(home) as stub:
            caller = await enrolled(home, stub)
            call = await greeted(stub, caller)
            spooled = {sequence: caller.envelope(sequence) for sequence in range(1, 41)}
            for sequence, envelope in spooled.items():
                await call.write(pb.AgentMessage(envelope=envelope))
                if sequence > 16:
                    acknowledged += [r.sequence for r in await receipts(call, 1)]
            assert "ingest alone" in check_readiness(home.data).sentence
            backup = ["backup", str(tmp_path / "copy"), "--data", str(home.data)]
            assert await asyncio.to_thread(cli.main, backup) == 1
            assert "runs ingest alone" in capsys.readouterr().err
            home.process.kill()
            home.process.wait(240)
    with closing(sqlite3.connect(tmp_path / "data" / "journal.db")) as journal:
        kept = {s for (s,) in journal.execute("SELECT sequence FROM log WHERE sequence > 0")}
    assert acknowledged
    assert set(acknowledged) <= kept
    with served(tmp_path / "data") as home:
        async with stub_of(home) as stub:
            call = await greeted(stub, caller)
            for envelope in spooled.values():
                await call.write(pb.AgentMessage(envelope=envelope))
            again = await receipts(call, 40)
            call.cancel()
    duplicates = {r.sequence for r in again if r.status == pb.STATUS_DUPLICATE}
    assert duplicates == kept
    assert {r.sequence for r in again if r.status == pb.STATUS_STORED} == set(range(1, 41)) - kept


@only_looks
def test_a_silent_caller_is_disconnected(home: Served) -> None:
    """A silent caller is disconnected, by TCP alone and in half a handshake."""
    place = ("127.0.0.1", home.grpc_port)
    with (
        socket.create_connection(place, timeout=60) as silent,
        socket.create_connection(place, timeout=60) as slow,
    ):
        slow.sendall(b"\x16\x03\x01\x02\x00\x01")
        for caller in (silent, slow):
            with suppress(ConnectionResetError):
                while caller.recv(4_096):
                    pass


def control_of(data: Path) -> int:
    """Return the process that runs DATA/control, or 0."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended as we looked
            words = (process / "cmdline").read_text().split("\0")
            if "run" in words and str(data / "control") in words and "-m" in words:
                return int(process.name)
    return 0


@pytest.mark.slow
def test_the_control_comes_back_when_killed_and_goes_when_we_do(tmp_path: Path) -> None:
    with tcp_server(say_nothing) as port:
        config = prepare(tmp_path, port).read_text()
        with served(tmp_path / "data", config=config) as home:
            home.wait_for("http")
            until_now(lambda: '"controls":1' in home.get("/api/v1/status")[1])
            first = control_of(home.data)
            os.kill(first, signal.SIGKILL)
            until_now(lambda: control_of(home.data) not in (0, first))
            home.process.kill()
            home.process.wait(240)
            until_now(lambda: control_of(home.data) == 0)


@only_looks
def test_health_and_reflection_answer(home: Served) -> None:
    from grpc_health.v1 import health_pb2
    from grpc_reflection.v1alpha import reflection_pb2

    with grpc.secure_channel(*channel_arguments(home)) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        request = health_pb2.HealthCheckRequest(service="heliograph.v1.Intake")
        health = check(request, timeout=60)
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        reflect = channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        ask = reflection_pb2.ServerReflectionRequest(list_services="")
        (answer,) = reflect(iter([ask]), timeout=60)
        names = {service.name for service in answer.list_services_response.service}
        assert "heliograph.v1.Intake" in names


@only_looks
def test_dashboard_and_alarm_rules_ask_for_figures_that_there_are(home: Served) -> None:
    """Dashboard and alarm rules use existing metrics.

    Labels too, where a running collector has a sample.
    """
    text = home.get("/metrics", operator=True)[1]
    names = set(re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE))
    names |= {f"{name}_{end}" for name in names for end in ("bucket", "total")}
    deploy = Path(__file__).parents[2] / "deploy" / "collector"
    dashboard = json.loads((deploy / "grafana" / "heliograph.json").read_text())
    rules = yaml.safe_load((deploy / "prometheus" / "heliograph.yml").read_text())
    asked = [t["expr"] for panel in dashboard["panels"] for t in panel["targets"]]
    asked += [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    wanted = {name for expr in asked for name in re.findall(r"\b(?:heliograph|process)_\w+", expr)}
    assert len(asked) > 20
    assert wanted - names == set()
    labels: dict[str, set[str]] = {}
    for name, fields in re.findall(r"^(\w+)\{(.+)\} ", text, re.MULTILINE):
        labels.setdefault(name, set()).update(re.findall(r'(\w+)="', fields))
    uses = [(name, expr) for expr in asked for name in labels if re.search(rf"\b{name}\b", expr)]
    assert len(uses) > 5
    for name, expr in uses:
        grouped = ",".join(re.findall(r"by \(([^)]*)\)", expr))
        used = {*re.findall(r"\w+", grouped), *re.findall(r"(\w+)!?=~?\"", expr)}
        assert used <= labels[name], expr
