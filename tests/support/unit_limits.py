"""Run a program under the limits of a systemd unit that need no systemd.

    python unit_limits.py UNIT PROGRAM ARGUMENT...

SystemCallFilter (by libseccomp), MemoryDenyWriteExecute, NoNewPrivileges and LimitNOFILE. The
caller sets up namespaces and the user. It imports nothing of ours, so that it runs anywhere.
"""

import ctypes
import errno
import mmap
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PR_SET_NO_NEW_PRIVS, PR_SET_MDWE, MDWE_REFUSE_EXEC_GAIN = 38, 65, 1  # linux/prctl.h; MDWE: 6.3
SCMP_ACT_ALLOW = 0x7FFF0000  # seccomp.h
SCMP_ACT_KILL_PROCESS = 0x80000000
SCMP_ACT_ERRNO = 0x00050000


def read_settings(unit: Path) -> dict[str, list[str]]:
    """Read the settings of a unit by name, in order."""
    settings: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        name, is_setting, value = line.partition("=")
        if is_setting and line[0] not in "#;[":
            settings.setdefault(name, []).append(value)
    return settings


def list_system_calls(words: str) -> Iterator[str]:
    """List the system calls of a filter's words; systemd knows its own sets."""
    for word in words.split():
        if not word.startswith("@"):
            yield word
            continue
        command = ["systemd-analyze", "syscall-filter", "--no-pager", word]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for line in text.splitlines()[1:]:
            if line.strip() and not line.strip().startswith("#"):
                yield from list_system_calls(line.strip())


def select_allowed(filters: list[str]) -> set[str]:
    """Return the system calls that SystemCallFilter lines allow; `~` removes calls."""
    allowed = set(list_system_calls("@default"))
    for line in filters:
        if line.startswith("~"):
            allowed -= set(list_system_calls(line[1:]))
        else:
            allowed |= set(list_system_calls(line))
    return allowed


def install_filter(allowed: set[str], *, error: int) -> None:
    """Refuse every other call with `error`, or end the process where it is 0."""
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    action = SCMP_ACT_ERRNO | error if error else SCMP_ACT_KILL_PROCESS
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(action)))
    for name in allowed:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:  # the others are of other processors
            library.seccomp_rule_add(context, ctypes.c_uint32(SCMP_ACT_ALLOW), number, 0)
    if library.seccomp_load(context) != 0:
        sys.exit("libseccomp loads no filter here.")


def refuse_executable_memory(libc: ctypes.CDLL) -> None:
    if libc.prctl(PR_SET_MDWE, MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) != 0:
        return  # an older kernel
    try:
        mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except PermissionError:
        return
    sys.exit("Memory that is written and executed was given.")


def main(unit: Path, command: list[str]) -> None:
    settings = read_settings(unit)
    libc = ctypes.CDLL(None)
    allowed = select_allowed(settings["SystemCallFilter"])  # before limits: it starts a program
    if "LimitNOFILE" in settings:
        files = int(settings["LimitNOFILE"][-1])
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if settings["MemoryDenyWriteExecute"][-1] == "yes":
        refuse_executable_memory(libc)
    error = getattr(errno, settings.get("SystemCallErrorNumber", ["0"])[-1], 0)
    install_filter(allowed, error=error)
    os.execv(command[0], command)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
