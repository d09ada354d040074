"""Commands reach a running collector by its socket, also after a bad moment of it."""

import asyncio
import errno
import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Event

import pytest

from heliograph import local_socket

NAME = "test.sock"


async def echo(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, await loop.sock_recv(connection, 64))


async def ask(data: Path, word: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    with await local_socket.connect(data, NAME, 5.0) as connection:
        await loop.sock_sendall(connection, word)
        return await loop.sock_recv(connection, 64)


async def test_callers_are_answered_after_a_moment_without_file_descriptors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    accept = loop.sock_accept
    refusals = [errno.EMFILE, errno.ENFILE]

    async def accept_after_refusals(listener: socket.socket) -> tuple[socket.socket, object]:
        if refusals:
            raise OSError(refusals.pop(), "refused")
        return await accept(listener)

    monkeypatch.setattr(loop, "sock_accept", accept_after_refusals)
    monkeypatch.setattr(local_socket, "_PAUSE_S", 0.0)
    async with asyncio.TaskGroup() as group:
        server = group.create_task(local_socket.serve(tmp_path, NAME, echo))
        assert [await ask(tmp_path, word) for word in (b"one", b"two")] == [b"one", b"two"]
        server.cancel()
    assert not refusals
    assert not (tmp_path / NAME).exists()


async def test_a_broken_listener_ends_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(listener: socket.socket) -> None:
        raise OSError(errno.EBADF, "refused")

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_accept", refuse)
    with pytest.raises(OSError, match="refused"):
        await local_socket.serve(tmp_path, NAME, echo)


async def test_a_full_queue_holds_a_caller_no_longer_than_its_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_socket, "_PAUSE_S", 0.0)
    with local_socket.listen(tmp_path, NAME), ExitStack() as waiting:  # and nobody accepts

        async def fill_queue() -> None:
            for _ in range(64):
                waiting.enter_context(await local_socket.connect(tmp_path, NAME, 0.05))

        with pytest.raises(BlockingIOError):
            await fill_queue()


def test_the_socket_is_its_owners_and_folders_of_other_threads_can_be_entered(
    tmp_path: Path,
) -> None:
    """A umask holds for all threads: the detectors' folder was made without the right to enter it.

    From then on they could neither read nor write their state.
    """
    data = tmp_path / "data"
    folders = tmp_path / "folders"
    data.mkdir()
    folders.mkdir()
    is_over = Event()

    def make_folders() -> None:
        count = 0
        while not is_over.is_set():
            (folders / str(count)).mkdir()
            count += 1

    with ThreadPoolExecutor(1) as pool:
        maker = pool.submit(make_folders)
        try:
            for _ in range(500):
                with local_socket.listen(data, NAME):
                    assert stat.S_IMODE((data / NAME).lstat().st_mode) == 0o600
        finally:
            is_over.set()
        maker.result(timeout=60)
    made = list(folders.iterdir())
    assert made
    assert not [folder.name for folder in made if not folder.stat().st_mode & stat.S_IXUSR]
