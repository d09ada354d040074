"""Wires the stages together; nobody else knows more than one of them.

The door opens first and acknowledges at once: the journal alone is needed for that. The store,
which takes seconds to load, and the page come up behind it.
"""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from heliograph.services import ServicesError, load, shipped
from heliograph_collector.app.context import House
from heliograph_collector.app.endpoint_file import Notice, password_file
from heliograph_collector.app.listeners import open_dns, open_post
from heliograph_collector.config.settings import Config, split_endpoint
from heliograph_collector.control.agent_process import Control, dialled, keep_control
from heliograph_collector.errors import CannotServeError
from heliograph_collector.fleet import Fleet, KeysError, invite_line, open_keyring
from heliograph_collector.fleet.plans import keep_fresh
from heliograph_collector.fleet.trust_chain import WARN_S, keep_charter, pin_of
from heliograph_collector.ingest.build import Intake, Plot, intake
from heliograph_collector.ingest.geo.lookup import GeoError
from heliograph_collector.ingest.grpc.server import PortTakenError
from heliograph_collector.store.journal.journal import DirectoryInUseError, Journal, JournalError

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


log = logging.getLogger("heliograph")

_INVITE_S = 600  # a control's invite is used within seconds


@asynccontextmanager
async def collector(config: Config, stop: asyncio.Event) -> AsyncIterator[None]:
    """Everything runs inside the block; a part that fails for good sets `stop` by raising.

    Raises CannotServeError.
    """
    async with AsyncExitStack() as stack:
        house = await _open(config, stack)
        notice = Notice(config)
        stack.callback(notice.withdraw)
        door = await _door(house, stack)
        notice.post(grpc=dialled(split_endpoint(config.grpc)[0], door.port))
        log.info("Agents: %s (gRPC, TLS)", notice.grpc)
        await open_post(house, door, notice, stack)
        await open_dns(house, door, notice, stack)
        await _rooms(house, door, notice, stack)
        yield


async def _open(config: Config, stack: AsyncExitStack) -> House:
    try:
        config.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        services = load(config.services_file) if config.services_file else shipped()
        journal = Journal(config.data / "journal.db")
    except OSError as error:
        raise CannotServeError(
            f"{config.data} cannot be used ({error.strerror}): name another --data directory."
        ) from error
    except (DirectoryInUseError, JournalError, ServicesError) as error:
        raise CannotServeError(str(error)) from error
    stack.push_async_callback(journal.close)
    try:
        fleet = Fleet(config.data)
        stack.callback(fleet.close)
        dialled = [place for place in (config.grpc, config.endpoint) if place]
        keyring = open_keyring(config.data, [split_endpoint(place)[0] for place in dialled])
    except sqlite3.Error as error:
        raise CannotServeError(
            f"{config.data / 'fleet.db'} cannot be used ({error}): restore it from a backup."
        ) from error
    except KeysError as error:
        raise CannotServeError(str(error)) from error
    house = House(
        config=config,
        fleet=fleet,
        keyring=keyring,
        journal=journal,
        services=services,
        password=password_file(config),
    )
    try:
        renew(house)
    except KeysError as error:
        raise CannotServeError(str(error)) from error
    return house


async def _door(house: House, stack: AsyncExitStack) -> Intake:
    config = house.config
    plot = Plot(
        endpoint=config.grpc,
        data=config.data,
        fleet=house.fleet,
        keyring=house.keyring,
        journal=house.journal,
        registry=house.registry,
        clock=house.clock,
        rng=house.rng,
        country_file=config.geo_file("country"),
        asn_file=config.geo_file("asn"),
        sessions=config.sessions,
        batches_per_hour=config.batches_per_hour,
        trusted_proxies=config.trusted_proxies,
        strangers=config.strangers,
    )
    try:
        door = await stack.enter_async_context(intake(plot))
    except PortTakenError as error:
        raise CannotServeError(
            f"{config.grpc} cannot be listened on, it is probably taken: "
            "stop what listens there, or say --grpc HOST:PORT."
        ) from error
    except GeoError as error:
        raise CannotServeError(str(error)) from error
    if door.geo.missing:
        log.info(
            "No %s table: %s unknown unless volunteers declare it (`geo install` adds tables).",
            " and no ".join(door.geo.missing),
            "places are" if len(door.geo.missing) > 1 else "that is",
        )
    return door


async def _rooms(house: House, door: Intake, notice: Notice, stack: AsyncExitStack) -> None:
    """What stands behind the door, each part in the one task group."""
    from heliograph_collector.app.workers import Rooms

    rooms = Rooms(house, door, notice)
    group = await stack.enter_async_context(asyncio.TaskGroup())
    running = [group.create_task(rooms.run()), group.create_task(stay_fresh(house))]
    if "local" in house.config.control_endpoints:
        running.append(group.create_task(keep_control(_control(house, door))))
    stack.callback(lambda: [task.cancel() for task in running])


def _control(house: House, door: Intake) -> Control:
    endpoint = dialled(split_endpoint(house.config.grpc)[0], door.port)

    async def invite() -> str:
        now_s = house.clock.wall_us() // 1_000_000
        token = await asyncio.to_thread(
            lambda: house.fleet.invite(
                role="control", uses=1, now_s=now_s, expires_s=now_s + _INVITE_S
            )
        )
        charter = await asyncio.to_thread(pin_of, house.fleet)
        return invite_line(endpoint, house.keyring.pin, token, charter=charter)

    return Control(
        state=house.config.data / "control",
        log=house.config.data / "control.log",
        endpoint=endpoint,
        invite=invite,
        rng=house.rng,
    )
