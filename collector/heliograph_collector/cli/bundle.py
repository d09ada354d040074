"""`heliograph-collector import bundle`: envelopes that came by hand, and receipts to take back."""

import argparse
import asyncio
import http.client
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliograph import bundle, http_envelope
from heliograph.plan_chunks import pack
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.cli import CommandError, add_places, config_of
from heliograph_collector.config.settings import Config, split_endpoint

if TYPE_CHECKING:
    from heliograph_collector.fleet import Keyring

EXAMPLE = "Example: heliograph-collector import bundle results.bundle"
CARRIER = "bundle"
EVERY = 100  # envelopes between two steps of the bar
PATIENCE_S = 120  # for a collector that asks to come again
POST_S = 30.0
_SAID = {
    pb.STATUS_STORED: "stored",
    pb.STATUS_DUPLICATE: "duplicate",
    pb.STATUS_REJECTED: "rejected",
}
Accept = Callable[[bytes], Awaitable[pb.Receipt]]


def add_parser(kinds: "argparse._SubParsersAction[Any]") -> None:
    command = kinds.add_parser(
        "bundle",
        help="a file that `heliograph-agent export` wrote",
        description="Takes in a bundle of sealed results, each once, whether `serve` runs or not, "
        "and writes the receipts that the agent reads with `export --receipts`.",
        epilog=EXAMPLE + " | Exit code: 0 all taken in, 1 something was refused or has to come "
        "again, 2 wrong usage.",
        allow_abbrev=False,
    )
    command.add_argument("file", metavar="FILE", type=Path, help="the bundle")
    command.add_argument(
        "--receipts", metavar="FILE", type=Path, help="where to write them (FILE.receipts)"
    )
    command.add_argument("--json", action="store_true", help="one JSON object")
    add_places(command)


def run(args: argparse.Namespace) -> int:
    from heliograph_collector.fleet import open_keyring
    from heliograph_collector.fleet.keyring import earlier

    config = config_of(args)
    try:
        key_id, count = bundle.check(args.file)
        keyring = open_keyring(config.data, [])
        pairs = [(keyring.sealing, keyring.signing), *earlier(config.data)]
        signing = next((signer for seal, signer in pairs if seal.id == key_id), None)
        if signing is None:
            raise bundle.BundleError(
                f"is sealed to another collector than the one in {config.data}: bring it to the "
                "one that its agent has joined"
            )
    except bundle.BundleError as error:
        raise CommandError(f"{args.file} {error}.") from error
    said = asyncio.run(_hand_in(config, keyring, args.file, count))
    settled = {name: what for name, what in said.items() if what is not None}
    receipts = args.receipts or args.file.with_name(f"{args.file.name}.receipts")
    _write(receipts, bundle.pack_receipts(key_id, settled, signing, _plan(config)))
    return _tell(args, said, receipts)


def _plan(config: Config) -> bytes:
    """The standing one, for agents that nothing else reaches; nothing before there is one."""
    from heliograph_collector.fleet import Fleet
    from heliograph_collector.ingest.agent_directory import Roll

    with closing(Fleet(config.data)) as fleet:
        plan = Roll(fleet).plan
    return pack(plan.SerializeToString()) if plan.plan else b""


async def _hand_in(
    config: Config, keyring: "Keyring", file: Path, count: int
) -> dict[bytes, bundle.Settled | None]:
    """Envelope's digest → what became of it; None: it has to come again. Raises CommandError."""
    said: dict[bytes, bundle.Settled | None] = {}
    until = asyncio.get_running_loop().time() + PATIENCE_S
    async with _door(config, keyring) as accept:
        for number, envelope in enumerate(_envelopes(file), 1):
            receipt = await _accepted(accept, envelope, until)
            status = _SAID.get(receipt.status)
            name = bundle.digest(envelope)
            said[name] = bundle.Settled(status, receipt.reason) if status else None
            _progress(number, count)
    return said


def _envelopes(file: Path) -> Iterator[bytes]:
    """Raises CommandError: it was whole a moment ago."""
    try:
        yield from bundle.unpack(file)
    except bundle.BundleError as error:
        raise CommandError(f"{file} {error}.") from error


async def _accepted(accept: Accept, envelope: bytes, until: float) -> pb.Receipt:
    """Patient with a collector that is busy, for all envelopes together."""
    while True:
        receipt = await accept(envelope)
        wait_s = max(1, receipt.retry_after_s)
        if receipt.status in _SAID or asyncio.get_running_loop().time() + wait_s > until:
            return receipt
        await asyncio.sleep(wait_s)


@asynccontextmanager
async def _door(config: Config, keyring: "Keyring") -> AsyncIterator[Accept]:
    """Through the running `serve`, else straight into the journal. Raises CommandError."""
    from heliograph_collector.cli.invite import serving

    place = str(serving(config.data).get("http") or "")
    if await asyncio.to_thread(_answers, place):
        yield lambda envelope: asyncio.to_thread(_post, place, envelope)
        return
    async with _journal(config, keyring) as accept:
        yield accept


@asynccontextmanager
async def _journal(config: Config, keyring: "Keyring") -> AsyncIterator[Accept]:
    from prometheus_client import CollectorRegistry

    from heliograph.clock import SystemClock
    from heliograph.envelope import EnvelopeError
    from heliograph_collector.fleet import Fleet
    from heliograph_collector.fleet.keyring import Sealers
    from heliograph_collector.ingest.agent_directory import Roll
    from heliograph_collector.ingest.envelope_opener import Opener, parse
    from heliograph_collector.ingest.geo.lookup import NOWHERE, Geo
    from heliograph_collector.ingest.metrics import Counters
    from heliograph_collector.ingest.receiver import Door
    from heliograph_collector.store.journal.journal import (
        DirectoryInUseError,
        Journal,
        JournalError,
    )

    absent = config.data / "absent"  # a file has no place of origin
    try:
        journal = Journal(config.data / "journal.db")
    except DirectoryInUseError as error:
        raise CommandError(
            f"{error} It is still starting, or stopping: try again in a moment."
        ) from error
    except JournalError as error:
        raise CommandError(str(error)) from error
    fleet = Fleet(config.data)
    roll = Roll(fleet)
    opener = Opener(Sealers(config.data).get, roll.keys_of)
    door = Door(
        roll=roll,
        journal=journal,
        opener=opener,
        geo=Geo(absent, absent, keyring.secret),
        counters=Counters(CollectorRegistry()),
        clock=SystemClock(),
        batches_per_hour=bundle.MAX_ENVELOPES,
    )

    async def accept(envelope: bytes) -> pb.Receipt:
        try:
            message = parse(envelope)
        except EnvelopeError as error:
            return pb.Receipt(status=pb.STATUS_REJECTED, reason=error.reason)
        return await door.take(message, NOWHERE, CARRIER)

    try:
        yield accept
    finally:
        opener.close()
        fleet.close()
        await journal.close()


def _answers(place: str) -> bool:
    """A `serve` that was killed leaves its notice behind."""
    if not place:
        return False
    with suppress(OSError, http.client.HTTPException):
        connection = _connection(place)
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    return False


def _post(place: str, envelope: bytes) -> pb.Receipt:
    """Raises CommandError when it went away."""
    try:
        connection = _connection(place)
        # This machine brings it, and says nothing of the place where it was measured.
        connection.request(
            "POST", "/v1/envelopes", envelope, {http_envelope.PLACE: http_envelope.ELSEWHERE}
        )
        reply = connection.getresponse()
        body, kind = reply.read(4_096), reply.getheader("Content-Type", "")
        connection.close()
    except (OSError, http.client.HTTPException) as error:
        raise CommandError(
            f"The collector at {place} went away: import the bundle again, which takes in the rest."
        ) from error
    if kind != "application/x-protobuf":  # busy
        wait = reply.getheader("Retry-After", "")
        return pb.Receipt(status=pb.STATUS_RETRY, retry_after_s=int(wait) if wait.isdigit() else 5)
    return pb.SubmitResponse.FromString(body).receipt


def _connection(place: str) -> http.client.HTTPConnection:
    host, port = split_endpoint(place)
    return http.client.HTTPConnection(host, port, timeout=POST_S)


def _write(file: Path, data: bytes) -> None:
    """Whole or not at all. Raises CommandError."""
    new = file.with_name(f".{file.name}.new")
    try:
        with new.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(file)
    except OSError as error:
        raise CommandError(
            f"{file} cannot be written ({error.strerror}): name another place with --receipts; "
            "importing the bundle again changes nothing else."
        ) from error


def _tell(
    args: argparse.Namespace, said: dict[bytes, bundle.Settled | None], receipts: Path
) -> int:
    counts = Counter("again" if what is None else what.status for what in said.values())
    reasons = Counter(
        what.reason for what in said.values() if what is not None and what.status == "rejected"
    )
    if args.json:
        told = {name: counts[name] for name in (*bundle.STATUSES, "again")}
        print(json.dumps(told | {"reasons": dict(reasons), "receipts": str(receipts)}))
    else:
        _say(counts, reasons, receipts)
    return 1 if counts["rejected"] or counts["again"] else 0


def _say(counts: Counter[str], reasons: Counter[str], receipts: Path) -> None:
    print(
        f"{counts['stored']} new, {counts['duplicate']} known already, "
        f"{counts['rejected']} refused."
    )
    for reason, count in sorted(reasons.items()):
        print(f"Refused: {count} as {reason}.")
    if counts["again"]:
        print(
            f"{counts['again']} could not be taken in now (busy, or over the agent's quota): import"
            " the bundle again in an hour."
        )
    print(f"Receipts for the agent: {receipts}")


def _progress(number: int, count: int) -> None:
    if sys.stderr.isatty() and (number % EVERY == 0 or number == count):
        end = "\n" if number == count else ""
        print(f"\r{number}/{count}", end=end, file=sys.stderr, flush=True)
