"""Renewal of charter and plan, and invites for the local control."""

import asyncio
import logging
import sqlite3
from pathlib import Path

from heliograph.clock import Clock
from heliograph.services import Services
from heliograph_collector.fleet.invites import format_invite
from heliograph_collector.fleet.keyring import Keyring, KeysError
from heliograph_collector.fleet.plans import refresh_plan
from heliograph_collector.fleet.registry import Fleet
from heliograph_collector.fleet.trust_chain import (
    WARN_BEFORE_S,
    ensure_charter,
    load_charter_digest,
)

log = logging.getLogger("heliograph")

RENEWAL_S = 21_600.0
_INVITE_S = 600  # a control uses its invite within seconds


class KeyRenewal:
    """Renews charter and plan past half of their life; `run` belongs in a TaskGroup."""

    def __init__(
        self,
        data: Path,
        fleet: Fleet,
        keyring: Keyring,
        services: Services,
        clock: Clock,
        hello_profiles: bytes,
    ) -> None:
        self._data = data
        self._fleet = fleet
        self._keyring = keyring
        self._services = services
        self._clock = clock
        self._hello_profiles = hello_profiles

    def renew_keys(self) -> None:
        """Renew the due documents. Raises KeysError, sqlite3.Error."""
        now_s = self._clock.wall_us() // 1_000_000
        charter = ensure_charter(self._fleet, self._data, self._keyring, now_s)
        left_s = charter.expires_s - now_s
        if left_s < WARN_BEFORE_S:
            log.warning(
                "The charter ends in %d days; then agents take no new plan. Say "
                "`heliograph-collector keys renew --draft FILE`, and have root shares sign FILE.",
                max(0, left_s // 86_400),
            )
        signer = self._keyring.signing
        refresh_plan(self._fleet, signer, self._services, now_s, self._hello_profiles)

    async def run(self) -> None:
        """Renew every six hours; never return."""
        while True:
            await asyncio.sleep(RENEWAL_S)
            try:
                await asyncio.to_thread(self.renew_keys)
            except (KeysError, sqlite3.Error) as error:
                log.warning("%s", error)


class ControlInvites:
    """Invites for the local control, which joins like every agent."""

    def __init__(self, fleet: Fleet, keyring: Keyring, endpoint: str, clock: Clock) -> None:
        self._fleet = fleet
        self._keyring = keyring
        self._endpoint = endpoint
        self._clock = clock

    async def create_invite(self) -> str:
        """Return a fresh INVITE line."""
        return await asyncio.to_thread(self._create_line)

    def _create_line(self) -> str:
        now_s = self._clock.wall_us() // 1_000_000
        token = self._fleet.create_invite(
            role="control", uses=1, now_s=now_s, expires_s=now_s + _INVITE_S
        )
        charter = load_charter_digest(self._fleet)
        return format_invite(self._endpoint, self._keyring.pin, token, charter=charter)
