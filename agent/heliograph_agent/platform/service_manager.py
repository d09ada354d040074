"""Install, remove and ask for a service by the manager that this system has.

As an ordinary user it is one of that user's own; as root it is one of the system's, which runs as
the user who is named. Each manager is asked by its own program, within a deadline.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from heliograph.durable_file import replace_file
from heliograph_agent.platform.process import find_user_name, user_id
from heliograph_agent.platform.service_files import (
    LABEL,
    make_launchd_plist,
    make_systemd_unit,
    make_windows_task,
)

ANSWER_S = 30.0
UNIT = "heliograph-agent.service"


class ServiceError(Exception):
    """Report what the manager refused; str() is a sentence for the user, with the cure."""


@dataclass(frozen=True, slots=True)
class Systemd:
    """Linux, where systemd(1) is the first process."""

    user: str  # "": the user's own manager
    folder: Path

    def install(self, command: Sequence[str]) -> Path:
        """Write the unit, start it and let it start again after a boot. Raises ServiceError."""
        unit = self.folder / UNIT
        _write_file(unit, make_systemd_unit(command, self.user))
        self._call("daemon-reload")
        self._call("enable", "--now", UNIT)
        if not self.user:
            with suppress(ServiceError):  # else it runs while the user is logged in
                _call("loginctl", "enable-linger")
        return unit

    def uninstall(self) -> bool:
        """Stop it and remove the unit; return whether there was one. Raises ServiceError."""
        unit = self.folder / UNIT
        if not unit.exists():
            return False
        self._call("disable", "--now", UNIT)
        unit.unlink()
        self._call("daemon-reload")
        return True

    def is_installed(self) -> bool:
        return (self.folder / UNIT).exists()

    def is_running(self) -> bool:
        return _is_done("systemctl", *self._scope(), "is-active", "--quiet", UNIT)

    def _scope(self) -> tuple[str, ...]:
        return () if self.user else ("--user",)

    def _call(self, *arguments: str) -> None:
        _call("systemctl", *self._scope(), *arguments)


@dataclass(frozen=True, slots=True)
class Launchd:
    """macOS."""

    user: str
    folder: Path
    domain: str  # system, or gui/501

    def install(self, command: Sequence[str]) -> Path:
        """Write the property list and load it. Raises ServiceError."""
        plist = self.folder / f"{LABEL}.plist"
        _write_file(plist, make_launchd_plist(command, self.user))
        _is_done("launchctl", "bootout", f"{self.domain}/{LABEL}")
        _call("launchctl", "bootstrap", self.domain, str(plist))
        return plist

    def uninstall(self) -> bool:
        """Unload it and remove the list; return whether there was one. Raises ServiceError."""
        plist = self.folder / f"{LABEL}.plist"
        if not plist.exists():
            return False
        _is_done("launchctl", "bootout", f"{self.domain}/{LABEL}")
        plist.unlink()
        return True

    def is_installed(self) -> bool:
        return (self.folder / f"{LABEL}.plist").exists()

    def is_running(self) -> bool:
        return b"state = running" in _read("launchctl", "print", f"{self.domain}/{LABEL}")


@dataclass(frozen=True, slots=True)
class TaskScheduler:
    """Windows; the task is the user's own and starts at logon."""

    def install(self, command: Sequence[str]) -> Path:
        """Make the task and start it. Raises ServiceError."""
        with tempfile.TemporaryDirectory() as folder:
            task = Path(folder) / "task.xml"
            task.write_text(make_windows_task(command), encoding="utf-16")
            _call("schtasks", "/Create", "/F", "/TN", LABEL, "/XML", str(task))
        _call("schtasks", "/Run", "/TN", LABEL)
        return Path(LABEL)

    def uninstall(self) -> bool:
        """End the task and remove it; return whether there was one. Raises ServiceError."""
        if not self.is_installed():
            return False
        _is_done("schtasks", "/End", "/TN", LABEL)
        _call("schtasks", "/Delete", "/F", "/TN", LABEL)
        return True

    def is_installed(self) -> bool:
        return _is_done("schtasks", "/Query", "/TN", LABEL)

    def is_running(self) -> bool:
        """Ask for the last result, whose number is the same in every language."""
        return b"267009" in _read("schtasks", "/Query", "/TN", LABEL, "/V", "/FO", "CSV")


ServiceManager = Systemd | Launchd | TaskScheduler


def find_manager(state: Path, home: Path) -> ServiceManager:
    """Find the manager of this system. Raises ServiceError where none is known.

    Root installs a service of the system, which runs as the owner of the directory `state`.
    """
    if sys.platform == "win32":
        return TaskScheduler()
    user = "" if user_id() else _find_owner(state)
    if sys.platform == "darwin":
        if user:
            return Launchd(user, Path("/Library/LaunchDaemons"), "system")
        return Launchd("", home / "Library" / "LaunchAgents", f"gui/{user_id()}")
    if shutil.which("systemctl"):
        own = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "systemd" / "user"
        return Systemd(user, Path("/etc/systemd/system") if user else own)
    raise ServiceError(
        "No systemd, launchd or Task Scheduler was found here: let this system start "
        "`heliograph-agent run` in its own way."
    )


def _find_owner(state: Path) -> str:
    try:
        return find_user_name(state)
    except OSError as error:
        raise ServiceError(
            f"{state} is not there ({error.strerror}): join first, as the user who shall run the "
            "agent."
        ) from error


def _write_file(path: Path, content: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content.encode(), mode=0o644)
    except OSError as error:
        raise ServiceError(
            f"Cannot write {path} ({error.strerror}): let this user write there."
        ) from error


def _call(program: str, *arguments: str) -> None:
    """Raise ServiceError with the program's own words when it refuses."""
    result = _run(program, *arguments)
    if result.returncode:
        lines = result.stderr.decode("utf-8", "replace").strip().splitlines()
        last_line = lines[-1] if lines else "it said no more"
        raise ServiceError(f"`{program} {' '.join(arguments)}` failed: {last_line}")


def _is_done(program: str, *arguments: str) -> bool:
    return _run(program, *arguments).returncode == 0


def _read(program: str, *arguments: str) -> bytes:
    return _run(program, *arguments).stdout


def _run(program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(  # noqa: S603 - our own words
            (program, *arguments), capture_output=True, timeout=ANSWER_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceError(f"`{program}` does not answer ({error}): try again.") from error
