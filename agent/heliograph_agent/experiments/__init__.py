"""Attach to each experiment of the shared registry the function that runs it.

A function's page is beside it. The module of a function has its name; those that only visit a
service share one.

>>> experiment = find_experiment("tcp")
>>> config = parse_config(experiment, {})
>>> await experiment.run(Target(value="192.0.2.1:443"), config, net)
"""

from collections.abc import Mapping

from heliograph import experiments as shared
from heliograph_agent.experiments import (
    browser,
    connectivity,
    dns,
    dns_integrity,
    ech,
    hello,
    http_host,
    messengers,
    middlebox,
    outside_in,
    path,
    quic,
    sni,
    stun,
    tcp,
    throttling,
    tls,
    tor,
    vpn,
    web,
)
from heliograph_agent.experiments.experiment import CannotRun, Experiment, Run, with_function

# One line for each function. Messengers that `services.yml` describes fully share one.
FUNCTIONS: Mapping[str, Run] = {
    "browser": browser.browser,
    "connectivity": connectivity.connectivity,
    "dns": dns.dns,
    "dns_integrity": dns_integrity.dns_integrity,
    "ech": ech.ech,
    "hello": hello.hello,
    "http_host": http_host.http_host,
    "messengers": messengers.messengers,
    "middlebox": middlebox.middlebox,
    "outside_in": outside_in.outside_in,
    "path": path.path,
    "quic": quic.quic,
    "signal": messengers.messengers,
    "sni": sni.sni,
    "stun": stun.stun,
    "tcp": tcp.tcp,
    "telegram": messengers.messengers,
    "throttling": throttling.throttling,
    "tls": tls.tls,
    "tor": tor.tor,
    "vpn": vpn.vpn,
    "web": web.web,
    "whatsapp": messengers.messengers,
}

REGISTRY: tuple[Experiment, ...] = tuple(
    with_function(entry, FUNCTIONS[entry.function_name])
    for entry in shared.REGISTRY.values()
    if entry.function_name in FUNCTIONS
)


def find_experiment(name: str) -> Experiment:
    """Find an experiment. Raises CannotRun, which lists the names."""
    for experiment in REGISTRY:
        if experiment.name == name:
            return experiment
    names = ", ".join(experiment.name for experiment in REGISTRY)
    raise CannotRun(f"There is no experiment {name!r}; there are: {names}.")
