"""`export`: write results to a file, when only storage media leave the network."""

import argparse
import asyncio
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from heliograph.clock import SystemClock
from heliograph.translation import begin_line
from heliograph.translation import translate as _
from heliograph_agent import cli
from heliograph_agent.state import DELIVERED_PLAN, SPOOL, Collector, State, StateError

CLOSE_S = 30.0  # time to close the batches


def add_parser(commands: "cli.Subparsers") -> None:
    p = commands.add_parser(
        "export",
        help="write results to a file for the collector, or read its receipts",
        description="Write everything that waits for the collector to FILE, sealed. Bring it "
        "to the collector's operator in any way (`heliograph-collector import bundle FILE`). "
        "Nothing is removed here until a receipt says that it was taken in. Importing the file "
        "twice changes nothing.",
        epilog="Example: heliograph-agent export /media/stick/results.bundle",
    )
    p.add_argument("file", metavar="FILE", type=Path, help="the file to write")
    p.add_argument(
        "--receipts",
        action="store_true",
        help="FILE holds the collector's receipts: remove what it has taken in",
    )


def run(args: argparse.Namespace) -> int:
    from heliograph_agent.spool import SpoolError

    state = cli.get_state(args)
    collector = state.joined_collector()
    try:
        if args.receipts:
            return _take_receipts(args.file, state, collector)
        return _export_envelopes(args.file, state, collector)
    except SpoolError as error:
        raise cli.AgentCommandError(str(error)) from error


def _export_envelopes(file: Path, state: State, collector: Collector) -> int:
    from heliograph import bundle
    from heliograph.keys import key_id
    from heliograph_agent.spool import iter_envelopes

    is_running = state.running_pid() is not None
    if not is_running:
        asyncio.run(_close_batches(state))
    envelopes, left_count = _select_fitting(iter_envelopes(state.path(SPOOL)))
    cli.write_file(file, bundle.pack_bundle(key_id(collector.sealing_key), envelopes))
    print(
        begin_line()
        + _("{file}: {batches}, sealed to the collector.").format(
            file=file, batches=_format_batches(len(envelopes))
        )
    )
    if left_count:
        print(
            _("No room was left for {batches}: export again once receipts came back.").format(
                batches=_format_batches(left_count)
            )
        )
    if is_running:
        cli.print_note(
            _("the agent is running; the results of the last half minute are not in it.")
        )
    return 0


async def _close_batches(state: State) -> None:
    """Seal the open batches; when the state is damaged, only these are missing."""
    from heliograph_agent.config import Config
    from heliograph_agent.runtime.agent import read_settings
    from heliograph_agent.runtime.batcher import close_next_batch
    from heliograph_agent.runtime.collector_sealer import CollectorSealer
    from heliograph_agent.spool import Spool, SpoolError

    clock = SystemClock()
    with suppress(StateError), state.hold_lock():
        collector = read_settings(state, Config()).collector
        sealer = CollectorSealer(state, collector, clock)
        spool = Spool(state.path(SPOOL), sealer, clock=clock)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    while await close_next_batch(spool, is_offline=False):
                        pass
        except (SpoolError, StateError) as error:
            print(error, file=sys.stderr)
        finally:
            await spool.close()


def _select_fitting(envelopes: Iterator[bytes]) -> tuple[list[bytes], int]:
    from heliograph import bundle

    selected: list[bytes] = []
    left_count = 0
    size = bundle.bundle_size(())
    for envelope in envelopes:
        size += bundle.bundle_size((len(envelope),)) - bundle.bundle_size(())
        if size > bundle.MAX_BYTES or len(selected) >= bundle.MAX_ENVELOPES:
            left_count += 1
        else:
            selected.append(envelope)
    return selected, left_count


def _take_receipts(file: Path, state: State, collector: Collector) -> int:
    from heliograph import bundle
    from heliograph.keys import key_id
    from heliograph_agent.spool import iter_numbered_envelopes, record_receipts
    from heliograph_agent.uplink.session import needs_newer_collector

    data = cli.read_file(file, bundle.MAX_BYTES)
    try:
        receipts = bundle.unpack_receipts(
            data, key_id(collector.sealing_key), collector.signing_key
        )
    except bundle.BundleError as error:
        raise cli.AgentCommandError(f"{file} {error}.") from error
    _store_plan(state, bundle.read_attachment(data))
    spool_path = state.path(SPOOL)
    matching = {
        sequence: (receipts[digest].status, receipts[digest].reason)
        for sequence, envelope in iter_numbered_envelopes(spool_path)
        if (digest := bundle.digest_envelope(envelope)) in receipts
        and not needs_newer_collector(receipts[digest].status, receipts[digest].reason)
    }
    record_receipts(spool_path, matching, SystemClock())
    refused_count = sum(status == "rejected" for status, _ in matching.values())
    left_count = sum(1 for _ in iter_numbered_envelopes(spool_path))
    print(
        _("Arrived, and removed here: {batches}. Still without a receipt: {left}.").format(
            batches=_format_batches(len(matching) - refused_count),
            left=_format_batches(left_count),
        )
    )
    if refused_count:
        print(
            _("Refused by the collector, and kept apart: {batches}.").format(
                batches=_format_batches(refused_count)
            )
        )
    return 0


def _store_plan(state: State, packed: bytes) -> None:
    """Store a plan for `run`, which verifies it as one from a session."""
    from heliograph.plan_chunks import unpack_plan

    if packed:
        with suppress(ValueError):  # written by a later version
            state.write(DELIVERED_PLAN, unpack_plan(packed))


def _format_batches(count: int) -> str:
    return _("1 batch") if count == 1 else _("{n} batches").format(n=count)
