"""A relay is reached by its line, and trusted only with what its collector signed."""

import pytest

from heliograph import keys
from heliograph.plan import Carrier, Entrance
from heliograph.relay_line import (
    PREFIX,
    RelayLineError,
    format_relay_line,
    parse_relay_line,
    sign_receipt,
    verify_relayed_receipt,
)
from heliograph.v1 import intake_pb2 as pb

RELAY = Entrance(carrier=Carrier.RELAY, host="192.0.2.7", port=7_446, pin=bytes(range(32)).hex())
SIGNER, OTHER = keys.SigningKey(bytes(range(32))), keys.SigningKey(bytes(32))
ENVELOPE, KEY_ID = b"sealed", b"12345678"
STORED = pb.Receipt(sequence=7, status=pb.STATUS_STORED)


def test_a_line_comes_back_as_the_relay_it_names() -> None:
    line = format_relay_line(RELAY)
    assert parse_relay_line(f" {line[:30]}\n{line[30:]}") == RELAY


@pytest.mark.parametrize(
    "line",
    [
        "heliograph1:AAAA", PREFIX + "!", format_relay_line(RELAY)[:-9], PREFIX + "A" * 2_000,
        format_relay_line(Entrance(carrier=Carrier.POST, host="a.example", port=1)),
    ],
)  # fmt: skip
def test_another_line_is_refused_with_the_reason(line: str) -> None:
    with pytest.raises(RelayLineError, match=r"\w"):
        parse_relay_line(line)


@pytest.mark.parametrize(
    ("status", "reason"),
    [(pb.STATUS_STORED, ""), (pb.STATUS_DUPLICATE, ""), (pb.STATUS_REJECTED, "bad_seal")],
)  # fmt: skip
def test_what_the_collector_signed_is_believed(status: "pb.Status.ValueType", reason: str) -> None:
    receipt = pb.Receipt(status=status, reason=reason)
    response = pb.SubmitResponse(receipts=sign_receipt(ENVELOPE, KEY_ID, receipt, SIGNER))
    assert verify_relayed_receipt(ENVELOPE, KEY_ID, response, SIGNER.public) == receipt


def test_nothing_else_is() -> None:
    def heard(receipts: bytes, envelope: bytes = ENVELOPE) -> object:
        response = pb.SubmitResponse(receipt=STORED, receipts=receipts)
        return verify_relayed_receipt(envelope, KEY_ID, response, SIGNER.public)

    good = sign_receipt(ENVELOPE, KEY_ID, STORED, SIGNER)
    assert heard(b"") is None, "a relay's own word"
    assert heard(sign_receipt(ENVELOPE, KEY_ID, STORED, OTHER)) is None
    assert heard(good, b"another envelope") is None
    assert heard(good[:-1]) is None
    assert heard(good[:-2] + b"\1" + good[-1:]) is None
    again = pb.Receipt(status=pb.STATUS_RETRY, retry_after_s=9)
    assert sign_receipt(ENVELOPE, KEY_ID, again, SIGNER) == b"", (
        "that it may come again settles nothing"
    )
