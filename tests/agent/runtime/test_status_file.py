"""The status is whole in memory; on disk it lacks tests, results and exact times."""

import os
from pathlib import Path
from typing import Any

import pytest

from heliograph.v1 import intake_pb2 as pb
from heliograph_agent.runtime.findings import MAX_FINDINGS, MAX_TEXT, describe_findings
from heliograph_agent.runtime.status_file import AgentStatus, StatusFile, describe_for_disk
from heliograph_agent.runtime.volatile_file import VolatileFile
from heliograph_agent.state import State

AT_US = 1_641_380_459_123_456
MINUTE_US = 1_641_380_400_000_000
STATUS: AgentStatus = {
    "written_us": AT_US, "connected": True, "way": "stream://collector.example:7443",
    "last_success_us": AT_US, "last_failure": {"grpc": {"reason": "unreachable", "at_us": AT_US}},
    "link": "domestic_only", "not_agreed": ["web https://banned.example/"],
    "last_results": {"whatsapp": AT_US}, "lives": {"telegram": ("fails", AT_US)},
    "allowance": {"wall_us": AT_US, "missing": 1.5}, "oldest_us": AT_US, "queued_envelopes": 2,
}  # fmt: skip
OWNER = os.geteuid()


def make_file(folder: Path, kind: str = "tmpfs") -> VolatileFile:
    """Make a file in a mounted folder, with a list of mounts that has it."""
    (folder / "memory").mkdir(exist_ok=True)
    mounts = folder / "mounts"
    mounts.write_text(f"none {folder / 'memory'} {kind} rw 0 0\n")
    return VolatileFile(b"agent", folder / "memory", mounts)


def test_disk_gets_neither_tests_nor_exact_times() -> None:
    assert describe_for_disk(STATUS) == {
        "written_us": MINUTE_US, "connected": True, "way": "stream://collector.example:7443",
        "last_success_us": MINUTE_US, "allowance": {"wall_us": MINUTE_US, "missing": 1.5},
        "oldest_us": MINUTE_US, "queued_envelopes": 2,
    }  # fmt: skip


def test_memory_keeps_the_whole_status_until_it_is_removed(tmp_path: Path) -> None:
    make_file(tmp_path).write({"lives": {"telegram": ["fails", AT_US]}})
    assert make_file(tmp_path).read(OWNER) == {"lives": {"telegram": ["fails", AT_US]}}
    modes = {path.stat().st_mode & 0o077 for path in (tmp_path / "memory").rglob("*")}
    assert modes == {0}
    make_file(tmp_path).remove()
    assert make_file(tmp_path).read(OWNER) == {}
    assert list((tmp_path / "memory").iterdir()) == []


def test_memory_keeps_the_status_of_the_largest_plan(tmp_path: Path) -> None:
    """Otherwise `code` would say by telephone that nothing was tested."""
    url = "https://пример.example/".ljust(MAX_TEXT, "ж")
    findings = [
        pb.Finding(service=f"{number}{url}", title=url, state="reachable", vantages="20-49")
        for number in range(MAX_FINDINGS)
    ]
    status = {
        "lives": {"telegram": ["fails", AT_US]},
        "not_agreed": [f"web {number} {url}" for number in range(512)],
        "findings": describe_findings(pb.Findings(country="KZ", findings=findings)),
    }
    make_file(tmp_path).write(status)
    assert make_file(tmp_path).read(OWNER) == status


def test_nothing_is_written_where_memory_is_a_disk(tmp_path: Path) -> None:
    make_file(tmp_path, "ext4").write({"a": 1})
    VolatileFile(b"agent", tmp_path / "absent", tmp_path / "no-mounts").write({"a": 1})
    assert list((tmp_path / "memory").iterdir()) == []


@pytest.mark.parametrize("trap", ["link", "open"])
def test_folder_that_another_user_can_have_made_is_not_used(tmp_path: Path, trap: str) -> None:
    file = make_file(tmp_path)
    file.write({"a": 1})
    (folder,) = (tmp_path / "memory").iterdir()
    if trap == "link":
        folder.rename(tmp_path / "elsewhere")
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        folder.chmod(0o755)
    file.write({"a": 2})
    assert file.read(OWNER) == {}
    assert "2" not in next(folder.iterdir()).read_text()


def test_a_place_without_findings_hides_none_of_the_same_country(tmp_path: Path) -> None:
    """A network without findings hides none of another in the same country.

    Each session may begin with it, before the public findings.
    """
    unused: Any = None
    status = StatusFile(State(tmp_path), unused, unused, unused)

    def services() -> tuple[str, list[str]]:
        findings = status._findings
        assert findings is not None
        return findings["country"], list(findings["services"])

    status.take_findings(pb.Findings(country="KZ", findings=[pb.Finding(service="telegram")]))
    status.take_findings(pb.Findings(country="KZ"))
    assert services() == ("KZ", ["telegram"])
    status.take_findings(pb.Findings(country="NL"))
    assert services() == ("NL", []), "what is blocked at home is not blocked there"
