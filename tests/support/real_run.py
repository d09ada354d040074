"""Run one experiment over the real net on loopback, and judge it by a control.

here = await really("sni", "minded.test", net, {"neutral": f"neutral.test:{port}"})
assert verdict(here, control).rule == "sni.reset"
"""

from collections.abc import Mapping
from dataclasses import replace

from heliograph.observation import DnsAnswer, Link, Measurement
from heliograph_agent.experiments import find_experiment
from heliograph_agent.experiments.experiment import Target, parse_config
from heliograph_agent.net.system_net import SystemNet
from heliograph_agent.net.trace import StepTrace
from heliograph_collector.judge import judge
from heliograph_collector.model.records import ControlView, Verdict
from support.net_fixtures import Opening
from support.scenario import NOON_US, taken

__all__ = ["Opening", "at_public_address", "really", "verdict"]


async def really(
    name: str,
    target: Target | str,
    opened: tuple[SystemNet, StepTrace],
    options: Mapping[str, str] | None = None,
) -> Measurement:
    """Run an experiment; return the measurement that an online agent would send."""
    experiment = find_experiment(name)
    net, trace = opened
    aim = Target(value=target) if isinstance(target, str) else target
    await experiment.run(aim, parse_config(experiment, options or {}), net)
    return Measurement(
        experiment=name, experiment_version=experiment.version, target=aim.value,
        service=aim.service.name if aim.service else "", started_us=NOON_US,
        monotonic_us=trace.started_us, boot="boot", runtime_us=trace.elapsed_us(), epoch="e1",
        link=Link.ONLINE, observations=tuple(trace.observations),
    )  # fmt: skip


def verdict(here: Measurement, control: Measurement) -> Verdict:
    """Return the overall verdict, with a control that measured a minute ago."""
    view = ControlView(measurement=control, age_us=60_000_000, link=Link.ONLINE)
    return judge(taken(here), view)[-1]


def at_public_address(measurement: Measurement) -> Measurement:
    """Replace loopback by a public address, since the judge would doubt the lookup."""
    answer = DnsAnswer(type="A", data="5.6.7.8")
    steps = tuple(
        replace(
            step,
            tcp=step.tcp and replace(step.tcp, address="5.6.7.8", port=443),
            dns=step.dns and replace(step.dns, answers=(answer,) if step.dns.answers else ()),
        )
        for step in measurement.observations
    )
    return replace(measurement, observations=steps)
