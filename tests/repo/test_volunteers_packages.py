"""What volunteers are given to run: the unit, the image, the one file."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from support.requirements import require

AGENT = Path(__file__).parents[2] / "deploy" / "agent"
UNIT, DOCKERFILE = AGENT / "heliograph-agent.service", AGENT / "Dockerfile"
WORST = 15  # tenths: 1.5


def test_the_unit_is_as_hardened_as_systemd_can_say() -> None:
    require(shutil.which("systemd-analyze"), "needs systemd-analyze (Debian: systemd)")
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={WORST}", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    said = re.findall(r"exposure level.*: ([0-9.]+)", done.stdout)
    print(f"systemd-analyze: {said}")
    assert done.returncode == 0, done.stdout[-400:] + done.stderr
    assert said
    assert float(said[0]) * 10 <= WORST


def test_the_image_runs_as_nobody_in_particular_and_carries_no_stranger() -> None:
    text = re.sub(r"\\\n\s*", "", DOCKERFILE.read_text())
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line and line[0] != "#"]
    last = lines[max(n for n, (word, _) in enumerate(lines) if word == "FROM") :]
    said = dict(last)
    assert said["USER"] == "65532:65532"
    assert said["VOLUME"] == "/state"
    assert yaml.safe_load(said["ENTRYPOINT"]) == ["/opt/heliograph/bin/heliograph-agent"]
    assert yaml.safe_load(said["CMD"]) == ["run", "--state", "/state"]
    assert not {"ADD", "EXPOSE", "SHELL", "ARG"} & set(said), "nothing fetched, nothing listened on"
    assert all(":latest" not in rest for word, rest in lines if word == "FROM")
    copied = [rest.split() for word, rest in last if word == "COPY"]
    assert copied == [["--from=build", "/opt/heliograph", "/opt/heliograph"]]
    for word, rest in lines:
        if word == "COPY" and not rest.startswith("--from"):
            for source in rest.split()[:-1]:
                assert (AGENT.parents[1] / source).exists(), source


def test_the_composition_takes_everything_away() -> None:
    (service,) = yaml.safe_load((AGENT / "compose.yml").read_text())["services"].values()
    assert service["read_only"] is True
    assert service["user"] == "65532:65532"
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"ports", "privileged", "network_mode", "devices", "cap_add"} & set(service)


@pytest.mark.slow
def test_the_one_file_is_built_without_a_network_and_runs_alone(tmp_path: Path) -> None:
    """Every library is packed, here as it is since that is quicker, and unpacked at the start."""
    made = tmp_path / "heliograph-agent.pex"
    venv = {"VENV": str(Path(sys.executable).parents[1])}
    nowhere = {"https_proxy": "http://127.0.0.1:1", "http_proxy": "http://127.0.0.1:1"}
    subprocess.run(
        [AGENT / "build-pex", made, "--no-compress"], env=os.environ | venv | nowhere,
        check=True, timeout=120, capture_output=True,
    )  # fmt: skip
    for words, code, says in (
        (["status"], 1, "has not joined a collector yet"),
        (["experiments"], 0, "connectivity"),
    ):
        done = subprocess.run(
            [sys.executable, made, *words], cwd=tmp_path, capture_output=True, text=True,
            env={"HOME": str(tmp_path), "PEX_ROOT": str(tmp_path / "pex"), "PATH": "/usr/bin"},
            timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        assert says in done.stdout + done.stderr
