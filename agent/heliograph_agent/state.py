"""Read and write the agent's state directory, from the key to status.json.

Files have mode 0600 and are replaced as a whole. Reads have a size limit. A file that cannot be
read raises StateError, whose text names the cure.
"""

import base64
import binascii
import errno
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from io import FileIO
from pathlib import Path
from typing import Any

from heliograph import keys
from heliograph.durable_file import move_file, replace_file
from heliograph.translation import translate as _
from heliograph_agent.platform.file_lock import lock_exclusive, lock_shared, open_lock_file
from heliograph_agent.platform.process import stop_process

DEFAULT = "~/.local/state/heliograph-agent"
_KEY_BYTES = 32  # of Ed25519, X25519 and SHA-256
MAX_FILE = 4_194_304  # bytes; the largest is a plan with its services
KEY = "agent.key"
COLLECTOR = "collector.json"
PLAN = "plan.pb"
CONSENT = "consent.json"
STATUS = "status.json"
PAUSED = "paused.json"
LOCK = "lock"
SPOOL = "spool.db"
CONFIG = "config.yml"
UPLINK = "uplink.json"
RELAY_KEY = "relay.pem"
NEXT_KEY = "agent.key.next"
OWN_KEY = "agent.key.own"  # in place of a key that two machines use, until it is enrolled
DELIVERED_PLAN = "plan.brought"  # arrived with receipts by file, not verified yet
HELLO_PROFILES = "hello_profiles.yml"  # the newest usable edition that a plan brought
JOINING = "joining"  # the invite of an enrollment request by file
OWN_FILES = (KEY, COLLECTOR, PLAN, CONSENT, STATUS, PAUSED, LOCK, SPOOL, CONFIG, UPLINK, RELAY_KEY,
        NEXT_KEY, OWN_KEY, JOINING, DELIVERED_PLAN, HELLO_PROFILES)  # fmt: skip


class StateError(Exception):
    """Report an unusable state directory; str() is the sentence for the user."""


class StateLockedError(StateError):
    """Report that another process holds the directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """Describe this agent's collector, from the invite and its enrollment."""

    endpoint: str  # host:port
    pin: bytes  # SHA-256 of the SubjectPublicKeyInfo
    certificate: str  # PEM
    signing_key: bytes
    sealing_key: bytes
    agent: bytes
    role: str = "volunteer"
    charter: bytes = b""  # the newest verified trust root; b"" without one


@dataclass(frozen=True, slots=True)
class State:
    """Give paths and small files in one directory."""

    root: Path

    def path(self, name: str) -> Path:
        return self.root / name

    def prepare(self) -> None:
        """Make the directory with access for this user alone. Raises StateError."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StateError(
                _(
                    "Cannot make the state directory {root} ({reason}): choose another with "
                    "--state."
                ).format(root=self.root, reason=error.strerror)
            ) from error

    def read(self, name: str) -> bytes | None:
        """Read the whole file; return None if it does not exist. Raises StateError."""
        try:
            with self.path(name).open("rb") as file:
                data = file.read(MAX_FILE + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(
                _(
                    "Cannot read {file} ({reason}): give this user the file, or choose another "
                    "directory with --state."
                ).format(file=self.path(name), reason=error.strerror)
            ) from error
        if len(data) > MAX_FILE:
            raise StateError(f"{self.path(name)} is larger than {MAX_FILE} bytes: move it away.")
        return data

    def write(self, name: str, data: bytes, *, durable: bool = True) -> None:
        """Replace the file atomically, readable by this user alone. Raises StateError."""
        try:
            replace_file(self.path(name), data, durable=durable)
        except OSError as error:
            raise self._make_write_error(self.path(name), error) from error

    @staticmethod
    def _make_write_error(path: Path, error: OSError) -> StateError:
        cure = "make room, or let this user write there"
        if error.errno == errno.ENOTDIR:
            cure = "choose another directory with --state"
        return StateError(f"Cannot write {path} ({error.strerror}): {cure}.")

    def promote(self, name: str, target_name: str) -> None:
        """Replace one file by another, durably. Raises StateError."""
        try:
            move_file(self.path(name), self.path(target_name))
        except OSError as error:
            raise self._make_write_error(self.path(target_name), error) from error

    def remove(self, name: str) -> None:
        """Remove a file if it exists. Raises StateError."""
        try:
            self.path(name).unlink(missing_ok=True)
        except OSError as error:
            raise StateError(
                f"Cannot remove {self.path(name)} ({error.strerror}): let this user write there."
            ) from error

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Read a JSON object; return None without a file. Raises StateError."""
        data = self.read(name)
        if data is None:
            return None
        try:
            value = json.loads(data)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise StateError(f"{self.path(name)} is damaged: remove it and join again.")
        return value

    def write_json(self, name: str, value: Mapping[str, object], *, durable: bool = True) -> None:
        self.write(name, json.dumps(value, indent=1).encode() + b"\n", durable=durable)

    def private_key(self, *, create: bool = False) -> bytes | None:
        """Read the agent's 32 secret bytes, or draw them if `create`. Raises StateError."""
        secret = self.read(KEY)
        if secret is None and create:
            secret = os.urandom(32)
            self.write(KEY, secret)
        if secret is not None and len(secret) != 32:
            raise StateError(f"{self.path(KEY)} is damaged: remove the directory and join again.")
        return secret

    def signer(self, *, create: bool = False) -> keys.SigningKey:
        """Return the agent's signing key. Raises StateError when it has not joined."""
        secret = self.private_key(create=create)
        if secret is None:
            raise not_joined_error(self)
        return _load_signing_key(secret)

    def prepared_signer(self, name: str) -> keys.SigningKey:
        """Return the key that waits in a file; draw it if necessary. Raises StateError."""
        secret = self.read(name)
        if secret is None or len(secret) != 32:
            secret = os.urandom(32)
            self.write(name, secret)
        return keys.SigningKey(secret)

    def save_collector(self, collector: Collector) -> None:
        self.write_json(
            COLLECTOR,
            {
                "endpoint": collector.endpoint,
                "pin": _encode_base64(collector.pin),
                "certificate": collector.certificate,
                "signing_key": _encode_base64(collector.signing_key),
                "sealing_key": _encode_base64(collector.sealing_key),
                "agent": collector.agent.hex(),
                "role": collector.role,
                "charter": _encode_base64(collector.charter),
            },
        )

    def collector(self) -> Collector | None:
        """Read the collector; return None before the first join. Raises StateError."""
        stored = self.read_json(COLLECTOR)
        if stored is None:
            return None
        try:
            return Collector(
                endpoint=str(stored["endpoint"]),
                pin=_decode_key(stored["pin"]),
                certificate=str(stored["certificate"]),
                signing_key=_decode_key(stored["signing_key"]),
                sealing_key=_decode_key(stored["sealing_key"]),
                agent=bytes.fromhex(stored["agent"]),
                role=str(stored["role"]),
                charter=base64.b64decode(stored.get("charter", ""), validate=True),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(
                _("{file} is damaged: join again with a new invite.").format(
                    file=self.path(COLLECTOR)
                )
            ) from error

    def joined_collector(self) -> Collector:
        """Read the collector. Raises StateError, also before the first join."""
        collector = self.collector()
        if collector is None:
            raise not_joined_error(self)
        return collector

    @contextmanager
    def hold_lock(self) -> Iterator[None]:
        """Lock the directory for this process alone. Raises StateLockedError, StateError."""
        try:
            handle = open_lock_file(self.path(LOCK))
        except OSError as error:
            raise self._make_write_error(self.path(LOCK), error) from error
        try:
            self._take_lock(handle)
            yield
        finally:
            os.close(handle)

    def _take_lock(self, handle: int) -> None:
        if not _acquire_lock(handle):
            raise StateLockedError(
                _(
                    "Another heliograph-agent is running on {root}: stop it first, or use another "
                    "--state."
                ).format(root=self.root)
            )
        try:
            os.ftruncate(handle, 0)
            os.write(handle, f"{os.getpid()}\n".encode())
        except OSError as error:
            raise self._make_write_error(self.path(LOCK), error) from error

    def running_pid(self) -> int | None:
        """Return the process that holds the lock, or None."""
        try:
            with self.path(LOCK).open("rb", buffering=0) as file:
                return None if lock_shared(file.fileno()) else _read_pid(file)
        except OSError:
            return None

    def stop_running(self) -> int | None:
        """Ask the process that holds the lock to stop, and return it; None without one."""
        process = self.running_pid()
        if process:
            stop_process(process)
        return process


@lru_cache(maxsize=1)
def _load_signing_key(secret: bytes) -> keys.SigningKey:
    """Derive the public key only once, because every result is signed."""
    return keys.SigningKey(secret)


def not_joined_error(state: State) -> StateError:
    """Make the error for a directory without an enrollment."""
    return StateError(
        _(
            "This agent has not joined a collector yet ({root}): run `heliograph-agent join "
            "INVITE` with the line that the collector's operator sent you."
        ).format(root=state.root)
    )


def _acquire_lock(handle: int) -> bool:
    """Try for two seconds, because `status` holds the lock while it counts a spool."""
    for _attempt in range(100):
        if lock_exclusive(handle):
            return True
        time.sleep(0.02)
    return False


def _read_pid(file: FileIO) -> int:
    pid_text = file.read(32).decode("ascii", "replace").strip()
    return int(pid_text) if pid_text.isdigit() else 0


def _encode_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode_key(encoded: str) -> bytes:
    try:
        data = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
    if len(data) != _KEY_BYTES:
        raise ValueError("wrong length")
    return data
