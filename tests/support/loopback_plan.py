"""A collector's data directory whose plan has one service, a port on loopback."""

from dataclasses import replace
from pathlib import Path

from heliograph.clock import SystemClock
from heliograph.plan import PlannedTask
from heliograph.services import load_services
from heliograph_collector.fleet import Fleet, open_keyring
from heliograph_collector.fleet.plans import build_default_plan, issue_plan
from support.ports import HOST
from support.serve_process import NO_INGEST_PROCESS, ONE_PROCESS


def prepare(folder: Path, port: int, *, is_one_process: bool = True) -> Path:
    """Make FOLDER/data; return the configuration file, FOLDER/run.yml.

    With `is_one_process` ingest has no process beside `serve`, which starts sooner.
    """
    services = folder / "services.yml"
    anchor = f'{{id: foreign-a, kind: tcp, host: "{HOST}", port: {port}, group: foreign}}'
    services.write_text(
        'version: "loopback.1"\nservices:\n  anchors:\n    title: Anchors\n'
        f"    experiment: connectivity\n    endpoints:\n      - {anchor}\n"
    )
    config = folder / "run.yml"
    settings = "feed: {k_anonymity: 1}\nplan: {services_file: services.yml}\n"
    config.write_text(settings + (NO_INGEST_PROCESS if is_one_process else ""))
    data = folder / "data"
    plan = replace(
        build_default_plan(load_services(services)),
        tasks=(
            PlannedTask(experiment="connectivity", service="anchors", interval_s=10),
            PlannedTask(experiment="tcp", target=f"{HOST}:{port}", interval_s=10),
        ),
    )
    fleet = Fleet(data)
    issue_plan(fleet, open_keyring(data, []).signing, plan, SystemClock().wall_us() // 1_000_000)
    fleet.close()
    return config


def build_config(folder: Path) -> str:
    """Return a configuration with these services, or the plan gets shipped ones."""
    return f"{ONE_PROCESS}plan: {{services_file: {folder / 'services.yml'}}}\n"
