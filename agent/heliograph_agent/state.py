"""The agent's own directory: key, collector, plan, consent, status.

Files are 0600 and written whole. What is read back has a size limit; what cannot be read raises
StateError, a sentence with its cure.
"""

import base64
import binascii
import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heliograph import keys

DEFAULT = "~/.local/state/heliograph-agent"
MAX_FILE = 4_194_304  # bytes; the largest is a plan with its services
KEY, COLLECTOR, PLAN, CONSENT = "agent.key", "collector.json", "plan.pb", "consent.json"
STATUS, PAUSED, LOCK, SPOOL, CONFIG = "status.json", "paused.json", "lock", "spool.db", "config.yml"
UPLINK, RELAY_KEY, NEXT_KEY = "uplink.json", "relay.pem", "agent.key.next"
BROUGHT = "plan.brought"  # with receipts by file, and not looked at yet
JOINING = "joining"  # the invite of a request that went out by file
OURS = (KEY, COLLECTOR, PLAN, CONSENT, STATUS, PAUSED, LOCK, SPOOL, CONFIG, UPLINK, RELAY_KEY,
        NEXT_KEY, JOINING, BROUGHT)  # fmt: skip


class StateError(Exception):
    """The state directory does not allow it; str() is the sentence for the user."""


class HeldError(StateError):
    """Another process has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """Whom this agent serves, as told by the invite and confirmed by its enrolment."""

    endpoint: str  # host:port
    pin: bytes  # SHA-256 of the SubjectPublicKeyInfo
    certificate: str  # PEM
    signing_key: bytes
    sealing_key: bytes
    agent: bytes
    role: str = "volunteer"
    charter: bytes = b""  # the newest that was followed; "" where the join knew of none


@dataclass(frozen=True, slots=True)
class State:
    """Paths and small files below one directory."""

    root: Path

    def path(self, name: str) -> Path:
        return self.root / name

    def prepare(self) -> None:
        """Make the directory, for this user alone. Raises StateError."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StateError(
                f"Cannot make the state directory {self.root} ({error.strerror}): "
                "choose another with --state."
            ) from error

    def read(self, name: str) -> bytes | None:
        """The whole file, None when there is none. Raises StateError."""
        try:
            with self.path(name).open("rb") as file:
                data = file.read(MAX_FILE + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(
                f"Cannot read {self.path(name)} ({error.strerror}): give this user the file, "
                "or choose another directory with --state."
            ) from error
        if len(data) > MAX_FILE:
            raise StateError(f"{self.path(name)} is larger than {MAX_FILE} bytes: move it away.")
        return data

    def write(self, name: str, data: bytes, *, durable: bool = True) -> None:
        """Replace the file in one step, readable by this user alone. Raises StateError."""
        fresh = self.path(f".{name}.new")  # one name, so that kill -9 leaves no litter
        try:
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            fresh.replace(self.path(name))
        except OSError as error:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise StateError(
                f"Cannot write {self.path(name)} ({error.strerror}): make room, or let this user "
                "write there."
            ) from error

    def promote(self, name: str, into: str) -> None:
        """One file takes the place of another, and keeps it though the power fails. Raises
        StateError."""
        try:
            self.path(name).replace(self.path(into))
            folder = os.open(self.root, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise StateError(f"Cannot replace {self.path(into)} ({error.strerror}).") from error

    def remove(self, name: str) -> None:
        """Raises StateError; a file that is not there is removed already."""
        try:
            self.path(name).unlink(missing_ok=True)
        except OSError as error:
            raise StateError(f"Cannot remove {self.path(name)} ({error.strerror}).") from error

    def read_json(self, name: str) -> dict[str, Any] | None:
        """The object in a JSON file, None when there is none. Raises StateError."""
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

    def write_json(self, name: str, value: dict[str, Any], *, durable: bool = True) -> None:
        self.write(name, json.dumps(value, indent=1).encode() + b"\n", durable=durable)

    def private_key(self, *, make: bool = False) -> bytes | None:
        """The agent's 32 secret bytes; `make` draws them when there are none. Raises StateError."""
        secret = self.read(KEY)
        if secret is None and make:
            secret = os.urandom(32)
            self.write(KEY, secret)
        if secret is not None and len(secret) != 32:
            raise StateError(f"{self.path(KEY)} is damaged: remove the directory and join again.")
        return secret

    def signer(self) -> keys.SigningKey:
        """Raises StateError when this agent has not joined."""
        secret = self.private_key()
        if secret is None:
            raise not_joined(self)
        return keys.SigningKey(secret)

    def save_collector(self, c: Collector) -> None:
        self.write_json(
            COLLECTOR,
            {
                "endpoint": c.endpoint,
                "pin": _b64(c.pin),
                "certificate": c.certificate,
                "signing_key": _b64(c.signing_key),
                "sealing_key": _b64(c.sealing_key),
                "agent": c.agent.hex(),
                "role": c.role,
                "charter": _b64(c.charter),
            },
        )

    def collector(self) -> Collector | None:
        """None before the first join. Raises StateError."""
        stored = self.read_json(COLLECTOR)
        if stored is None:
            return None
        try:
            return Collector(
                endpoint=str(stored["endpoint"]),
                pin=_bytes(stored["pin"], 32),
                certificate=str(stored["certificate"]),
                signing_key=_bytes(stored["signing_key"], 32),
                sealing_key=_bytes(stored["sealing_key"], 32),
                agent=bytes.fromhex(stored["agent"]),
                role=str(stored["role"]),
                charter=base64.b64decode(stored.get("charter", ""), validate=True),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(
                f"{self.path(COLLECTOR)} is damaged: join again with a new invite."
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory for this process alone. Raises HeldError when another one runs."""
        handle = os.open(self.path(LOCK), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not _hold(handle):
                raise HeldError(
                    f"Another heliograph-agent is running on {self.root}: stop it first, or use "
                    "another --state."
                )
            os.ftruncate(handle, 0)
            os.write(handle, f"{os.getpid()}\n".encode())
            yield
        finally:
            os.close(handle)

    def running(self) -> int | None:
        """The process that holds the directory, None when nobody does."""
        try:
            with self.path(LOCK).open("rb") as file:
                return _holder(file.fileno())
        except OSError:
            return None


def not_joined(state: State) -> StateError:
    """The sentence for a directory without an enrolment."""
    return StateError(
        f"This agent has not joined a collector yet ({state.root}): run "
        "`heliograph-agent join INVITE` with the line that the collector's operator sent you."
    )


def _hold(handle: int) -> bool:
    """Patient for two seconds: `status` holds the lock while it counts what a spool holds."""
    for _ in range(100):
        with suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.02)
    return False


def _holder(handle: int) -> int | None:
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(handle, 32, 0).decode("ascii", "replace").strip()
        return int(text) if text.isdigit() else 0
    return None


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str, length: int) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
    if len(data) != length:
        raise ValueError("wrong length")
    return data
