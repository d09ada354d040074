"""The resources that all parts of a running collector share."""

import random
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import CollectorRegistry

from heliograph.clock import Clock, SystemClock
from heliograph.services import Services
from heliograph_collector.config.settings import Config
from heliograph_collector.fleet import Fleet, Keyring
from heliograph_collector.store.journal.journal import Journal


@dataclass(frozen=True, kw_only=True)
class AppContext:
    """Opened once at the start, and closed in reverse order at the end."""

    config: Config
    fleet: Fleet
    keyring: Keyring
    journal: Journal
    services: Services
    password_file: Path
    clock: Clock = field(default_factory=SystemClock)
    rng: random.Random = field(default_factory=random.SystemRandom)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
