"""The resources that all roles of a collector share."""

import random
import secrets
import sqlite3
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import CollectorRegistry

from heliograph.services import Services, load_services
from heliograph.yaml_document import YamlError
from heliograph_collector.app.fingerprint_lists import adopt_plain_lists
from heliograph_collector.config.endpoint_file import EndpointFile
from heliograph_collector.config.errors import (
    CannotServeError,
)
from heliograph_collector.config.settings import Config, split_endpoint
from heliograph_collector.fleet import Fleet, Keyring, KeysError, open_keyring
from heliograph_collector.fleet.password_file import find_password_file
from heliograph_collector.fleet.plans import list_public_names, list_targets
from heliograph_collector.fleet.renewal import KeyRenewal
from heliograph_collector.http.event_bus import EventBus
from heliograph_collector.model.expiry_clock import ExpiryClock
from heliograph_collector.model.guarded_clock import BootClock, GuardedClock
from heliograph_collector.store.backup import RESTORE_MARK
from heliograph_collector.store.disk_errors import describe_database_error, describe_os_error
from heliograph_collector.store.journal.journal import DirectoryInUseError, Journal, JournalError


@dataclass(frozen=True, kw_only=True)
class AppContext:
    """Opened once at the start, and closed in reverse order at the end."""

    config: Config
    fleet: Fleet
    keyring: Keyring
    journal: Journal
    services: Services
    password_file: Path
    renewal: KeyRenewal
    endpoint_file: EndpointFile
    bus: EventBus
    clock: GuardedClock
    expiry: ExpiryClock
    rng: random.Random = field(default_factory=random.SystemRandom)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    @property
    def titles(self) -> dict[str, str]:
        """Return the title of each service."""
        return {service.name: service.title for service in self.services.services}

    @property
    def targets(self) -> tuple[str, ...]:
        """Return the single targets that the plan lists."""
        return list_targets(self.fleet)

    @property
    def public_names(self) -> set[str]:
        """Return the services and targets that public files may name."""
        return list_public_names(self.fleet, self.services)


async def open_context(config: Config, stack: AsyncExitStack) -> AppContext:
    """Open what the roles share; `stack` closes it. Raises CannotServeError."""
    try:
        config.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (config.data / RESTORE_MARK).exists():
            raise CannotServeError(
                f"{config.data} holds a restore that did not end: remove it, and restore again."
            )
        services = load_services(config.services_file)
        journal = Journal(config.data / "journal.db")
    except OSError as error:
        raise CannotServeError(describe_os_error(config.data, error)) from error
    except (DirectoryInUseError, JournalError, YamlError) as error:
        raise CannotServeError(str(error)) from error
    stack.push_async_callback(journal.close)
    try:
        fleet = Fleet(config.data)
        stack.callback(fleet.close)
        endpoints = [endpoint for endpoint in (config.grpc, config.endpoint) if endpoint]
        keyring = open_keyring(config.data, [split_endpoint(endpoint)[0] for endpoint in endpoints])
    except sqlite3.Error as error:
        raise CannotServeError(describe_database_error(config.data / "fleet.db", error)) from error
    except OSError as error:
        raise CannotServeError(describe_os_error(config.data, error)) from error
    except KeysError as error:
        raise CannotServeError(str(error)) from error
    clock = GuardedClock(BootClock(), journal.alive_before_us)
    renewal = KeyRenewal(config.data, fleet, keyring, services, clock)
    try:
        password_file = find_password_file(config.data, config.password_file)
        renewal.renew_keys()
        adopt_plain_lists(config.data, fleet, keyring, clock)
    except KeysError as error:
        raise CannotServeError(str(error)) from error
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
        expiry=ExpiryClock(clock, journal.expiry_before_us, journal.alive_before_us),
    )
