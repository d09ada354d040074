"""A pytest plugin that hides what only POSIX has: `-p support.hidden_posix`.

Windows has no fcntl, resource, pwd or grp, no users, no positioned reads, no netlink, no sockets
with a path, and its Proactor loop watches neither sockets nor signals. The names are those which
Python's manual marks "Availability: Unix" or "not Windows". LockFileEx is played by the lock that
is hidden, so that what the agent does with it is tried; Windows itself is not.
"""

import asyncio
import builtins
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import pytest

from support.windows_kernel import WindowsKernel

HIDDEN_MODULES = ("fcntl", "resource", "pwd", "grp", "termios", "syslog")
HIDDEN_IN_OS = (
    "geteuid", "getuid", "getegid", "getgid", "getgroups", "setuid", "setgid", "chown", "fchmod",
    "pread", "pwrite", "preadv", "pwritev", "statvfs", "sysconf", "uname", "getloadavg", "nice",
    "killpg", "getpgid", "setsid", "O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC",
)  # fmt: skip
HIDDEN_IN_SOCKET = ("AF_NETLINK", "AF_PACKET", "AF_UNIX", "SO_BINDTODEVICE", "TCP_MAXSEG")
HIDDEN_IN_TIME = ("CLOCK_BOOTTIME",)
WATCHING = ("add_reader", "add_writer", "add_signal_handler")
SKIPPED = {
    "test_tor.py::": "tor's sockets are files",
    "::test_a_bootstrap[real]": "tor's sockets are files",
    "::test_key_renewal_replaces_key_after_confirmation": "asserts that a folder was synced",
}
PRODUCT = ("heliograph", "heliograph_agent")
_import = builtins.__import__


class _ProductView(ModuleType):
    """A module as the agent's code sees it; libraries and the suite see it whole."""

    def __init__(self, whole: ModuleType, hidden: Sequence[str]) -> None:
        super().__init__(whole.__name__)
        self._whole = whole
        self._hidden = frozenset(hidden)

    def __getattr__(self, name: str) -> object:
        if name in self._hidden:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} (hidden)")
        return getattr(self._whole, name)


_VIEWS: Mapping[str, ModuleType] = {
    "os": _ProductView(os, HIDDEN_IN_OS),
    "socket": _ProductView(socket, HIDDEN_IN_SOCKET),
    "time": _ProductView(sys.modules["time"], HIDDEN_IN_TIME),
}


def _import_for_product(
    name: str,
    globals: Mapping[str, Any] | None = None,  # noqa: A002 the name is Python's
    locals: Mapping[str, Any] | None = None,  # noqa: A002
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> ModuleType:
    importer = str((globals or {}).get("__name__", ""))
    if importer.partition(".")[0] in PRODUCT and not level:
        if name in HIDDEN_MODULES:
            raise ModuleNotFoundError(f"No module named {name!r} (hidden)", name=name)
        if name in _VIEWS:
            return _VIEWS[name]
    return _import(name, globals, locals, fromlist or (), level)


def _refuse_product(name: str) -> Callable[..., object]:
    whole = getattr(asyncio.SelectorEventLoop, name)

    def method(*args: object) -> object:
        importer = str(sys._getframe(1).f_globals.get("__name__", ""))
        if importer.partition(".")[0] in PRODUCT:
            raise NotImplementedError
        return whole(*args)

    return method


class ProactorLikeLoop(asyncio.SelectorEventLoop):
    """A loop that has sockets for itself but watches none of the agent's."""


for _name in WATCHING:
    setattr(ProactorLikeLoop, _name, _refuse_product(_name))


class ProactorLikePolicy(asyncio.DefaultEventLoopPolicy):
    """A policy of that loop for pytest-asyncio and asyncio.run."""

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return ProactorLikeLoop()


def _hide() -> None:
    imported = [name for name in sys.modules if name.partition(".")[0] in PRODUCT]
    if imported:
        raise RuntimeError(f"the product was imported before its world was hidden: {imported[:3]}")
    builtins.__import__ = _import_for_product
    asyncio.set_event_loop_policy(ProactorLikePolicy())
    from heliograph_agent.platform import windows_lock

    windows_lock._call_kernel = WindowsKernel().call


_hide()  # as early as a plugin can: conftest.py imports the product


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of what such a system cannot do."""
    for item in items:
        for place, reason in SKIPPED.items():
            if place in item.nodeid:
                item.add_marker(pytest.mark.skip(reason=reason))
