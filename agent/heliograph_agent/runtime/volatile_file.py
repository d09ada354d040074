"""Keep data that no disk may show in memory, for `status` and `code`.

Why: a seized disk must not reveal which tests ran, when, and what answered. The file is in
/dev/shm, a file system in memory that is empty after a restart of the machine. If there is none,
nothing is kept, and `status` and `code` know less.
"""

import json
import stat
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from heliograph.durable_file import replace_file
from heliograph_agent.platform.process import user_id

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the folder in it belongs to one user
MOUNTS = Path("/proc/self/mounts")
IN_MEMORY = frozenset({"tmpfs", "ramfs"})
# Bytes; a status has some 2,000, and of a large plan all targets may wait for consent, or have
# findings. As of the agent's other files.
MAX_FILE = 4_194_304
_NAME = "status.json"


class VolatileFile:
    """Read and write one JSON object in memory, for the agent with this id."""

    def __init__(self, agent: bytes, memory: Path = SHARED_MEMORY, mounts: Path = MOUNTS) -> None:
        self._memory = memory
        self._mounts = mounts
        self._folder = memory / f"heliograph-agent-{sha256(agent).hexdigest()[:16]}"

    def read(self, owner: int) -> dict[str, object]:
        """Read the object; {} without one that `owner` or this user has written."""
        with suppress(OSError, ValueError):
            if self._is_private({owner, user_id()}):
                with (self._folder / _NAME).open("rb") as file:
                    value = json.loads(file.read(MAX_FILE))
                return value if isinstance(value, dict) else {}
        return {}

    def write(self, value: Mapping[str, object]) -> None:
        """Replace the object, if there is a file system in memory."""
        with suppress(OSError):
            if not self._is_in_memory():
                return
            self._folder.mkdir(mode=0o700, exist_ok=True)
            if self._is_private({user_id()}):
                replace_file(self._folder / _NAME, json.dumps(value).encode(), durable=False)

    def remove(self) -> None:
        with suppress(OSError):
            if self._is_private({user_id()}):
                (self._folder / _NAME).unlink(missing_ok=True)
                self._folder.rmdir()

    def _is_in_memory(self) -> bool:
        mounted = [line.split(" ") for line in self._mounts.read_text().splitlines()]
        kinds = [fields[2] for fields in mounted if fields[1] == str(self._memory)]
        return bool(kinds) and kinds[-1] in IN_MEMORY

    def _is_private(self, owners: set[int]) -> bool:
        """Return whether nobody else can have made the folder, which has a public place."""
        details = self._folder.lstat()
        is_closed = stat.S_ISDIR(details.st_mode) and not stat.S_IMODE(details.st_mode) & 0o077
        return is_closed and details.st_uid in owners
