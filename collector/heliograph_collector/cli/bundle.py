"""Command `heliograph-collector import bundle`: import envelopes, write receipts."""

import argparse
import asyncio
import http.client
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliograph import bundle, http_envelope
from heliograph.address import split_endpoint
from heliograph.durable_file import replace_file
from heliograph.plan_chunks import pack_plan
from heliograph.receipts import STATUS_NAMES
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.cli import CommandError, add_command, add_common_options, load_cli_config
from heliograph_collector.config.settings import Config

if TYPE_CHECKING:
    from heliograph_collector.fleet import Keyring
    from heliograph_collector.store.journal.protocol import JournalProtocol

CARRIER = "bundle"
PROGRESS_STEP = 100  # envelopes between two updates of the progress line
MAX_WAIT_S = 120  # for a collector that asks to retry later
POST_TIMEOUT_S = 30.0
AcceptEnvelope = Callable[[bytes], Awaitable[pb.Receipt]]


def add_parser(kinds: "argparse._SubParsersAction[Any]") -> None:
    command = add_command(
        kinds,
        "bundle",
        "a file that `heliograph-agent export` wrote",
        "import bundle results.bundle",
        description="Takes in a bundle of sealed results, each once, whether `serve` runs or not, "
        "and writes the receipts that the agent reads with `export --receipts`. "
        "Exit code: 0 all taken in, 1 something was refused or has to come again, 2 wrong usage.",
    )
    command.add_argument("file", metavar="FILE", type=Path, help="the bundle")
    command.add_argument(
        "--receipts", metavar="FILE", type=Path, help="where to write them (FILE.receipts)"
    )
    command.add_argument("--json", action="store_true", help="one JSON object")
    add_common_options(command, acts_on_collector=True)


def run(args: argparse.Namespace) -> int:
    from heliograph_collector.fleet import open_keyring
    from heliograph_collector.fleet.keyring import load_replaced_pairs

    config = load_cli_config(args)
    try:
        key_id, count = bundle.check_bundle(args.file)
        keyring = open_keyring(config.data, [])
        key_pairs = [(keyring.sealing, keyring.signing), *load_replaced_pairs(config.data)]
        signing = next(
            (signing_key for sealing, signing_key in key_pairs if sealing.id == key_id), None
        )
        if signing is None:
            raise bundle.BundleError(
                f"is sealed to another collector than the one in {config.data}: bring it to the "
                "one that its agent has joined"
            )
    except bundle.BundleError as error:
        raise CommandError(f"{args.file} {error}.") from error
    results = asyncio.run(_import_envelopes(config, keyring, args.file, count))
    final_results = {name: result for name, result in results.items() if result is not None}
    receipts = args.receipts or args.file.with_name(f"{args.file.name}.receipts")
    _write_file(receipts, bundle.pack_receipts(key_id, final_results, signing, _load_plan(config)))
    return _print_result(args, results, receipts)


def _load_plan(config: Config) -> bytes:
    """Load the plan, for agents without another transport; b"" before the first."""
    from heliograph_collector.fleet import Fleet
    from heliograph_collector.ingest.agent_directory import AgentDirectory

    with closing(Fleet(config.data)) as fleet:
        plan = AgentDirectory(fleet).plan
    return pack_plan(plan.SerializeToString()) if plan.plan else b""


async def _import_envelopes(
    config: Config, keyring: "Keyring", file: Path, count: int
) -> dict[bytes, bundle.SignedReceipt | None]:
    """Map envelope digests to their results, None for retry. Raises CommandError."""
    results: dict[bytes, bundle.SignedReceipt | None] = {}
    deadline = asyncio.get_running_loop().time() + MAX_WAIT_S
    async with _open_receiver(config, keyring) as accept:
        for number, envelope in enumerate(_read_envelopes(file), 1):
            receipt = await _accept_with_retries(accept, envelope, deadline)
            status = STATUS_NAMES.get(receipt.status)
            envelope_digest = bundle.digest_envelope(envelope)
            results[envelope_digest] = (
                bundle.SignedReceipt(status, receipt.reason) if status else None
            )
            _print_progress(number, count)
    return results


def _read_envelopes(file: Path) -> Iterator[bytes]:
    """Read envelopes. Raises CommandError if the file has changed since its check."""
    try:
        yield from bundle.unpack_bundle(file)
    except bundle.BundleError as error:
        raise CommandError(f"{file} {error}.") from error


async def _accept_with_retries(
    accept: AcceptEnvelope, envelope: bytes, deadline: float
) -> pb.Receipt:
    """Accept an envelope, retrying until the deadline that all envelopes share."""
    while True:
        receipt = await accept(envelope)
        wait_s = max(1, receipt.retry_after_s)
        if receipt.status in STATUS_NAMES or asyncio.get_running_loop().time() + wait_s > deadline:
            return receipt
        await asyncio.sleep(wait_s)


@asynccontextmanager
async def _open_receiver(config: Config, keyring: "Keyring") -> AsyncIterator[AcceptEnvelope]:
    """Yield the running `serve` or else the journal as receiver. Raises CommandError."""
    from heliograph_collector.config.endpoint_file import read_endpoint

    address = read_endpoint(config.data, "http")
    if await asyncio.to_thread(_is_serving, address):

        async def post_envelope(envelope: bytes) -> pb.Receipt:
            return await asyncio.to_thread(_post_envelope, address, envelope)

        yield post_envelope
        return
    async with _open_journal_receiver(config, keyring) as accept:
        yield accept


@asynccontextmanager
async def _open_journal_receiver(
    config: Config, keyring: "Keyring"
) -> AsyncIterator[AcceptEnvelope]:
    from prometheus_client import CollectorRegistry

    from heliograph.clock import SystemClock
    from heliograph.envelope import EnvelopeError
    from heliograph_collector.fleet import Fleet
    from heliograph_collector.fleet.keyring import SealingKeys
    from heliograph_collector.ingest.agent_directory import AgentDirectory
    from heliograph_collector.ingest.envelope_opener import EnvelopeOpener, parse_envelope
    from heliograph_collector.ingest.geo.lookup import UNKNOWN_LOCATION, GeoLookup
    from heliograph_collector.ingest.metrics import IngestMetrics
    from heliograph_collector.ingest.receiver import EnvelopeReceiver

    missing_file = config.data / "absent"  # a file has no location
    async with _open_journal(config) as journal, AsyncExitStack() as stack:
        fleet = Fleet(config.data)
        stack.callback(fleet.close)
        directory = AgentDirectory(fleet)
        opener = EnvelopeOpener(SealingKeys(config.data), directory)
        stack.callback(opener.close)
        receiver = EnvelopeReceiver(
            directory=directory,
            journal=journal,
            opener=opener,
            geo=GeoLookup(missing_file, missing_file, keyring.secret),
            metrics=IngestMetrics(CollectorRegistry()),
            clock=SystemClock(),
            batches_per_hour=bundle.MAX_ENVELOPES,
        )

        async def accept(envelope: bytes) -> pb.Receipt:
            try:
                message = parse_envelope(envelope)
            except EnvelopeError as error:
                return pb.Receipt(status=pb.STATUS_REJECTED, reason=error.reason)
            return await receiver.receive(message, UNKNOWN_LOCATION, CARRIER)

        yield accept


@asynccontextmanager
async def _open_journal(config: Config) -> "AsyncIterator[JournalProtocol]":
    """Open the journal while `serve` is down. Raises CommandError."""
    from heliograph_collector.store.journal.journal import DirectoryInUseError, JournalError
    from heliograph_collector.store.journal.opening import open_journal

    async with AsyncExitStack() as stack:
        try:
            journal = await stack.enter_async_context(open_journal(config.data, config.journal))
        except DirectoryInUseError as error:
            raise CommandError(
                f"{error} It is still starting, or stopping: try again in a moment."
            ) from error
        except JournalError as error:
            raise CommandError(str(error)) from error
        yield journal


def _is_serving(address: str) -> bool:
    """Return whether `serve` answers; a killed one leaves its endpoint file behind."""
    if not address:
        return False
    with suppress(OSError, http.client.HTTPException):
        connection = _open_connection(address)
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    return False


def _post_envelope(address: str, envelope: bytes) -> pb.Receipt:
    """Post an envelope to `serve`. Raises CommandError when it is gone."""
    try:
        connection = _open_connection(address)
        # The header declares that this machine is not where the envelope was measured.
        connection.request(
            "POST",
            "/v1/envelopes",
            envelope,
            {http_envelope.INTERMEDIARY_HEADER: http_envelope.ELSEWHERE},
        )
        reply = connection.getresponse()
        body = reply.read(4_096)
        content_type = reply.getheader("Content-Type", "")
        connection.close()
    except (OSError, http.client.HTTPException) as error:
        raise CommandError(
            f"The collector at {address} went away: import the bundle again, which "
            "takes in the rest."
        ) from error
    if content_type != "application/x-protobuf":  # busy
        retry_after = reply.getheader("Retry-After", "")
        return pb.Receipt(
            status=pb.STATUS_RETRY, retry_after_s=int(retry_after) if retry_after.isdigit() else 5
        )
    return pb.SubmitResponse.FromString(body).receipt


def _open_connection(address: str) -> http.client.HTTPConnection:
    host, port = split_endpoint(address)
    return http.client.HTTPConnection(host, port, timeout=POST_TIMEOUT_S)


def _write_file(file: Path, data: bytes) -> None:
    """Write the whole file or nothing. Raises CommandError."""
    try:
        replace_file(file, data, mode=0o644)
    except OSError as error:
        raise CommandError(
            f"{file} cannot be written ({error.strerror}): name another place with --receipts; "
            "importing the bundle again changes nothing else."
        ) from error


def _print_result(
    args: argparse.Namespace, results: dict[bytes, bundle.SignedReceipt | None], receipts: Path
) -> int:
    counts = Counter("again" if result is None else result.status for result in results.values())
    reasons = Counter(
        result.reason
        for result in results.values()
        if result is not None and result.status == "rejected"
    )
    if args.json:
        count_by_status = {name: counts[name] for name in (*bundle.STATUSES, "again")}
        print(json.dumps(count_by_status | {"reasons": dict(reasons), "receipts": str(receipts)}))
    else:
        _print_counts(counts, reasons, receipts)
    return 1 if counts["rejected"] or counts["again"] else 0


def _print_counts(counts: Counter[str], reasons: Counter[str], receipts: Path) -> None:
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


def _print_progress(number: int, count: int) -> None:
    if sys.stderr.isatty() and (number % PROGRESS_STEP == 0 or number == count):
        end = "\n" if number == count else ""
        print(f"\r{number}/{count}", end=end, file=sys.stderr, flush=True)
