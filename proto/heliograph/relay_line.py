"""Encode the line that names a relay, and the receipt that passes through it.

A relay is another volunteer's agent. It accepts sealed envelopes only for the collector that it
serves itself. It can neither read nor acknowledge them: a receipt that comes through a relay
counts only with the collector's signature. Pure.
"""

from google.protobuf.message import DecodeError

from heliograph import bundle, codec, keys
from heliograph.base64url import decode_base64url, encode_base64url
from heliograph.bundle import SignedReceipt
from heliograph.plan import Carrier, Entrance
from heliograph.receipts import STATUS_NAMES
from heliograph.v1 import intake_pb2 as pb
from heliograph.v1 import plan_pb2

PREFIX = "heliograph-relay1:"
MAX_LINE = 1_024


class RelayLineError(ValueError):
    """Report a bad relay line; str() is the reason, to print after the line's place."""


def format_relay_line(entrance: Entrance) -> str:
    """Format the line that names a relay."""
    raw = codec.entrance_to_pb(entrance).SerializeToString(deterministic=True)
    return PREFIX + encode_base64url(raw)


def parse_relay_line(line: str) -> Entrance:
    """Parse the line that names a relay. Raises RelayLineError."""
    compact_line = "".join(line.split())
    if not compact_line.startswith(PREFIX) or len(compact_line) > MAX_LINE:
        raise RelayLineError(f"is no relay's line: it begins with {PREFIX}")
    try:
        raw = decode_base64url(compact_line.removeprefix(PREFIX))
        (entrance,) = codec.entrances_from_pb([plan_pb2.Entrance.FromString(raw)])
    except (DecodeError, ValueError) as error:  # CodecError is one
        raise RelayLineError("was cut short or changed: copy the whole line again") from error
    if entrance.carrier is not Carrier.RELAY or not entrance.host or not entrance.port:
        raise RelayLineError("names no relay")
    return entrance


def sign_receipt(
    envelope: bytes, key_id: bytes, receipt: pb.Receipt, signer: keys.SigningKey
) -> bytes:
    """Sign a final receipt for its way through a relay; b"" for a receipt that is not.

    `key_id` names the key that the envelope was sealed to.
    """
    status = STATUS_NAMES.get(receipt.status)
    if status is None:
        return b""
    receipts = {bundle.digest_envelope(envelope): SignedReceipt(status, receipt.reason)}
    return bundle.pack_receipts(key_id, receipts, signer)


def verify_relayed_receipt(
    envelope: bytes, key_id: bytes, response: pb.SubmitResponse, signing_key: bytes
) -> pb.Receipt | None:
    """Return the collector's own receipt for this envelope; None without a valid one."""
    try:
        receipts = bundle.unpack_receipts(response.receipts, key_id, signing_key)
    except bundle.BundleError:
        return None
    receipt = receipts.get(bundle.digest_envelope(envelope))
    if receipt is None:
        return None
    return pb.Receipt(status=_STATUS_BY_NAME[receipt.status], reason=receipt.reason)


_STATUS_BY_NAME = {name: status for status, name in STATUS_NAMES.items()}
