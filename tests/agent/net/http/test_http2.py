"""Pages over HTTP/2, from a server that speaks nothing else."""

import hashlib
from collections.abc import Callable

import pytest
from hyperframe.frame import DataFrame, PingFrame

from heliograph.failure import Failure, Operation
from heliograph_agent.net.http.http2 import DataScanner
from heliograph_agent.net.trace import StepTrace
from support.http2_server import Http2Reply, Http2Request, http2_server
from support.loopback_ca import LoopbackCA
from support.net_fixtures import Opening
from support.ports import HOST
from support.values import present

NAME = "www.example.test"
OK = (":status", "200")
PAGE = b"<title>A page</title>" + b"x" * 200_000  # more than the first window of a stream

Answer = Callable[[Http2Request], Http2Reply]


async def load(opening: Opening, ca: LoopbackCA, answer: Answer, method: str = "GET") -> StepTrace:
    net, trace = opening()
    with http2_server(ca.leaf(NAME), answer) as port:
        _, stream = await net.connect(HOST, port)
        _, tls = await net.handshake(present(stream), NAME)
        url = f"https://{NAME}:{port}/a?b"
        await net.http(present(tls), url, method=method, headers={"Cookie": "a=b"})
    return trace


async def test_a_page_arrives_as_by_http_1(opening: Opening, ca: LoopbackCA) -> None:
    requests: list[Http2Request] = []

    def answer(request: Http2Request) -> Http2Reply:
        requests.append(request)
        headers = [OK, ("server", "x"), ("set-cookie", "c=d"), ("content-type", "text/html")]
        return Http2Reply(headers, PAGE, interim=[(":status", "103")])

    trace = await load(opening, ca, answer)
    head, body = trace.observations[-2:]
    assert (head.operation, body.operation) == (Operation.HTTP_ROUND_TRIP, Operation.READ_BODY)
    http = present(body.http)
    assert (http.status, http.version, http.server, http.title) == (200, "2", "x", "A page")
    assert (http.body_bytes, http.truncated) == (len(PAGE), False)
    assert http.body_sha256 == hashlib.sha256(PAGE).hexdigest()
    assert http.header_names == ("content-type", "server", "set-cookie")


async def test_a_connection_is_a_firefox_s(opening: Opening, ca: LoopbackCA) -> None:
    requests: list[Http2Request] = []

    def answer(request: Http2Request) -> Http2Reply:
        requests.append(request)
        return Http2Reply([OK])

    await load(opening, ca, answer)
    (request,) = requests
    names = [name for name, _ in request.headers]
    assert names[:4] == [":method", ":path", ":authority", ":scheme"]
    assert request.fields["te"] == "trailers"
    assert request.fields["cookie"] == "a=b"
    assert not {"connection", "host"} & set(names)
    assert request.settings == {1: 65_536, 2: 0, 4: 131_072, 5: 16_384}


@pytest.mark.parametrize(
    ("reply", "operation", "failure"),
    [
        (Http2Reply([], is_reset=True), Operation.HTTP_ROUND_TRIP, Failure.HTTP_REQUEST_FAILED),
        (Http2Reply([], is_cut=True), Operation.HTTP_ROUND_TRIP, Failure.EOF_ERROR),
        (Http2Reply([OK], b"a", is_reset=True), Operation.READ_BODY, Failure.HTTP_TRUNCATED_BODY),
        (Http2Reply([OK], b"a", is_cut=True), Operation.READ_BODY, Failure.HTTP_TRUNCATED_BODY),
        (Http2Reply([(":status", "204")]), Operation.READ_BODY, None),
    ],
)
async def test_what_ends_early_has_a_name(
    opening: Opening,
    ca: LoopbackCA,
    reply: Http2Reply,
    operation: Operation,
    failure: Failure | None,
) -> None:
    trace = await load(opening, ca, lambda _: reply)
    last = trace.observations[-1]
    assert (last.operation, last.failure) == (operation, failure)


@pytest.mark.parametrize("padded_from", [9, 1, 0], ids=["none", "the second", "all"])
@pytest.mark.parametrize("step", [1, 7, 8, 9, 10, 50])
def test_payload_is_taken_as_it_arrives(step: int, padded_from: int) -> None:
    """In pieces of any size; what h2 tells afterwards adds the frames with padding alone."""
    payloads = [b"first" * 5, b"", b"another" * 9]
    frames = [DataFrame(1, data) for data in payloads]
    for frame in frames[padded_from:]:
        frame.flags.add("PADDED")
        frame.pad_length = 3
    others = [PingFrame(opaque_data=b"12345678"), DataFrame(3, b"of another stream")]
    sent = [frame for pair in zip(frames, [*others, others[0]], strict=True) for frame in pair]
    data = b"".join(frame.serialize() for frame in sent)
    scanner = DataScanner(1)
    early = b"".join(scanner.feed(data[at : at + step]) for at in range(0, len(data), step))
    assert early == b"".join(payloads[:padded_from])
    late = [payload for payload in payloads if not scanner.has_taken()]
    assert late == payloads[padded_from:]


def test_part_of_a_frame_is_payload_too() -> None:
    frame = DataFrame(1, b"x" * 8_192).serialize()
    assert len(DataScanner(1).feed(frame[:5_009])) == 5_000
