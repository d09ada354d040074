"""Encode the line that names a relay, and the receipt that passes through it.

A relay is another volunteer's agent. It takes sealed envelopes for the one collector it serves
itself, and can neither read them nor settle them: a receipt by a relay counts only as signed by
the collector. Pure.
"""

import base64
import binascii

from google.protobuf.message import DecodeError

from heliograph import bundle, codec, keys
from heliograph.bundle import SignedReceipt
from heliograph.plan import Carrier, Entrance
from heliograph.v1 import intake_pb2 as pb
from heliograph.v1 import plan_pb2

PREFIX = "heliograph-relay1:"
MAX_LINE = 1_024


class RelayLineError(ValueError):
    """A line that names no relay; str() says why, to follow the line's place."""


def format_relay_line(entrance: Entrance) -> str:
    """The one line that names a relay."""
    raw = codec.entrance_to_pb(entrance).SerializeToString(deterministic=True)
    return PREFIX + base64.urlsafe_b64encode(raw).decode().rstrip("=")


def parse_relay_line(line: str) -> Entrance:
    """Raises RelayLineError."""
    compact_line = "".join(line.split())
    if not compact_line.startswith(PREFIX) or len(compact_line) > MAX_LINE:
        raise RelayLineError(f"is no relay's line: it begins with {PREFIX}")
    body = compact_line.removeprefix(PREFIX)
    try:
        raw = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
        (entrance,) = codec.entrances_from_pb([plan_pb2.Entrance.FromString(raw)])
    except (binascii.Error, DecodeError, ValueError) as error:  # CodecError is one
        raise RelayLineError("was cut short or changed: copy the whole line again") from error
    if entrance.carrier is not Carrier.RELAY or not entrance.host or not entrance.port:
        raise RelayLineError("names no relay")
    return entrance


def sign_receipt(
    envelope: bytes, key_id: bytes, receipt: pb.Receipt, signer: keys.SigningKey
) -> bytes:
    """A receipt that settles its envelope, as it may travel by a relay; b"" for one that does not.

    `key_id` is what the envelope was sealed to.
    """
    status = _NAME_BY_STATUS.get(receipt.status)
    if status is None:
        return b""
    receipts = {bundle.digest_envelope(envelope): SignedReceipt(status, receipt.reason)}
    return bundle.pack_receipts(key_id, receipts, signer)


def verify_relayed_receipt(
    envelope: bytes, key_id: bytes, response: pb.SubmitResponse, signing_key: bytes
) -> pb.Receipt | None:
    """What the collector itself said of this envelope; None where it said nothing of it."""
    try:
        receipts = bundle.unpack_receipts(response.receipts, key_id, signing_key)
    except bundle.BundleError:
        return None
    receipt = receipts.get(bundle.digest_envelope(envelope))
    if receipt is None:
        return None
    return pb.Receipt(status=_STATUS_BY_NAME[receipt.status], reason=receipt.reason)


_NAME_BY_STATUS = {
    pb.STATUS_STORED: "stored",
    pb.STATUS_DUPLICATE: "duplicate",
    pb.STATUS_REJECTED: "rejected",
}
_STATUS_BY_NAME = {word: status for status, word in _NAME_BY_STATUS.items()}
