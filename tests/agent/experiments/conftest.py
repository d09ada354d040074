"""A certificate authority for the session, and a net on loopback that knows some names."""

import random
from pathlib import Path

import pytest

from heliograph.clock import SystemClock
from heliograph_agent.net.system_net import Door, NetConfig, RealNet
from heliograph_agent.net.trace import Trace
from support.loopback_ca import LoopbackCA
from support.real_run import Opening

NAMES = ("target.test", "neutral.test")


@pytest.fixture(scope="session")
def ca(tmp_path_factory: pytest.TempPathFactory) -> LoopbackCA:
    return LoopbackCA(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def opening(ca: LoopbackCA, tmp_path: Path) -> Opening:
    """`opening(body_s=1)` is a net to whom target.test and neutral.test are 127.0.0.1."""
    (tmp_path / "hosts").write_text(f"127.0.0.1 {' '.join(NAMES)}\n")
    (tmp_path / "resolv.conf").write_text("")

    def make(**settings: object) -> tuple[RealNet, Trace]:
        defaults: dict[str, object] = {
            "ca_file": str(ca.ca_file),
            "hosts_file": str(tmp_path / "hosts"),
            "resolv_conf": str(tmp_path / "resolv.conf"),
        }
        config = NetConfig(**(defaults | settings))  # type: ignore[arg-type]
        clock = SystemClock()
        trace = Trace(clock)
        return Door(config, clock, random.Random(7)).bind(trace), trace

    return make
