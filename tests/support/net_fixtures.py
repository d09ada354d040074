"""Fixtures of a real net on loopback: a certificate authority, a net factory.

A conftest imports `ca` and `opening`; a test asks for `opening: Opening`.
"""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from heliograph.clock import SystemClock
from heliograph_agent.net.system_net import NetConfig, SystemNet, SystemNetFactory
from heliograph_agent.net.trace import StepTrace
from support.loopback_ca import LoopbackCA

Opening = Callable[..., tuple[SystemNet, StepTrace]]


@pytest.fixture(scope="session")
def ca(tmp_path_factory: pytest.TempPathFactory) -> LoopbackCA:
    return LoopbackCA(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def opening(ca: LoopbackCA, tmp_path: Path) -> Opening:
    """Return a factory of nets that trust the session's CA, each with its trace.

    Hosts and resolv.conf are files in tmp_path, empty until a test writes them.
    """

    def make_net(**settings: object) -> tuple[SystemNet, StepTrace]:
        defaults: dict[str, object] = {
            "ca_file": str(ca.ca_file),
            "hosts_file": str(tmp_path / "hosts"),
            "resolv_conf": str(tmp_path / "resolv.conf"),
        }
        config = NetConfig(**(defaults | settings))  # type: ignore[arg-type]
        trace = StepTrace(SystemClock())
        return SystemNetFactory(config, trace.clock, random.Random(7)).bind(trace), trace

    return make_net
