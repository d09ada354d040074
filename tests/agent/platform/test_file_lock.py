"""Two handles on one file exclude each other, by flock(2) and as LockFileEx does."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliograph_agent.platform import file_lock, windows_lock
from support.windows_kernel import WindowsKernel

Handles = tuple[int, int]


@pytest.fixture(params=["this system", "Windows"])
def handles(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Handles]:
    if request.param == "Windows":
        monkeypatch.setattr(windows_lock, "_call_kernel", WindowsKernel().call)
        monkeypatch.setattr(file_lock, "lock", windows_lock.lock)
    opened = [file_lock.open_lock_file(tmp_path / "lock") for _ in range(2)]
    yield opened[0], opened[1]
    for handle in opened:
        os.close(handle)


def test_shared_is_shared_and_excludes_the_exclusive(handles: Handles) -> None:
    first, second = handles
    assert file_lock.lock_shared(first)
    assert file_lock.lock_shared(second)
    assert not file_lock.lock_exclusive(first)


def test_exclusive_is_alone_until_it_shares_again(handles: Handles) -> None:
    first, second = handles
    assert file_lock.lock_shared(first)
    assert file_lock.lock_exclusive(first)
    assert not file_lock.lock_shared(second)
    file_lock.share_lock_again(first)
    assert file_lock.lock_shared(second)


def test_lock_goes_with_its_handle(handles: Handles, tmp_path: Path) -> None:
    third = file_lock.open_lock_file(tmp_path / "lock")
    assert file_lock.lock_exclusive(third)
    assert not file_lock.lock_exclusive(handles[0])
    os.close(third)
    assert file_lock.lock_exclusive(handles[0])
