"""Install, remove and ask for a service by the manager that this system has.

As an ordinary user it is one of that user's own; as root it is one of the system's, which runs as
the user who is named. Each manager is asked by its own program, within a deadline, and reads what
`make_systemd_unit`, `make_launchd_plist` and `make_windows_task` make, which are pure.

Sources: systemd.service(5) and systemd.exec(5); launchd.plist(5); the Task Scheduler's schema,
https://learn.microsoft.com/windows/win32/taskschd/task-scheduler-schema
"""

import os
import plistlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from heliograph.durable_file import replace_file
from heliograph_agent.platform.process import find_user_name, user_id

ANSWER_S = 30.0
UNIT = "heliograph-agent.service"
DESCRIPTION = "Network measurement"  # as a look at the list of services shows it to anybody
LABEL = "network-measurement"
RESTART_S = 30
_UNIT = """\
[Unit]
Description={description}
Wants=network-online.target
After=network-online.target

[Service]
ExecStart={command}
{user}UMask=0077
Restart=always
RestartSec={restart_s}
TimeoutStopSec=10
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
# a dump of memory would show results on the disk
LimitCORE=0
MemoryMax=128M
TasksMax=64

[Install]
WantedBy={target}
"""
_TASK = """\
<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo><Description>{description}</Description></RegistrationInfo>
  <Triggers><LogonTrigger><Enabled>true</Enabled></LogonTrigger></Triggers>
  <Principals><Principal id="user"><LogonType>InteractiveToken</LogonType>\
<RunLevel>LeastPrivilege</RunLevel></Principal></Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <Hidden>true</Hidden>
    <RestartOnFailure><Interval>PT1M</Interval><Count>999</Count></RestartOnFailure>
  </Settings>
  <Actions Context="user"><Exec><Command>{program}</Command>\
<Arguments>{arguments}</Arguments></Exec></Actions>
</Task>
"""


class ServiceError(Exception):
    """Report a manager's refusal; str() is a sentence for the user, with the cure."""


@dataclass(frozen=True, slots=True)
class Systemd:
    """Linux, where systemd(1) is the first process."""

    user: str  # "": the user's own manager
    folder: Path

    def install(self, command: Sequence[str]) -> Path:
        """Write and start the unit, also for later boots. Raises ServiceError."""
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
        """Unload it and remove the list; return whether one existed. Raises ServiceError."""
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


def make_systemd_unit(command: Sequence[str], user: str) -> str:
    """Make a unit of the user's own manager, or with `user` one of the system's."""
    program, *arguments = command
    return _UNIT.format(
        description=DESCRIPTION,
        command=" ".join([_quote_for_systemd(program), *map(_quote_argument, arguments)]),
        user=f"User={user}\n" if user else "",
        restart_s=RESTART_S,
        target="multi-user.target" if user else "default.target",
    )


def make_launchd_plist(command: Sequence[str], user: str = "") -> str:
    """Make a LaunchAgent, or with `user` a LaunchDaemon."""
    service = {
        "Label": LABEL,
        "ProgramArguments": list(command),
        "RunAtLoad": True,
        "KeepAlive": True,
        "ThrottleInterval": RESTART_S,
        "Umask": 0o077,
        "ProcessType": "Background",
        "SoftResourceLimits": {"Core": 0},
        **({"UserName": user} if user else {}),
    }
    return plistlib.dumps(service).decode()


def make_windows_task(command: Sequence[str]) -> str:
    """Make a task that starts when this user logs on."""
    program, *arguments = command
    return _TASK.format(
        description=DESCRIPTION,
        program=escape(program),
        arguments=escape(" ".join(map(_quote_for_windows, arguments))),
    )


def _quote_argument(argument: str) -> str:
    """Quote an argument; systemd expands variables in it, unlike in the program."""
    return _quote_for_systemd(argument.replace("$", "$$"))


def _quote_for_systemd(argument: str) -> str:
    """Quote a word: specifiers are doubled, C escapes for what ends a string."""
    doubled = argument.replace("%", "%%")
    return '"' + doubled.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _quote_for_windows(argument: str) -> str:
    """Quote a word for CommandLineToArgvW: backslashes count only before a quote."""
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', argument)
    return '"' + re.sub(r"(\\+)$", r"\1\1", escaped) + '"'
