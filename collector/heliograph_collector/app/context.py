"""The resources that all roles of a collector share."""

import random
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import CollectorRegistry

from heliograph.address import list_hosts
from heliograph.hello_profiles import read_profiles
from heliograph.services import Services, load_services
from heliograph.yaml_document import YamlError
from heliograph_collector.app.console_records import ConsoleRecords, open_files
from heliograph_collector.app.explained_errors import explain_errors
from heliograph_collector.app.ingest_supervisor import IngestSupervisor
from heliograph_collector.config.endpoint_file import EndpointFile
from heliograph_collector.config.settings import Config
from heliograph_collector.detect.log_takeover import EntryFence
from heliograph_collector.fleet import Fleet, Keyring, KeysError, open_keyring
from heliograph_collector.fleet.password_file import find_password_file
from heliograph_collector.fleet.plain_lists import adopt_plain_lists
from heliograph_collector.fleet.renewal import KeyRenewal
from heliograph_collector.http.event_bus import EventBus
from heliograph_collector.ingest.geo.lookup import GeoError, GeoLookup
from heliograph_collector.judge.fingerprints.list_summary import PlainFormat
from heliograph_collector.model.expiry_clock import ExpiryClock
from heliograph_collector.model.guarded_clock import BootClock, GuardedClock
from heliograph_collector.store.backup import BackupError, check_restored
from heliograph_collector.store.clickhouse import WritePermission
from heliograph_collector.store.journal.journal import DirectoryInUseError, JournalError
from heliograph_collector.store.journal.moved_journal import FILE
from heliograph_collector.store.journal.opening import open_journal
from heliograph_collector.store.journal.protocol import JudgedJournal, OwnedJournal
from heliograph_collector.store.journal.shared_journal import SharedJournal


@dataclass(frozen=True, kw_only=True)
class AppContext:
    """Opened once at the start, and closed in reverse order at the end."""

    config: Config
    fleet: Fleet
    keyring: Keyring
    journal: JudgedJournal
    services: Services
    password_file: Path
    renewal: KeyRenewal
    endpoint_file: EndpointFile
    bus: EventBus
    clock: GuardedClock
    expiry: ExpiryClock
    records: ConsoleRecords
    fence: EntryFence | None = None  # of the alert log
    permission: WritePermission | None = None  # to work where the next leader will; None: always
    rng: random.Random = field(default_factory=random.SystemRandom)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)


def open_geo(context: AppContext) -> GeoLookup:
    """Open the tables that name places, for what arrives by ingest elsewhere.

    Raises CannotServeError.
    """
    config = context.config
    with explain_errors(GeoError):
        return GeoLookup(
            config.geo_file("country"),
            config.geo_file("asn"),
            context.keyring.secret,
            config.trusted_proxies,
        )


@asynccontextmanager
async def open_shared_journal(
    data: Path, supervisor: IngestSupervisor
) -> AsyncIterator[SharedJournal]:
    """Start the process that holds the journal, and read beside it inside the block.

    Raises CannotServeError.
    """
    try:
        await supervisor.start()
        with explain_errors(JournalError):
            journal = SharedJournal(data / FILE)
        try:
            yield journal
        finally:
            await journal.close()
    finally:
        await supervisor.stop()


async def open_own_journal(config: Config, stack: AsyncExitStack) -> OwnedJournal:
    """Open the journal in this process; `stack` closes it. Raises CannotServeError."""
    with explain_errors(DirectoryInUseError, JournalError, data=config.data):
        return await stack.enter_async_context(open_journal(config.data, config.journal))


def prepare_directory(data: Path) -> None:
    """Make the data directory where it is missing. Raises CannotServeError."""
    with explain_errors(BackupError, data=data):
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_restored(data)


def open_context(
    config: Config,
    journal: JudgedJournal,
    stack: AsyncExitStack,
    fence: EntryFence | None = None,
    records: ConsoleRecords | None = None,
    permission: WritePermission | None = None,
) -> AppContext:
    """Open what the roles share; `stack` closes it. Raises CannotServeError.

    Args:
        fence: Publishes the alert log's entries before they are written, if any.
        records: Records of the console; None for files of the data directory.
        permission: Must be held to write to the store or to send notifications.
    """
    data = config.data
    with explain_errors(KeysError, YamlError, data=data):
        services = load_services(config.services_file)
        hello_profiles = read_profiles(config.hello_profiles_file)
        fleet = Fleet(data)
        stack.callback(fleet.close)
        keyring = open_keyring(data, list_hosts(config.grpc, config.endpoint))
    clock = GuardedClock(BootClock(), journal.alive_before_us)
    renewal = KeyRenewal(data, fleet, keyring, services, clock, hello_profiles)
    with explain_errors(KeysError):
        password_file = find_password_file(data, config.password_file)
        renewal.renew_keys()
        adopt_plain_lists(data, fleet, keyring, clock, PlainFormat())
    return AppContext(
        config=config,
        fleet=fleet,
        keyring=keyring,
        journal=journal,
        services=services,
        password_file=password_file,
        renewal=renewal,
        endpoint_file=EndpointFile(config),
        # A random id, different after each restart: readers resume by it.
        bus=EventBus(secrets.token_hex(4)),
        clock=clock,
        fence=fence,
        permission=permission,
        records=records or open_files(data),
        expiry=ExpiryClock(clock, journal.expiry_before_us, journal.alive_before_us),
    )
