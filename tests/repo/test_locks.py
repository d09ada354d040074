"""deploy/locks hold all that pyproject.toml asks for, by hash."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
OPTIONAL = PROJECT["project"]["optional-dependencies"]
ENGINE = [line for line in OPTIONAL["collector"] if not line.startswith("heliograph")]
WANTED = {
    "build": PROJECT["build-system"]["requires"],
    "agent": PROJECT["project"]["dependencies"],
    "lean": [line for line in PROJECT["project"]["dependencies"] if "grpcio" not in line],
    "collector": [
        *PROJECT["project"]["dependencies"], *OPTIONAL["collector-without-engine"], *ENGINE,
    ],
}  # fmt: skip
ENVIRONMENTS = [
    {"python_version": minor, "python_full_version": f"{minor}.0", "extra": ""}
    for minor in ("3.11", "3.13", "3.14")
]


@dataclass(frozen=True, slots=True)
class Pin:
    name: str
    version: Version
    marker: Marker | None
    hashes: int

    def holds(self, environment: dict[str, str]) -> bool:
        return self.marker is None or self.marker.evaluate(environment)


@cache
def read_pins(name: str) -> list[Pin]:
    text = (ROOT / "deploy" / "locks" / f"{name}.txt").read_text()
    pins = []
    for block in re.findall(r"^[a-z0-9].*(?:\n    --hash.*)*", text, re.MULTILINE):
        requirement = Requirement(block.split("\\")[0])
        version = Version(str(requirement.specifier).removeprefix("=="))
        hashes = len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", block))
        pins.append(Pin(canonicalize_name(requirement.name), version, requirement.marker, hashes))
    return pins


def find_pin(lock: str, requirement: Requirement, environment: dict[str, str]) -> Pin | None:
    name = canonicalize_name(requirement.name)
    pins = [pin for pin in read_pins(lock) if pin.name == name and pin.holds(environment)]
    assert len(pins) <= 1, f"{name} is pinned twice for {environment}"
    return pins[0] if pins else None


@pytest.mark.parametrize("lock", WANTED)
def test_lock_pins_what_the_project_asks_for(lock: str) -> None:
    """Run `make locks` when this fails."""
    assert all(pin.hashes for pin in read_pins(lock))
    for environment in ENVIRONMENTS:
        for requirement in map(Requirement, WANTED[lock]):
            if requirement.marker and not requirement.marker.evaluate(environment):
                continue
            pin = find_pin(lock, requirement, environment)
            assert pin is not None, f"{requirement} is not in {lock}.txt"
            assert pin.version in requirement.specifier, f"{pin} is not {requirement}"


@pytest.mark.parametrize("lock", ["agent", "lean", "collector"])
def test_lock_is_closed(lock: str) -> None:
    """A lock has all libraries of its libraries, by those installed here.

    pip refuses a lock that leaves one out.
    """
    environment = ENVIRONMENTS[1]
    for pin in read_pins(lock):
        try:
            lines = requires(pin.name) or []
        except PackageNotFoundError:
            continue  # of another system
        for requirement in map(Requirement, lines):
            if requirement.marker and not requirement.marker.evaluate(environment):
                continue
            assert find_pin(lock, requirement, environment), f"{pin.name} needs {requirement}"


def test_no_lock_asks_an_index_for_our_name() -> None:
    assert not [pin for lock in WANTED for pin in read_pins(lock) if "heliograph" in pin.name]
