"""The relay of a browser's page: the records it reads, and the clients it serves."""

import asyncio
import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph_agent.net.browser.relay import HOST, ObservingRelay, RecordReader
from support.net_fixtures import Opening
from support.tcp_server import reply, tcp_server
from support.values import present


def record(kind: int, size: int) -> bytes:
    return bytes((kind, 3, 3)) + size.to_bytes(2, "big") + bytes(size)


HELLO, CHANGE, ALERT = record(22, 300), record(20, 1), b"\x15\x03\x03\x00\x02\x02\x28"
FINISHED_12, FINISHED_13, LAST_WORD, DATA = (
    record(22, 40), record(23, 53), record(23, 19), record(23, 90),
)  # fmt: skip
CLIENTS = (
    ((HELLO,), False, None),
    ((HELLO, ALERT), False, 40),
    ((HELLO, CHANGE, FINISHED_13), False, None),
    ((HELLO, CHANGE, FINISHED_13, LAST_WORD), False, None),
    ((HELLO, CHANGE, FINISHED_13, DATA), True, None),
    ((HELLO, HELLO, CHANGE, FINISHED_12), False, None),
    ((HELLO, CHANGE, FINISHED_12, DATA), True, None),
    ((HELLO, record(23, 0), CHANGE, FINISHED_13, DATA), True, None),
)


@given(st.sampled_from(CLIENTS), st.integers(1, 400))
def test_records_in_pieces_of_any_size(
    client: tuple[tuple[bytes, ...], bool, int | None], piece: int
) -> None:
    records, has_data, alert = client
    said = b"".join(records)
    reader = RecordReader()
    for start in range(0, len(said), piece):
        reader.feed(said[start : start + piece])
    assert (reader.has_data, reader.alert, reader.first_record) == (has_data, alert, HELLO)


@given(st.lists(st.binary(max_size=40_000), max_size=3))
def test_any_bytes_are_read_and_few_are_kept(pieces: list[bytes]) -> None:
    reader = RecordReader()
    for piece in pieces:
        reader.feed(piece)
    assert len(reader.start) <= 16_640


@pytest.mark.parametrize("token", ["", "Proxy-Authorization: Basic YWdlbnQ6MDA=\r\n"])
async def test_a_stranger_gets_nothing_and_takes_no_turn(opening: Opening, token: str) -> None:
    net, _ = opening(local_targets=True)
    with tcp_server(reply(b"hello")) as port:
        _, stream = await net.connect(HOST, port)
        relay = ObservingRelay(present(stream), b"\x01")
        async with asyncio.TaskGroup() as group:
            relaying = group.create_task(relay.run())
            assert await ask(relay.port, token) == b""
            own = base64_of(relay.credentials)
            answer = await ask(relay.port, f"Proxy-Authorization: Basic {own}\r\n", b"\x16")
            relay.close()
            relaying.cancel()
    assert answer == b"HTTP/1.1 200 Connected\r\n\r\nhello"


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def ask(port: int, headers: str, then: bytes = b"") -> bytes:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(f"CONNECT x:443 HTTP/1.1\r\n{headers}\r\n".encode() + then)
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()
