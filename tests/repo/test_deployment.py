"""The files to deploy: units, images, compositions, and the single-file agent."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from heliograph.address import split_endpoint
from heliograph_agent.cli import make_parser
from heliograph_collector.cli import build_parser
from heliograph_collector.config.settings import load_config
from support.requirements import require

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COLLECTOR = DEPLOY / "collector"
WORST = 15  # tenths of systemd's exposure level: 1.5
UNITS = {
    "agent": ["agent/heliograph-agent.service"],
    "collector": ["collector/heliograph-collector.service"],
    "low-ports": ["collector/heliograph-collector.service", "collector/low-ports.conf"],
}
STATE = {"agent": "/state", "collector": "/data"}
COMPOSITIONS = ["agent/compose.yml", "collector/compose.yml"]
Service = Mapping[str, Any]


@pytest.mark.parametrize("files", UNITS.values(), ids=UNITS)
def test_unit_is_as_hardened_as_systemd_can_tell(files: list[str], tmp_path: Path) -> None:
    require(shutil.which("systemd-analyze"), "needs systemd-analyze (Debian: systemd)")
    unit, *drop_ins = (DEPLOY / file for file in files)
    folder = tmp_path / "etc" / "systemd" / "system"
    folder.mkdir(parents=True)
    shutil.copy(unit, folder)
    for drop_in in drop_ins:
        (folder / f"{unit.name}.d").mkdir()
        shutil.copy(drop_in, folder / f"{unit.name}.d")
    command = ["systemd-analyze", "security", "--offline=true", f"--root={tmp_path}"]
    command += [f"--threshold={WORST}", unit.name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    levels = re.findall(r"exposure level.*: ([0-9.]+)", done.stdout)
    print(f"systemd-analyze: {levels}")
    assert done.returncode == 0, done.stdout[-400:] + done.stderr
    assert float(levels[0]) * 10 <= WORST


def read_instructions(role: str) -> list[tuple[str, str]]:
    text = re.sub(r"\\\n\s*", "", (DEPLOY / role / "Dockerfile").read_text())
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line and line[0] != "#"]
    return [(word, rest) for word, rest in lines]


@pytest.mark.parametrize("role", STATE)
def test_image_runs_as_its_own_user_and_fetches_only_what_is_locked(role: str) -> None:
    lines = read_instructions(role)
    assert lines[0] == ("ARG", "BASE"), "no default: a tag can be moved, a digest cannot"
    bases = [rest for word, rest in lines if word == "FROM"]
    assert bases == ["${BASE} AS build", "${BASE}"]
    installed = [rest for word, rest in lines if word == "RUN" and "install" in rest]
    assert [rest.split(" && ")[0].strip() for rest in installed] == [
        f"deploy/install {role} /opt/heliograph"
    ]
    for word, rest in lines:
        if word == "COPY" and not rest.startswith("--from"):
            assert all((ROOT / source).exists() for source in rest.split()[:-1])
    last = lines[max(n for n, (word, _) in enumerate(lines) if word == "FROM") :]
    image = dict(last)
    assert image["USER"] == "65532:65532"
    assert image["VOLUME"] == STATE[role]
    program, *_ = yaml.safe_load(image["ENTRYPOINT"])
    assert program == f"/opt/heliograph/bin/heliograph-{role}"
    parser = make_parser() if role == "agent" else build_parser()
    assert parser.parse_args(yaml.safe_load(image["CMD"])).command in ("run", "serve")
    assert not {"ADD", "EXPOSE", "SHELL", "ARG"} & set(image), "nothing fetched"
    copied = [rest.split() for word, rest in last if word == "COPY"]
    assert copied == [["--from=build", "/opt/heliograph", "/opt/heliograph"]]


def list_services() -> list[tuple[str, Service]]:
    return [
        (f"{file}: {name}", service)
        for file in COMPOSITIONS
        for name, service in yaml.safe_load((DEPLOY / file).read_text())["services"].items()
    ]


SERVICES = list_services()


@pytest.mark.parametrize(("name", "service"), SERVICES, ids=dict(SERVICES))
def test_container_has_nothing_that_it_does_not_need(name: str, service: Service) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"mem_limit", "pids_limit", "logging"} <= set(service)
    assert not {"privileged", "network_mode", "devices", "pid", "ipc"} & set(service)
    is_proxy = name.endswith("proxy")
    assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if is_proxy else [])
    assert is_proxy or not service["user"].startswith(("0", "root"))
    folder = DEPLOY / name.partition("/")[0]
    if "build" in service:
        assert (folder / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        assert ":?" in service["build"]["args"]["BASE"]
    else:
        assert re.fullmatch(r"\$\{[A-Z_]+:\?.*\}", service["image"]), "named by digest in .env"
    for volume in service.get("volumes", []):
        source = volume.partition(":")[0]
        if source.startswith("."):
            assert (folder / source).exists()
            assert volume.endswith(":ro")


def test_composition_opens_only_the_ports_of_agents_and_readers() -> None:
    composition = yaml.safe_load((COLLECTOR / "compose.yml").read_text())
    services = composition["services"]
    ports = {name: service.get("ports", []) for name, service in services.items()}
    assert ports == {
        "collector": ["${AGENTS_PORT:-7443}:7443"],
        "proxy": ["80:80", "443:443"],
        "prometheus": [],
        "grafana": ["127.0.0.1:3000:3000"],
    }
    assert set(services["proxy"]["networks"]) == {"edge"}, "it does not reach Prometheus"
    assert composition["networks"]["figures"]["internal"] is True
    variables = set(re.findall(r"\$\{([A-Z_]+):\?", (COLLECTOR / "compose.yml").read_text()))
    example = (COLLECTOR / "compose" / "env.example").read_text()
    assert variables <= set(re.findall(r"^([A-Z_]+)=", example, re.MULTILINE))
    assert re.findall(r"^\w+_IMAGE=(?!\S+@sha256:)", example, re.MULTILINE) == []


def test_files_of_the_composition_fit_each_other() -> None:
    services = yaml.safe_load((COLLECTOR / "compose.yml").read_text())["services"]
    config = load_config(COLLECTOR / "compose" / "collector.yml", {})
    addresses = {n: services[n]["networks"]["edge"]["ipv4_address"] for n in ("collector", "proxy")}
    assert config.trusted_proxies == (ip_network(addresses["proxy"]),)
    assert f"data:{config.data}" in services["collector"]["volumes"]
    http_port = split_endpoint(config.http)[1]
    caddyfile = (COLLECTOR / "compose" / "Caddyfile").read_text()
    assert f"{{$COLLECTOR:{addresses['collector']}:{http_port}}}" in caddyfile
    assert config.metrics == "open"
    assert "respond /metrics 404" in caddyfile, "they are exact, and open to Prometheus alone"
    assert not re.search(r"^\s*log\b", caddyfile, re.MULTILINE), "no reader's address on disk"
    assert re.search(r'"log" \{\s+exclude http\s+\}', caddyfile), "nor by a request that failed"
    prometheus = yaml.safe_load((COLLECTOR / "prometheus" / "prometheus.yml").read_text())
    assert all((COLLECTOR / "prometheus" / file).is_file() for file in prometheus["rule_files"])
    (job,) = prometheus["scrape_configs"]
    assert job["job_name"] == "heliograph"
    assert job["static_configs"] == [{"targets": [f"collector:{http_port}"]}]
    arguments = services["collector"]["healthcheck"]["test"][2:]
    assert build_parser().parse_args(arguments).command == "doctor"


@pytest.mark.parametrize("role", STATE)
def test_unit_and_its_files_name_the_same_user_and_places(role: str) -> None:
    unit = (DEPLOY / role / f"heliograph-{role}.service").read_text()
    settings = dict(
        line.split("=", 1) for line in unit.splitlines() if re.match(r"[A-Za-z]+=", line)
    )
    assert "DynamicUser" not in settings, "root's commands cannot act as a user that is made up"
    kind, user, *_ = (DEPLOY / role / f"heliograph-{role}.sysusers").read_text().split()
    assert (kind, user) == ("u", settings["User"])
    program, *arguments = settings["ExecStart"].replace("%S", "/var/lib").split()
    assert program == f"/opt/heliograph/bin/heliograph-{role}"
    place = Path("/var/lib", settings["StateDirectory"])
    if role == "collector":
        assert build_parser().parse_args(arguments).config == "/etc/heliograph/collector.yml"
        assert load_config(COLLECTOR / "collector.yml", {}).data == place
    else:
        assert make_parser().parse_args(arguments).state == str(place)


FAKE_PYTHON = """#!/bin/sh
[ "$2" != venv ] || { mkdir -p "$3/bin" && cp "$0" "$3/bin/python"; }
"""


def test_service_user_can_read_what_a_careful_root_installs(tmp_path: Path) -> None:
    python = tmp_path / "python3"
    python.write_text(FAKE_PYTHON)
    python.chmod(0o755)
    target = tmp_path / "opt" / "heliograph"
    subprocess.run(
        [DEPLOY / "install", "agent", target], check=True, timeout=60, umask=0o077,
        env={"PATH": os.environ["PATH"], "PYTHON": str(python)}, capture_output=True,
    )  # fmt: skip
    places = (target.parent, target, target / "bin", target / "bin" / "python")
    assert [place.stat().st_mode & 0o555 for place in places] == [0o555] * 4


@pytest.mark.slow
def test_one_file_is_built_without_a_network_and_runs_alone(tmp_path: Path) -> None:
    """The single file is built without a network and runs alone.

    Every library is packed, here uncompressed since that is quicker, and unpacked at the start.
    """
    made = tmp_path / "heliograph-agent.pex"
    venv = {"VENV": str(Path(sys.executable).parents[1])}
    nowhere = {"https_proxy": "http://127.0.0.1:1", "http_proxy": "http://127.0.0.1:1"}
    subprocess.run(
        [DEPLOY / "agent" / "build-pex", made, "--no-compress"], env=os.environ | venv | nowhere,
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


def test_the_workflow_names_what_is_here() -> None:
    """The workflow names only existing folders, extras and groups."""
    text = (ROOT / ".github" / "workflows" / "systems.yml").read_text()
    jobs = yaml.safe_load(text)["jobs"]
    commands = " ".join(step.get("run", "") for job in jobs.values() for step in job["steps"])
    folders = set(re.findall(r"\btests/\w+", commands))
    assert folders
    assert all((ROOT / folder).is_dir() for folder in folders)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(re.findall(r'"\.\[([\w-]+)\]"', commands)) <= set(
        project["project"]["optional-dependencies"]
    )
    assert set(re.findall(r"--group (\w+)", commands)) <= set(project["dependency-groups"])
    rows = jobs["agent"]["strategy"]["matrix"]["include"]
    systems = {row["runner"].split("-")[0] for row in rows}
    assert systems == {"windows", "macos", "ubuntu"}
