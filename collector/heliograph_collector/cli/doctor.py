"""Command `heliograph-collector doctor`: check an installation and name remedies.

Each check reads, none writes. It returns one finding; a sentence of a warning or a failure names
the place and the remedy.
"""

import argparse
import json
import os
import stat
from contextlib import closing
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliograph.clock import Clock, SystemClock
from heliograph.units import DAY_US
from heliograph_collector.cli import add_common_options, load_cli_config, parse_endpoint
from heliograph_collector.cli.doctor_alarm import check_alarm
from heliograph_collector.cli.doctor_places import check_places
from heliograph_collector.cli.finding import Finding, Level, select_certificate
from heliograph_collector.config.roles import JUDGE, PUBLISH

if TYPE_CHECKING:
    from heliograph_collector.config.journal_settings import JournalSettings
    from heliograph_collector.config.settings import Config

_TIMEOUT_S = 5.0  # assumed; of one check that asks the running collector
_MAX_BEHIND_DAYS = 1  # assumed; a weekend's rest is no doubt for long
_MAX_AHEAD_S = 60  # as the collector's clock; smaller steps are NTP's
# Of the last entries alone, because there is no index on the time; assumed to be enough for days.
_NEWEST_TIME_SQL = (
    "SELECT max(received_us) FROM (SELECT received_us FROM log ORDER BY position DESC LIMIT 100000)"
)
_MAX_NAMES = 5  # of agents in one sentence
_MAX_BODY_BYTES = 65_536  # of /readyz, which lists a few sentences


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    command = commands.add_parser(
        "doctor",
        help="check this installation",
        description="Checks files, listeners and settings of a collector on this machine, as the "
        "user that runs it. Exit code 1 when one check fails; warnings do not fail.",
        epilog="Example: heliograph-collector doctor --config /etc/heliograph/collector.yml",
        allow_abbrev=False,
    )
    add_common_options(command)
    command.add_argument(
        "--public",
        nargs="?",
        const="",
        type=parse_endpoint,
        metavar="HOST:PORT",
        help="check too whether this address, or that of invites, and the entrances are reached "
        "from outside",
    )
    command.add_argument(
        "--from",
        dest="helper",
        default="",
        metavar="HOST",
        help="with --public: a machine in another network, which is asked by ssh and needs openssl",
    )
    command.add_argument("--json", action="store_true", help="print a JSON array")


def run(args: argparse.Namespace) -> int:
    config = load_cli_config(args)
    findings = examine(config)
    if args.public is not None or args.helper:
        from heliograph_collector.cli.doctor_public import check_public

        findings += check_public(config, args.helper, args.public)
    if args.json:
        print(json.dumps([finding.to_json() for finding in findings], indent=2))
    else:
        for finding in findings:
            print(f"{finding.level.value:8} {finding.subject:15} {finding.sentence}")
    return 1 if any(finding.level is Level.FAILURE for finding in findings) else 0


def examine(config: "Config") -> list[Finding]:
    """Run all checks; without a data directory that can be read, only the first."""
    data_finding = check_data_directory(config.data)
    if data_finding.level is Level.FAILURE:
        return [data_finding]
    if config.roles == {PUBLISH}:
        return [
            data_finding,
            check_no_keys(config.data),
            check_readiness(config.data),
            check_pages(config),
            check_contact(config),
        ]
    if config.roles == {JUDGE}:
        servers = [check_servers(config.journal)] if config.journal else []
        return [data_finding, check_judges(config.data), *servers]
    return [
        data_finding,
        check_root(config.data),
        check_readiness(config.data),
        *(
            (check_servers(config.journal), check_leader(config.journal))
            if config.journal
            else (check_clock(config.data, SystemClock()),)
        ),
        check_agents(config.data),
        check_intake(config.data),
        check_places(config),
        check_invites(config),
        check_pages(config),
        check_contact(config),
        check_alarm(config),
    ]


def check_data_directory(data: Path) -> Finding:
    """Check that no other user reads the data directory or its keys."""
    subject = "data directory"
    if not data.is_dir():
        sentence = f"{data} is missing: start `serve` once, with the same --config or --data."
        return Finding(Level.FAILURE, subject, sentence)
    if not os.access(data, os.R_OK | os.X_OK):
        sentence = f"{data} is closed to this user: run doctor as the user that runs `serve`."
        return Finding(Level.FAILURE, subject, sentence)
    if not os.access(data, os.W_OK):
        sentence = (
            f"{data} cannot be written: run doctor as the user that runs `serve`, or mount and "
            "make it writable."
        )
        return Finding(Level.FAILURE, subject, sentence)
    secret_files = [path for path in (data / "keys").glob("*") if path.is_file()]
    for path in (data, *secret_files):
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            private_mode = "700" if path.is_dir() else "600"
            sentence = f"other users may read {path} ({mode:o}): chmod {private_mode} {path}"
            return Finding(Level.FAILURE, subject, sentence)
    return Finding(Level.OK, subject, f"{data} and its keys are private.")


def check_no_keys(data: Path) -> Finding:
    """Check that a host that only publishes, which readers reach, has no key to lose."""
    keys = sorted(file.name for file in (data / "keys").glob("*.key"))
    if not keys:
        return Finding(Level.OK, "keys", "this host only publishes, and holds no key.")
    sentence = f"{data / 'keys'} holds {', '.join(keys)}, which this host does not need: delete it."
    return Finding(Level.WARNING, "keys", sentence)


def check_root(data: Path) -> Finding:
    """Check that the root keys are elsewhere, and that no single one can sign."""
    from contextlib import closing

    from heliograph_collector.fleet import Fleet
    from heliograph_collector.fleet.root_custody import find_root_risks
    from heliograph_collector.fleet.trust_chain import load_current_charter

    charter = None
    if (data / "fleet.db").exists():  # opening it would make one
        with closing(Fleet(data)) as fleet:
            charter = load_current_charter(fleet)
    if charter is None:
        sentence = "there is no charter yet: start `serve` once."
        return Finding(Level.WARNING, "root of trust", sentence)
    risks = find_root_risks(data, charter)
    if risks:
        return Finding(Level.WARNING, "root of trust", " ".join(risks))
    root = charter.root
    sentence = f"{root.threshold} of {len(root.keys)} root shares sign, and none is here."
    return Finding(Level.OK, "root of trust", sentence)


def check_judges(data: Path) -> Finding:
    """Check that `serve` offers judge processes."""
    from heliograph_collector.config.endpoint_file import read_endpoint

    if read_endpoint(data, "roles") != JUDGE:
        sentence = f"`serve` does not run on {data}: start it."
        return Finding(Level.FAILURE, "judges", sentence)
    sentence = "Judge processes are offered; heliograph_judge_workers of the leader counts them."
    return Finding(Level.OK, "judges", sentence)


def check_readiness(data: Path) -> Finding:
    """Check that `serve` runs and calls itself ready."""
    import json
    from http.client import HTTPConnection, HTTPException

    from heliograph_collector.config.endpoint_file import read_endpoint
    from heliograph_collector.config.roles import INGEST

    address = read_endpoint(data, "http")
    if read_endpoint(data, "roles") == INGEST:
        sentence = "`serve` runs ingest alone: start it with all roles, or nothing is judged."
        return Finding(Level.WARNING, "readiness", sentence)
    if not address:
        sentence = f"`serve` does not run on {data}: start it."
        return Finding(Level.FAILURE, "readiness", sentence)
    connection = HTTPConnection(address, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        problems = list(json.loads(connection.getresponse().read(_MAX_BODY_BYTES))["problems"])
    except (OSError, HTTPException, ValueError, LookupError, TypeError):
        sentence = f"http://{address}/readyz does not answer: restart `serve`."
        return Finding(Level.FAILURE, "readiness", sentence)
    finally:
        connection.close()
    if problems:
        return Finding(Level.FAILURE, "readiness", " ".join(map(str, problems)))
    return Finding(Level.OK, "readiness", f"http://{address}/readyz reports no problem.")


def check_clock(data: Path, clock: Clock) -> Finding:
    """Compare the clock with the journal's times, which an earlier run may have ahead."""
    import sqlite3

    from heliograph_collector.store.journal.tables import read_expiry_us

    if not (data / "journal.db").exists():
        sentence = "there is no journal yet to compare it with: start `serve` once."
        return Finding(Level.WARNING, "clock", sentence)
    try:
        journal = sqlite3.connect(f"{(data / 'journal.db').absolute().as_uri()}?mode=ro", uri=True)
        with closing(journal):
            ((newest_us,),) = journal.execute(_NEWEST_TIME_SQL)
            expiry_us = read_expiry_us(journal)
    except (sqlite3.Error, ValueError):
        return Finding(
            Level.WARNING,
            "clock",
            f"{data / 'journal.db'} cannot be read: run doctor as the user that runs `serve`.",
        )
    ahead_s = ((newest_us or 0) - clock.wall_us()) // 1_000_000
    if ahead_s > _MAX_AHEAD_S:
        sentence = (
            f"entries of the journal are up to {ahead_s} s ahead of the clock: it was ahead once, "
            "or is behind now. If it is right, nothing is to be done: detection begins again "
            "within two minutes."
        )
        return Finding(Level.WARNING, "clock", sentence)
    behind_days = (clock.wall_us() - expiry_us) // DAY_US
    if expiry_us and behind_days > _MAX_BEHIND_DAYS:
        sentence = (
            f"the clock is {behind_days} days after the last deletion of old data: it is ahead, or "
            f"`serve` rested. If it is right, nothing is to be done: `serve` keeps old data longer "
            f"for {behind_days} days."
        )
        return Finding(Level.WARNING, "clock", sentence)
    return Finding(Level.OK, "clock", "the journal has no time ahead of the clock.")


def check_servers(servers: "JournalSettings") -> Finding:
    """Check that the journal's servers answer, and that each copy is up to date."""
    import asyncio

    from heliograph_collector.store.journal.journal import JournalError
    from heliograph_collector.store.journal.opening import describe_servers

    try:
        problem = asyncio.run(describe_servers(servers))
    except JournalError as error:
        return Finding(Level.FAILURE, "journal", str(error))
    if problem:
        return Finding(Level.WARNING, "journal", problem)
    return Finding(Level.OK, "journal", "its servers answer, and every copy is up to date.")


def check_leader(servers: "JournalSettings") -> Finding:
    """Check that a collector leads: detection, pages and all jobs are its own."""
    import asyncio

    from heliograph_collector.store.journal.journal import JournalError
    from heliograph_collector.store.journal.opening import describe_leader

    try:
        leader = asyncio.run(describe_leader(servers))
    except JournalError as error:
        return Finding(Level.FAILURE, "leader", str(error))
    if not leader:
        sentence = (
            "no collector leads: nothing is judged, detected or published, and no job is done, "
            "until one does; within 20 s of its start, or see the log of those that wait."
        )
        return Finding(Level.WARNING, "leader", sentence)
    return Finding(
        Level.OK, "leader", f"{leader} leads; it detects and does all jobs, and no other."
    )


def check_agents(data: Path) -> Finding:
    """Check that no key of an agent is used by two machines."""
    from heliograph_collector.fleet import Fleet

    agents = []
    if (data / "fleet.db").exists():  # opening it would make one
        with closing(Fleet(data)) as fleet:
            agents = [a for a in fleet.list_agents() if a.cloned_s and a.revoked_s is None]
    if not agents:
        return Finding(Level.OK, "agents", "no key is used by two machines.")
    names = ", ".join(agent.id.hex()[:12] for agent in agents[:_MAX_NAMES])
    sentence = (
        f"{len(agents)} agents seem to run on two machines ({names}), and do not count: send their "
        "volunteers an invite for `join INVITE --new-key` on one, then `agents clear ID`; if they "
        "know of no second machine, the key is stolen: `agents revoke ID` and a new invite."
    )
    return Finding(Level.WARNING, "agents", sentence)


def check_intake(data: Path) -> Finding:
    """Check that the entrance for agents shows the certificate that invites pin."""
    from ssl import SSLError, get_server_certificate

    from heliograph.address import split_endpoint
    from heliograph_collector.config.endpoint_file import read_endpoint
    from heliograph_collector.fleet.certificate import encode_public_key
    from heliograph_collector.fleet.keyring import tls_file

    address = read_endpoint(data, "grpc")
    if not address:
        sentence = "no entrance is open, because `serve` does not run: start it."
        return Finding(Level.FAILURE, "intake", sentence)
    try:
        certificate = get_server_certificate(split_endpoint(address), timeout=_TIMEOUT_S)
        pinned_key = encode_public_key(select_certificate(tls_file(data).read_bytes()))
        is_own = encode_public_key(certificate.encode()) == pinned_key
    except (OSError, SSLError, ValueError):
        sentence = f"{address} completes no TLS handshake: restart `serve`."
        return Finding(Level.FAILURE, "intake", sentence)
    if not is_own:
        sentence = f"{address} shows another key than {tls_file(data)}: restart `serve`."
        return Finding(Level.FAILURE, "intake", sentence)
    return Finding(Level.OK, "intake", f"{address} shows the key that invites pin.")


def check_invites(config: "Config") -> Finding:
    """Check that invites name an address that other machines can dial."""
    from heliograph_collector.config.endpoint_file import read_endpoint

    endpoint = config.endpoint or read_endpoint(config.data, "grpc") or config.grpc  # as `invite`
    if _is_local(endpoint):
        sentence = f"invites name {endpoint}, which is this machine alone: set the key endpoint."
        return Finding(Level.WARNING, "invites", sentence)
    return Finding(Level.OK, "invites", f"agents dial {endpoint}.")


def check_pages(config: "Config") -> Finding:
    """Check that no password travels as plain text."""
    if not _is_local(config.http, wildcard=False) and not config.trusted_proxies:
        sentence = (
            f"pages and console are open without TLS at {config.http}: set http to 127.0.0.1 "
            "behind a proxy, or name the proxy in intake.trusted_proxies."
        )
        return Finding(Level.WARNING, "pages", sentence)
    if not config.public_url.startswith("https://"):
        sentence = "readers have no address with TLS: set feed.url to that of the proxy."
        return Finding(Level.WARNING, "pages", sentence)
    return Finding(Level.OK, "pages", f"readers come by {config.public_url}.")


def check_contact(config: "Config") -> Finding:
    """Check that security.txt names an address that somebody reads."""
    if not config.security_contact:
        sentence = "security.txt names a mailbox that nobody chose: set feed.security_contact."
        return Finding(Level.WARNING, "contact", sentence)
    return Finding(Level.OK, "contact", f"security.txt names {config.security_contact}.")


def _is_local(endpoint: str, *, wildcard: bool = True) -> bool:
    """Return whether only this machine can dial an endpoint.

    A wildcard address counts as local if `wildcard` is set.
    """
    from heliograph.address import split_endpoint

    host = split_endpoint(endpoint)[0]
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback or (wildcard and address.is_unspecified)
