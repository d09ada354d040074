"""Keeps the charter and the plan from running out while `serve` goes on for months."""

import asyncio
import logging
import sqlite3

from heliograph_collector.fleet import KeysError
from heliograph_collector.fleet.charters import WARN_S, keep_charter
from heliograph_collector.fleet.plans import keep_fresh
from heliograph_collector.serve.house import House

LOOK_S = 21_600.0
log = logging.getLogger("heliograph")


def renew(house: House) -> None:
    """Whatever is half over. Raises KeysError, sqlite3.Error."""
    now_s = house.clock.wall_us() // 1_000_000
    left_s = keep_charter(house.fleet, house.config.data, house.keyring, now_s).expires_s - now_s
    if left_s < WARN_S:
        log.warning(
            "The charter ends in %d days; then agents take no new plan. Bring the root keys and "
            "say `heliograph-collector keys renew`.",
            max(0, left_s // 86_400),
        )
    keep_fresh(house.fleet, house.keyring.signing, house.services, now_s)


async def stay_fresh(house: House) -> None:
    """Look every six hours; never returns."""
    while True:
        await asyncio.sleep(LOOK_S)
        try:
            await asyncio.to_thread(renew, house)
        except (KeysError, sqlite3.Error) as error:
            log.warning("%s", error)
