"""The HTTP that the envelope entrance accepts, and its answers to other input."""

import pytest

from heliograph.http_envelope import (
    MAX_BODY,
    MAX_HEAD,
    MAX_HEADERS,
    MAX_PIECES,
    EnvelopeRequest,
    RequestReader,
    RequestRefusedError,
    format_refusal,
    format_reply,
)
from heliograph.v1 import intake_pb2 as pb
from support.values import present

WHOLE = b"POST /v1/envelopes HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"


def parse_request(sent: bytes) -> EnvelopeRequest | None:
    return RequestReader().feed_data(sent)


@pytest.mark.parametrize("size", [1, 2, 3, 5, len(WHOLE)])
def test_a_request_is_there_when_its_last_byte_is(size: int) -> None:
    reader = RequestReader()
    *early, last = [WHOLE[at : at + size] for at in range(0, len(WHOLE), size)]
    assert [reader.feed_data(piece) for piece in early] == [None] * len(early)
    request = present(reader.feed_data(last))
    assert (request.envelope, request.forwarded, request.intermediary) == (b"abc", "", "")


def test_it_says_by_which_proxies_it_came_and_whether_the_peer_is_one() -> None:
    more = b"X-Forwarded-For: 192.0.2.1\r\nx-forwarded-for: 192.0.2.2\r\nHeliograph-Place: x\r\n"
    request = present(parse_request(WHOLE.replace(b"Host: x\r\n", more)))
    assert request.forwarded == "192.0.2.1,192.0.2.2"
    assert request.intermediary == "elsewhere"
    relay = present(parse_request(WHOLE.replace(b"Host: x", b"heliograph-place: relay")))
    assert relay.intermediary == "relay"


def test_it_says_how_much_of_a_plan_the_agent_has() -> None:
    for said, held in (
        (b"5", pb.PlanHeld(version=5)),
        (b"5 6/4096", pb.PlanHeld(version=5, next=6, bytes=4_096)),
        (b"five", None),
        (b"5 6/" + b"9" * 40, None),
    ):
        request = present(parse_request(WHOLE.replace(b"Host: x", b"Heliograph-Plan: " + said)))
        assert request.plan == held


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (WHOLE.replace(b"POST", b"GET"), 405),
        (WHOLE.replace(b"/v1/envelopes", b"/"), 404),
        (WHOLE.replace(b"HTTP/1.1", b"HTTP/2.0"), 400),
        (b"\r\n\r\n", 400),
        (WHOLE.replace(b"Content-Length: 3\r\n", b""), 411),
        (WHOLE.replace(b"Host: x", b"Transfer-Encoding: chunked"), 411),
        (WHOLE.replace(b"Host: x", b"Content-Length: 4"), 400),
        (WHOLE.replace(b"Length: 3", b"Length: 0"), 400),
        (WHOLE.replace(b"Length: 3", b"Length: -3"), 400),
        (WHOLE.replace(b"Length: 3", b"Length: 0x3"), 400),
        (WHOLE.replace(b"Length: 3", b"Length: " + b"9" * 400), 413),
        (WHOLE.replace(b"Length: 3", b"Length: %d" % (MAX_BODY + 1)), 413),
        (WHOLE.replace(b"Host: x", b"Host : x"), 400),
        (WHOLE.replace(b"Host: x", b" folded"), 400),
        (b"POST /v1/envelopes HTTP/1.1\r\nA: " + b"a" * MAX_HEAD + b"\r\n\r\n", 431),
        (b"a" * (MAX_HEAD + 4), 431),
        (WHOLE.replace(b"Host: x\r\n", b"a:\r\n" * MAX_HEADERS), 431),
    ],
)
def test_what_is_not_understood_is_refused_with_its_status(sent: bytes, status: int) -> None:
    with pytest.raises(RequestRefusedError) as refused:
        parse_request(sent)
    assert refused.value.status == status
    assert format_refusal(status).startswith(b"HTTP/1.1 %d " % status)


def feed_all(reader: RequestReader, pieces: list[bytes]) -> None:
    for piece in pieces:
        reader.feed_data(piece)


def test_work_grows_with_the_bytes_and_not_with_the_pieces() -> None:
    """Work grows with the bytes and not with the pieces.

    A thousand tiny headers, then a body in one-byte records took 8 s of CPU for 268 kB once.
    """
    fields = b"".join(b"a:\r\n" for _ in range(MAX_HEADERS - 2))
    head = WHOLE.partition(b"Content-Length")[0] + fields
    start = head + b"Content-Length: %d\r\n\r\n" % MAX_BODY
    pieces = [start[at : at + 100] for at in range(0, len(start), 100)] + [b"x"] * 10_000
    reader = RequestReader()
    with pytest.raises(RequestRefusedError):
        feed_all(reader, pieces)
    assert reader.work < 4 * len(start) + 4 * MAX_PIECES
    whole = RequestReader()
    assert whole.feed_data(start + b"x" * MAX_BODY) is not None
    assert whole.work < 3 * (len(start) + MAX_BODY)


def test_a_proxy_s_small_records_are_enough_for_the_largest_envelope() -> None:
    sent = b"POST /v1/envelopes HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % MAX_BODY
    sent += b"x" * MAX_BODY
    reader = RequestReader()
    pieces = [sent[at : at + 1_300] for at in range(0, len(sent), 1_300)]
    assert [reader.feed_data(piece) for piece in pieces][-1] is not None


def test_a_receipt_is_the_body_whatever_it_says() -> None:
    receipt = pb.Receipt(sequence=7, status=pb.STATUS_RETRY, retry_after_s=9)
    head, _, body = format_reply(pb.SubmitResponse(receipt=receipt)).partition(b"\r\n\r\n")
    assert pb.SubmitResponse.FromString(body).receipt == receipt
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 9" in head
