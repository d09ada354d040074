"""The main wheel is BSD-3-Clause; code that loads scapy has a separate wheel."""

import email
import zipfile
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

import pytest

pytestmark = [pytest.mark.xdist_group("install"), pytest.mark.real]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    packages: set[str]
    metadata: Message

    def requirements(self) -> str:
        return " ".join(self.metadata.get_all("Requires-Dist") or [])


def open_wheel(folder: Path, name: str) -> Wheel:
    (path,) = folder.glob(f"{name}-*.whl")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        (metadata,) = (entry for entry in names if entry.endswith(".dist-info/METADATA"))
        return Wheel(
            packages={e.split("/")[0] for e in names if ".dist-info/" not in e},
            metadata=email.message_from_bytes(archive.read(metadata)),
        )


def test_the_main_wheel_is_bsd_alone(wheels: Path) -> None:
    main = open_wheel(wheels, "heliograph")
    assert main.metadata["License-Expression"] == "BSD-3-Clause"
    assert main.metadata.get_all("License-File") == ["LICENSE"]
    assert main.packages >= {"heliograph", "heliograph_agent", "heliograph_collector"}
    assert "heliograph_raw" not in main.packages
    assert "scapy" not in main.requirements()


def test_what_loads_scapy_is_gpl_and_holds_nothing_else(wheels: Path) -> None:
    raw = open_wheel(wheels, "heliograph_raw")
    assert raw.metadata["License-Expression"] == "GPL-2.0-only"
    assert raw.metadata.get_all("License-File") == ["COPYING"]
    assert raw.packages == {"heliograph_raw"}
    assert raw.requirements().startswith("scapy")


def test_both_wheels_are_of_one_version(wheels: Path) -> None:
    main = open_wheel(wheels, "heliograph")
    raw = open_wheel(wheels, "heliograph_raw")
    assert main.metadata["Version"] == raw.metadata["Version"]
