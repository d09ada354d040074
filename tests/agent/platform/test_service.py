"""The files for systemd, launchd and the Task Scheduler, and calls of systemctl."""

import plistlib
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from heliograph_agent.cli import main
from heliograph_agent.platform.service_manager import (
    ServiceError,
    Systemd,
    make_launchd_plist,
    make_systemd_unit,
    make_windows_task,
)

ODD = ("/opt/my venv/python", "-m", "heliograph_agent", "run", "--state", '/home/a $b/100%/"q"\\')
TASK = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"


@pytest.mark.parametrize("user", ["", "root"])
def test_systemd_accepts_the_unit_and_reads_the_words(tmp_path: Path, user: str) -> None:
    program = tmp_path / "my venv $x 5%"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "heliograph-agent.service"
    unit.write_text(make_systemd_unit((str(program), *ODD[1:]), user))
    scope = () if user else ("--user",)
    checked = subprocess.run(
        ["systemd-analyze", *scope, "--man=no", "verify", unit],
        capture_output=True, text=True, check=False, env={"XDG_RUNTIME_DIR": str(tmp_path)},
    )  # fmt: skip
    assert unit.name not in checked.stderr
    assert "my venv" not in checked.stderr  # the program was found: quotes and dollars were read
    assert (f"User={user}" in unit.read_text()) is bool(user)


def test_launchd_reads_the_words() -> None:
    service = plistlib.loads(make_launchd_plist(ODD, "aida").encode())
    assert service["ProgramArguments"] == list(ODD)
    assert service["KeepAlive"] is True
    assert service["UserName"] == "aida"
    assert "UserName" not in plistlib.loads(make_launchd_plist(ODD).encode())


@pytest.mark.parametrize(
    ("word", "quoted"),
    [
        (r"C:\my state", r'"C:\my state"'),
        ("C:\\my state\\", r'"C:\my state\\"'),
        ('a "b"', r'"a \"b\""'),
        ('a\\"b', r'"a\\\"b"'),
    ],
)
def test_windows_reads_the_words(word: str, quoted: str) -> None:
    """Windows parses the words by the rules of CommandLineToArgvW's manual."""
    task = ET.fromstring(make_windows_task(("C:\\Python & co\\python.exe", word)).split("\n", 1)[1])
    action = task.find(f"{TASK}Actions/{TASK}Exec")
    assert action is not None
    assert action.findtext(f"{TASK}Command") == "C:\\Python & co\\python.exe"
    assert action.findtext(f"{TASK}Arguments") == quoted


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a systemctl that records its calls; a container has no manager."""
    asked = tmp_path / "asked"
    for name in ("systemctl", "loginctl"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\necho {name} "$@" >> {asked}\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    return asked


def test_install_starts_it_and_uninstall_leaves_nothing(tmp_path: Path, systemctl: Path) -> None:
    manager = Systemd("", tmp_path / "units")
    assert not manager.is_installed()
    assert not manager.uninstall()
    unit = manager.install(ODD)
    assert manager.is_installed()
    assert "heliograph_agent" in unit.read_text()
    assert manager.uninstall()
    assert not unit.exists()
    assert systemctl.read_text().splitlines() == [
        "systemctl --user daemon-reload",
        "systemctl --user enable --now heliograph-agent.service",
        "loginctl enable-linger",
        "systemctl --user disable --now heliograph-agent.service",
        "systemctl --user daemon-reload",
    ]


def test_refusal_is_said_in_the_managers_words(tmp_path: Path, systemctl: Path) -> None:
    (tmp_path / "bin" / "systemctl").write_text("#!/bin/sh\necho no bus here >&2; exit 1\n")
    with pytest.raises(ServiceError, match=r"daemon-reload` failed: no bus here"):
        Systemd("", tmp_path / "units").install(ODD)


def test_nothing_is_installed_before_the_first_join(
    tmp_path: Path, systemctl: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["service", "install", "--state", str(tmp_path)]) == 1
    assert "has not joined" in capsys.readouterr().err
    assert not systemctl.exists()


def test_only_platform_asks_which_system_this_is() -> None:
    import heliograph_agent

    (root,) = map(Path, heliograph_agent.__path__)
    asking = ("sys.platform", "os.name", "platform.system(", "os.uname(")
    for file in root.rglob("*.py"):
        if file.parent.name != "platform":
            assert not any(word in file.read_text() for word in asking), file
