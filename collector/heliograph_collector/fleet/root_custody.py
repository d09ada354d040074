"""Find root keys on the collector's machine, where a thief could take them."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from heliograph.trust_chain import KeyRole, TrustRoot
from heliograph_collector.fleet.root_shares import MAX_FILE_BYTES, parse_secret

MIN_THRESHOLD = 2
_MAX_FILES = 1_000  # assumed; of the data directory and its keys
_CURE = "Move the root to shares kept elsewhere: deploy/collector/root-of-trust.md."


def find_root_risks(data: Path, charter: TrustRoot) -> list[str]:
    """List in sentences why the root of trust is at risk on this machine, [] if not."""
    root = charter.root
    files = [str(file) for file in find_root_keys(data, root)]
    risks = []
    if files:
        risks.append(f"A root key of the fleet is on this machine, in {', '.join(files)}.")
    if root.threshold < MIN_THRESHOLD:
        risks.append("One stolen root key is enough to sign for the whole fleet.")
    elif root.threshold == len(root.keys):
        risks.append("One lost root share ends all changes of keys: make one share more.")
    return [*risks, _CURE] if risks else []


def find_root_keys(data: Path, root: KeyRole) -> Iterator[Path]:
    """Yield files of the data directory and its keys that hold a key of this root."""
    folders = (data, *(path for path in (data / "keys").glob("**") if path.is_dir()))
    files = (path for folder in folders for path in sorted(folder.glob("*")))
    for path in islice(files, _MAX_FILES):
        with suppress(OSError):  # a file of another user, which this one could not give away
            if path.is_file() and path.stat().st_size <= MAX_FILE_BYTES:
                key = parse_secret(path.read_bytes())
                if key is not None and key.public in root.keys:
                    yield path
