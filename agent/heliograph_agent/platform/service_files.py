"""Write what systemd, launchd and the Windows Task Scheduler read of a service. Pure.

Sources: systemd.service(5) and systemd.exec(5); launchd.plist(5); the Task Scheduler's schema,
https://learn.microsoft.com/windows/win32/taskschd/task-scheduler-schema
"""

import plistlib
import re
from collections.abc import Sequence
from xml.sax.saxutils import escape

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


def make_systemd_unit(command: Sequence[str], user: str = "") -> str:
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
    """Quote an argument, in which variables are expanded, as they are not in the program."""
    return _quote_for_systemd(argument.replace("$", "$$"))


def _quote_for_systemd(argument: str) -> str:
    """Quote a word: specifiers are doubled, C escapes for what ends a string."""
    doubled = argument.replace("%", "%%")
    return '"' + doubled.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _quote_for_windows(argument: str) -> str:
    """Quote a word as CommandLineToArgvW reads it: backslashes count only before a quote."""
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', argument)
    return '"' + re.sub(r"(\\+)$", r"\1\1", escaped) + '"'
