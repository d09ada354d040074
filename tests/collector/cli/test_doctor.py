"""`doctor` finds what would leave volunteers, readers or secrets outside or open."""

import json
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from socket import create_server
from threading import Thread

import pytest

from heliograph.address import split_endpoint
from heliograph.plan import Carrier, Entrance
from heliograph_collector import cli
from heliograph_collector.cli import doctor_public
from heliograph_collector.cli.doctor import (
    check_agents,
    check_clock,
    check_contact,
    check_data_directory,
    check_intake,
    check_invites,
    check_no_keys,
    check_pages,
    check_readiness,
    examine,
)
from heliograph_collector.cli.doctor_alarm import check_alarm
from heliograph_collector.cli.doctor_places import check_places
from heliograph_collector.cli.doctor_public import check_public
from heliograph_collector.cli.finding import Level
from heliograph_collector.config.endpoint_file import EndpointFile
from heliograph_collector.config.receivers import HealthPolicy, Receiver, ReceiverKind
from heliograph_collector.config.settings import Config
from heliograph_collector.fleet import Fleet, open_keyring
from heliograph_collector.fleet.certificate import encode_public_key, make_certificate
from heliograph_collector.fleet.quarantine import enrol_without_invite, record_clone
from heliograph_collector.ingest.geo.asn_table import write_table
from heliograph_collector.model.signals import Goodbye
from heliograph_collector.store.journal.journal import Journal
from support.hand_clock import HandClock
from support.journal_rows import row_of


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    open_keyring(folder, [])
    return folder


@contextmanager
def tls_listener(folder: Path, pem: bytes) -> Iterator[str]:
    """Serve one handshake with this key and certificate; yield the address."""
    file = folder / "listener.pem"
    file.write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    with create_server(("127.0.0.1", 0)) as listener:

        def shake() -> None:
            plain, _ = listener.accept()
            with plain, suppress(OSError):  # the caller leaves once it has the certificate
                context.wrap_socket(plain, server_side=True).close()

        thread = Thread(target=shake)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)


_OTHER_MACHINE = """#!/bin/sh
# The last argument is the command, as ssh has it; the other machine is this one.
for command; do :; done
exec sh -c "$command"
"""


@pytest.mark.real
@pytest.mark.parametrize(
    ("ssh", "level", "told"),
    [
        (_OTHER_MACHINE, Level.OK, "as seen from elsewhere"),
        ("#!/bin/sh\necho 'no route to host' >&2; exit 255\n", Level.WARNING, "no route to host"),
        ("#!/bin/sh\necho 'openssl: not found' >&2; exit 1\n", Level.WARNING, "openssl s_client"),
    ],
)
def test_another_machine_proves_the_address_of_invites(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, ssh: str, level: Level, told: str
) -> None:
    (tmp_path / "ssh").write_text(ssh)
    (tmp_path / "ssh").chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(doctor_public, "is_loopback", lambda _: False)
    own = (data / "keys" / "tls.pem").read_bytes()
    with tls_listener(data, own) as address:
        (finding,) = check_public(Config(data=data, endpoint=address), "elsewhere")
        if ssh != _OTHER_MACHINE:
            ssl.get_server_certificate(split_endpoint(address))  # the listener waits for one
    assert (finding.level, told in finding.sentence) == (level, True), finding.sentence
    if ssh == _OTHER_MACHINE:
        with tls_listener(data, make_certificate([])) as address:
            (foreign,) = check_public(Config(data=data, endpoint=address), "elsewhere")
        assert (foreign.level, "another key" in foreign.sentence) == (Level.FAILURE, True)
        (closed,) = check_public(Config(data=data, endpoint=address), "elsewhere")
        assert (closed.level, "no TLS handshake" in closed.sentence) == (Level.FAILURE, True)


def test_nothing_is_claimed_of_an_address_that_nobody_asked_from_outside(data: Path) -> None:
    entrances = tuple(
        Entrance(carrier=carrier, host=host, port=443)
        for carrier, host in (
            (Carrier.STREAM, "192.0.2.2"),
            (Carrier.POST, "192.0.2.2"),
            (Carrier.RELAY, "192.0.2.3"),
        )
    )
    config = Config(data=data, endpoint="192.0.2.1:7443", entrances=entrances)
    alone, second = check_public(config, "")
    assert alone.level is Level.WARNING
    assert "cannot be proved from this machine" in alone.sentence
    assert "openssl s_client -connect 192.0.2.1:7443" in alone.sentence
    assert sha256(encode_public_key(own_certificate(data))).hexdigest() in alone.sentence
    assert "openssl s_client -connect 192.0.2.2:443" in second.sentence
    (local,) = check_public(Config(data=data, endpoint="127.0.0.1:7443"), "")
    assert (local.level, "this machine alone" in local.sentence) == (Level.FAILURE, True)


def test_an_address_and_json_may_be_asked_for(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["doctor", "--data", str(data), "--json", "--public", "192.0.2.9:443"])
    findings = json.loads(capsys.readouterr().out)
    assert {tuple(finding) for finding in findings} == {("level", "subject", "sentence")}
    (public,) = [f["sentence"] for f in findings if f["subject"] == "public address"]
    assert "openssl s_client -connect 192.0.2.9:443" in public
    with pytest.raises(SystemExit):
        cli.main(["doctor", "--data", str(data), "--public", "192.0.2.9"])
    assert "must be HOST:PORT" in capsys.readouterr().err


def test_a_journal_that_is_not_there_yet_is_no_question_of_the_user(data: Path) -> None:
    finding = check_clock(data, HandClock())
    assert (finding.level, "start `serve` once" in finding.sentence) == (Level.WARNING, True)
    (data / "journal.db").write_bytes(b"damaged")
    assert "as the user that runs" in check_clock(data, HandClock()).sentence


def test_missing_tables_of_places_are_named_with_what_they_cost(data: Path) -> None:
    config = Config(data=data)
    both = check_places(config)
    assert both.level is Level.WARNING
    assert "no country and no asn table" in both.sentence
    assert "count as one unknown network" in both.sentence
    assert "geo install" in both.sentence
    (data / "geo").mkdir()
    write_table(data / "geo" / "asn.table", [(16_777_216, 16_777_471, 13335)], [])
    assert "no country table" in check_places(config).sentence
    (data / "geo" / "country.mmdb").write_bytes(b"damaged")
    assert check_places(config).level is Level.FAILURE


def own_certificate(data: Path) -> bytes:
    pem = (data / "keys" / "tls.pem").read_bytes()
    return pem[pem.index(b"-----BEGIN CERTIFICATE") :]


def test_a_directory_that_others_read_fails_with_its_remedy(data: Path) -> None:
    assert check_data_directory(data).level is Level.OK
    for path, remedy in ((data, "chmod 700"), (data / "keys" / "tls.pem", "chmod 600")):
        mode = path.stat().st_mode
        path.chmod(mode | 0o044)
        finding = check_data_directory(data)
        assert finding.level is Level.FAILURE
        assert finding.sentence.endswith(f"{remedy} {path}")
        path.chmod(mode)


def test_a_collector_that_does_not_run_fails(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["doctor", "--data", str(data)]) == 1
    assert "FAILURE  readiness       `serve` does not run" in capsys.readouterr().out
    assert cli.main(["doctor", "--data", str(tmp_path / "none")]) == 1
    assert "is missing: start `serve` once" in capsys.readouterr().out


async def test_journal_ahead_of_the_clock_is_a_warning(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = HandClock()
    journal = Journal(data / "journal.db")
    await journal.append([row_of(Goodbye(clock.wall, "nym"))])
    assert check_clock(data, clock).level is Level.OK
    monkeypatch.chdir(data.parent)  # as the default `./heliograph-data`
    assert check_clock(Path(data.name), clock).level is Level.OK
    await journal.append([row_of(Goodbye(clock.wall + 63_072_000_000_000, "nym"))])
    finding = check_clock(data, clock)
    await journal.close()
    assert finding.level is Level.WARNING
    assert "up to 63072000 s ahead of the clock" in finding.sentence


async def test_a_clock_that_is_years_after_the_last_deletion_is_named(data: Path) -> None:
    journal = Journal(data / "journal.db")
    clock = HandClock()
    await journal.mark_expiry(clock.wall)
    clock.advance_us(9 * 86_400_000_000)
    finding = check_clock(data, clock)
    await journal.close()
    assert finding.level is Level.WARNING
    assert "9 days after the last deletion of old data: it is ahead" in finding.sentence


def test_what_a_killed_collector_left_behind_fails(data: Path) -> None:
    with create_server(("127.0.0.1", 0)) as closed:
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    EndpointFile(Config(data=data)).publish(http=address, grpc=address)
    assert "restart `serve`" in check_readiness(data).sentence
    assert "restart `serve`" in check_intake(data).sentence


def test_intake_must_show_the_key_that_invites_pin(data: Path, tmp_path: Path) -> None:
    own = (data / "keys" / "tls.pem").read_bytes()
    for pem, level in ((own, Level.OK), (make_certificate([]), Level.FAILURE)):
        with tls_listener(tmp_path, pem) as address:
            EndpointFile(Config(data=data)).publish(grpc=address)
            assert check_intake(data).level is level


@pytest.mark.parametrize(
    ("config", "level"),
    [
        (Config(), Level.WARNING),
        (Config(grpc="0.0.0.0:7443"), Level.WARNING),
        (Config(endpoint="localhost:7443"), Level.WARNING),
        (Config(grpc="0.0.0.0:7443", endpoint="sun.example:7443"), Level.OK),
        (Config(grpc="192.0.2.1:7443"), Level.OK),
    ],
)
def test_invites_that_lead_nowhere_warn(config: Config, level: Level) -> None:
    assert check_invites(config).level is level


def test_invites_lead_to_where_serve_listens(data: Path) -> None:
    """Invites lead to the address of `serve`, even if only an option gave it."""
    config = Config(data=data)
    EndpointFile(config).publish(grpc="192.0.2.1:7443")
    finding = check_invites(config)
    assert (finding.level, finding.sentence) == (Level.OK, "agents dial 192.0.2.1:7443.")


def test_pages_without_tls_and_a_contact_that_nobody_chose_warn() -> None:
    url = "https://sun.example"
    assert check_pages(Config(http="0.0.0.0:8080", public_url=url)).level is Level.WARNING
    assert check_pages(Config()).level is Level.WARNING
    assert check_pages(Config(public_url=url)).level is Level.OK
    assert check_contact(Config()).level is Level.WARNING
    assert check_contact(Config(security_contact="mailto:a@sun.example")).level is Level.OK


def test_a_collector_that_calls_nobody_when_it_fails_warns() -> None:
    newsroom = Receiver(name="newsroom", kind=ReceiverKind.SLACK)
    finding = check_alarm(Config(alerts=(newsroom,)))
    assert finding.level is Level.WARNING
    assert "health: too" in finding.sentence
    night = Receiver(name="night", kind=ReceiverKind.SLACK, health=HealthPolicy.ONLY)
    switch = Receiver(name="switch", kind=ReceiverKind.HEARTBEAT)
    finding = check_alarm(Config(alerts=(newsroom, night, switch)))
    assert (finding.level, finding.sentence) == (
        Level.OK,
        "when this collector fails, it calls: night, switch.",
    )


def test_a_key_on_two_machines_is_named_with_the_cure(data: Path) -> None:
    assert check_agents(data).level is Level.OK
    with closing(Fleet(data)) as fleet:
        agent = enrol_without_invite(fleet, bytes(32), "1", 5)
        assert check_agents(data).level is Level.OK
        record_clone(fleet, agent.id, 9)
        finding = check_agents(data)
        fleet.revoke_agent(agent.id, 10)
    assert finding.level is Level.WARNING
    assert agent.id.hex()[:12] in finding.sentence
    assert "`agents revoke ID`" in finding.sentence
    assert check_agents(data).level is Level.OK


def test_a_host_that_only_publishes_is_asked_for_what_it_needs(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    findings = {f.subject: f for f in examine(Config(data=folder, roles=frozenset({"publish"})))}
    assert set(findings) == {"data directory", "keys", "readiness", "pages", "contact"}
    assert findings["keys"].level is Level.OK
    open_keyring(folder, [])
    warning = check_no_keys(folder)
    assert warning.level is Level.WARNING
    assert "signing.key" in warning.sentence


def test_a_host_that_only_judges_is_asked_whether_it_does(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    config = Config(data=folder, roles=frozenset({"judge"}))
    assert [f.subject for f in examine(config)] == ["data directory", "judges"]
    assert examine(config)[1].level is Level.FAILURE
    EndpointFile(config).publish(roles="judge")
    assert examine(config)[1].level is Level.OK
