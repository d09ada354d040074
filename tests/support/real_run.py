"""One experiment over the real net, on loopback, and what the judge makes of two of them.

here = await really("sni", "minded.test", net, {"neutral": f"neutral.test:{port}"})
assert verdict(here, control).rule == "sni.reset"
"""

from collections.abc import Callable, Mapping

from heliograph.observation import Link, Measurement
from heliograph_agent.experiments import by_name
from heliograph_agent.experiments.experiment import Target, parse_config
from heliograph_agent.net.system_net import RealNet
from heliograph_agent.net.trace import Trace
from heliograph_collector.judge import judge
from heliograph_collector.model.records import ControlView, Verdict
from support.scenario import NOON_US, taken

Opening = Callable[..., tuple[RealNet, Trace]]  # a net on loopback, set as the arguments say


async def really(
    name: str,
    target: Target | str,
    opened: tuple[RealNet, Trace],
    options: Mapping[str, str] | None = None,
) -> Measurement:
    """What an online agent would have sent."""
    experiment = by_name(name)
    net, trace = opened
    aim = Target(text=target) if isinstance(target, str) else target
    await experiment.run(aim, parse_config(experiment, options or {}), net)
    return Measurement(
        experiment=name,
        experiment_version=experiment.version,
        target=aim.text,
        service=aim.service.name if aim.service else "",
        started_us=NOON_US,
        monotonic_us=trace.began_us,
        boot="boot",
        runtime_us=trace.elapsed_us(),
        epoch="e1",
        link=Link.ONLINE,
        observations=tuple(trace.observations),
    )


def verdict(here: Measurement, control: Measurement) -> Verdict:
    """Of the whole, with a control that measured a minute ago."""
    view = ControlView(measurement=control, age_us=60_000_000, link=Link.ONLINE)
    return judge(taken(here), view)[-1]
