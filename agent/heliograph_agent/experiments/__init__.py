"""The experiments there are. Each is a module with its page beside it; this is the whole list."""

from heliograph_agent.experiment import CannotRun, Experiment
from heliograph_agent.experiments import (
    connectivity,
    dns,
    dns_integrity,
    ech,
    http_host,
    messengers,
    middlebox,
    outside_in,
    path,
    quic,
    signal,
    sni,
    stun,
    tcp,
    telegram,
    throttling,
    tls,
    tor,
    vpn,
    web,
    whatsapp,
)

REGISTRY: tuple[Experiment, ...] = (
    connectivity.EXPERIMENT,
    dns.EXPERIMENT,
    tcp.EXPERIMENT,
    tls.EXPERIMENT,
    web.EXPERIMENT,
    telegram.EXPERIMENT,
    whatsapp.EXPERIMENT,
    signal.EXPERIMENT,
    *messengers.EXPERIMENTS,
    stun.EXPERIMENT,
    tor.EXPERIMENT,
    vpn.EXPERIMENT,
    middlebox.EXPERIMENT,
    ech.EXPERIMENT,
    path.EXPERIMENT,
    dns_integrity.EXPERIMENT,
    sni.EXPERIMENT,
    http_host.EXPERIMENT,
    quic.EXPERIMENT,
    throttling.EXPERIMENT,
    outside_in.EXPERIMENT,
)


def by_name(name: str) -> Experiment:
    """Raises CannotRun, which lists the names."""
    for experiment in REGISTRY:
        if experiment.name == name:
            return experiment
    names = ", ".join(experiment.name for experiment in REGISTRY)
    raise CannotRun(f"There is no experiment {name!r}; there are: {names}.")
