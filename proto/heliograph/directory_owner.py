"""Let root's commands act as the user whose directory they work on.

Why: a file that root makes in a service's directory is closed to that service, which would not
start again; and what root writes where another user can write may be led elsewhere by a link.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path

# This program, its libraries and Python's own, which are imported when they are needed.
PROGRAM = (Path(__file__).parent, Path(sys.prefix), Path(os.__file__).parent)


def act_as_owner(directory: Path) -> None:
    """Become the directory's owner for the rest of this process, if root runs it.

    Nothing changes where the directory is missing or root's own, or where its owner reaches either
    it or this program by no path, as below the /var/lib/private of systemd's dynamic users.
    """
    if not hasattr(os, "geteuid") or os.geteuid() != 0:  # Windows has no such users
        return
    with suppress(OSError):  # the command itself reports the directory's fault
        details = directory.stat()
        if details.st_uid != 0:
            _become(details.st_uid, details.st_gid, directory)


def _become(user: int, group: int, directory: Path) -> None:
    own_groups = os.getgroups()
    own_group = os.getegid()
    os.setgroups(_list_groups(user, group))
    os.setegid(group)
    os.seteuid(user)
    is_reached = all(map(_is_readable, (directory, *PROGRAM)))
    os.seteuid(0)
    if is_reached:
        os.setgid(group)
        os.setuid(user)
        return
    os.setegid(own_group)
    os.setgroups(own_groups)


def _list_groups(user: int, group: int) -> list[int]:
    import pwd  # not on Windows

    try:
        return os.getgrouplist(pwd.getpwuid(user).pw_name, group)
    except KeyError:  # a container's user has a number alone
        return [group]


def _is_readable(directory: Path) -> bool:
    try:
        next(directory.iterdir(), None)  # the kernel decides, whatever modes and lists are
    except OSError:
        return False
    return True
