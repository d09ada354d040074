"""A relay is found by its line, and is believed nothing that the collector has not signed."""

import pytest

from heliograph import keys
from heliograph.plan import Carrier, Entrance
from heliograph.relay_line import PREFIX, RelayLineError, believed, line_of, parse_line, signed
from heliograph.v1 import intake_pb2 as pb

RELAY = Entrance(carrier=Carrier.RELAY, host="192.0.2.7", port=7_446, pin=bytes(range(32)).hex())
SIGNER, OTHER = keys.SigningKey(bytes(range(32))), keys.SigningKey(bytes(32))
ENVELOPE, KEY_ID = b"sealed", b"12345678"
STORED = pb.Receipt(sequence=7, status=pb.STATUS_STORED)


def test_a_line_comes_back_as_the_relay_it_names() -> None:
    line = line_of(RELAY)
    assert parse_line(f" {line[:30]}\n{line[30:]}") == RELAY


@pytest.mark.parametrize(
    "line",
    [
        "heliograph1:AAAA",
        PREFIX + "!",
        line_of(RELAY)[:-9],
        PREFIX + "A" * 2_000,
        line_of(Entrance(carrier=Carrier.POST, host="a.example", port=1)),
    ],
)
def test_another_line_is_refused_with_the_reason(line: str) -> None:
    with pytest.raises(RelayLineError, match=r"\w"):
        parse_line(line)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (pb.STATUS_STORED, ""),
        (pb.STATUS_DUPLICATE, ""),
        (pb.STATUS_REJECTED, "bad_seal"),
    ],
)
def test_what_the_collector_signed_is_believed(status: "pb.Status.ValueType", reason: str) -> None:
    receipt = pb.Receipt(status=status, reason=reason)
    response = pb.SubmitResponse(receipts=signed(ENVELOPE, KEY_ID, receipt, SIGNER))
    assert believed(ENVELOPE, KEY_ID, response, SIGNER.public) == receipt


def test_nothing_else_is() -> None:
    def heard(receipts: bytes, envelope: bytes = ENVELOPE) -> object:
        response = pb.SubmitResponse(receipt=STORED, receipts=receipts)
        return believed(envelope, KEY_ID, response, SIGNER.public)

    good = signed(ENVELOPE, KEY_ID, STORED, SIGNER)
    assert heard(b"") is None, "a relay's own word"
    assert heard(signed(ENVELOPE, KEY_ID, STORED, OTHER)) is None
    assert heard(good, b"another envelope") is None
    assert heard(good[:-1]) is None
    assert heard(good[:-2] + b"\1" + good[-1:]) is None
    again = pb.Receipt(status=pb.STATUS_RETRY, retry_after_s=9)
    assert signed(ENVELOPE, KEY_ID, again, SIGNER) == b"", "that it may come again settles nothing"
