"""`export`: results by file, for when nothing but a memory stick leaves the place."""

import argparse
import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from heliograph_agent import cli
from heliograph_agent.state import BROUGHT, SPOOL, Collector, State, StateError, not_joined

if TYPE_CHECKING:
    from heliograph.bundle import Settled

CLOSE_S = 30.0  # for batches to be closed


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    p = commands.add_parser(
        "export",
        help="write results to a file for the collector, or read its receipts",
        description="Write everything that waits for the collector to FILE, sealed: bring it to "
        "the collector's operator by any way (`heliograph-collector import bundle FILE`). Nothing "
        "is removed here until a receipt says that it was taken in; twice is once.",
        epilog="Example: heliograph-agent export /media/stick/results.bundle",
    )
    p.add_argument("file", metavar="FILE", type=Path, help="the file to write")
    p.add_argument(
        "--receipts",
        action="store_true",
        help="FILE is what came back from the collector: forget what it has taken in",
    )


def run(args: argparse.Namespace) -> int:
    from heliograph_agent.spool import SpoolError

    state = cli.state_of(args)
    collector = state.collector()
    if collector is None:
        raise not_joined(state)
    try:
        if args.receipts:
            return _take_receipts(args.file, state, collector)
        return _export(args.file, state, collector)
    except SpoolError as error:
        raise cli.CommandError(str(error)) from error


def _export(file: Path, state: State, collector: Collector) -> int:
    from heliograph.keys import key_id
    from heliograph_agent.spool import reader

    running = state.running() is not None
    if not running:
        asyncio.run(_close_batches(state))
    chosen, left = _that_fit(reader.envelopes(state.path(SPOOL)))
    _write(file, key_id(collector.sealing_key), chosen)
    print(f"{file}: {_batches(len(chosen))}, sealed to the collector.")
    if left:
        print(f"No room was left for {_batches(left)}: export again once receipts came back.")
    if running:
        print(
            "heliograph-agent: the agent is running; the results of the last half minute are not "
            "in it.",
            file=sys.stderr,
        )
    return 0


async def _close_batches(state: State) -> None:
    """What lies open is sealed first. A sick state costs that and no more."""
    from heliograph.clock import SystemClock
    from heliograph_agent.config import Config
    from heliograph_agent.runtime.agent import read_setting
    from heliograph_agent.runtime.batcher import Sealing
    from heliograph_agent.spool import Spool

    clock = SystemClock()
    with suppress(StateError), state.locked():
        collector = read_setting(state, Config()).collector
        spool = Spool(state.path(SPOOL), clock=clock)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await Sealing(state, collector, spool, clock, lambda: None).close_all()
        finally:
            await spool.close()


def _that_fit(envelopes: Iterator[bytes]) -> tuple[list[bytes], int]:
    """As many as a bundle may hold, and how many are left."""
    from heliograph import bundle

    chosen: list[bytes] = []
    left, size = 0, bundle.packed_size(())
    for envelope in envelopes:
        size += bundle.packed_size((len(envelope),)) - bundle.packed_size(())
        if size > bundle.MAX_BYTES or len(chosen) >= bundle.MAX_ENVELOPES:
            left += 1
        else:
            chosen.append(envelope)
    return chosen, left


def _write(file: Path, key_id: bytes, envelopes: list[bytes]) -> None:
    """Whole or not at all, for its owner alone."""
    from heliograph import bundle

    fresh = file.with_name(f".{file.name}.new")
    try:
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as stream:
            for piece in bundle.pack(key_id, envelopes):
                stream.write(piece)
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(file)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise cli.CommandError(
            f"Cannot write {file} ({error.strerror}): make room, or name another place."
        ) from error


def _take_receipts(file: Path, state: State, collector: Collector) -> int:
    from heliograph import bundle
    from heliograph.clock import SystemClock
    from heliograph.keys import key_id
    from heliograph_agent.spool import reader

    try:
        with file.open("rb") as stream:
            data = stream.read(bundle.MAX_BYTES)
        said = bundle.unpack_receipts(data, key_id(collector.sealing_key), collector.signing_key)
    except bundle.BundleError as error:
        raise cli.CommandError(f"{file} {error}.") from error
    except OSError as error:
        raise cli.CommandError(f"Cannot read {file} ({error.strerror}).") from error
    _keep_plan(state, bundle.brought_along(data))
    spool = state.path(SPOOL)
    settled = {
        sequence: said[name]
        for sequence, envelope in reader.numbered(spool)
        if (name := bundle.digest(envelope)) in said
    }
    changes = {sequence: (what.status, what.reason) for sequence, what in settled.items()}
    reader.settle(spool, changes, SystemClock())
    _tell(list(settled.values()), sum(1 for _ in reader.numbered(spool)))
    return 0


def _keep_plan(state: State, packed: bytes) -> None:
    """For `run` to look at: it takes what is newer and soundly signed, as from a session."""
    from heliograph.plan_chunks import unpack

    if packed:
        with suppress(ValueError):  # of a later edition
            state.write(BROUGHT, unpack(packed))


def _tell(settled: "list[Settled]", left: int) -> None:
    refused = sum(what.status == "rejected" for what in settled)
    print(
        f"Arrived, and removed here: {_batches(len(settled) - refused)}. "
        f"Still without a receipt: {_batches(left)}."
    )
    if refused:
        print(f"Refused by the collector, and kept apart: {_batches(refused)}.")


def _batches(count: int) -> str:
    return f"{count} batch" if count == 1 else f"{count} batches"
