"""Durable files: all or nothing, private, and synced with their folder."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliograph.durable_file import create_file, replace_file


def _failing_pieces() -> Iterator[bytes]:
    yield b"half"
    raise OSError("no space")


def test_replaced_file_is_whole_or_old(tmp_path: Path) -> None:
    path = tmp_path / "key"
    replace_file(path, b"old")
    replace_file(path, iter((b"n", b"ew")))
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", 0o600)
    with pytest.raises(OSError, match="no space"):
        replace_file(path, _failing_pieces())
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["key"]


def test_first_writer_creates_the_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    assert create_file(path, b"first")
    assert not create_file(path, b"second")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"first", 0o600)
    assert [p.name for p in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("durable", [True, False])
def test_file_and_folder_are_synced_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_ino))
    replace_file(tmp_path / "key", b"x", durable=durable)
    inodes = [(tmp_path / "key").stat().st_ino, tmp_path.stat().st_ino]
    assert synced == (inodes if durable else [])


def test_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    """A pipe is written to and kept, as with `--response /dev/stdout`."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    replace_file(pipe, b"word")
    assert os.read(reader, 16) == b"word"
    os.close(reader)
    assert pipe.is_fifo()
