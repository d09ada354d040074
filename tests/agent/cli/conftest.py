"""The state folder of an agent that has joined."""

from pathlib import Path

import pytest

from heliograph_agent.state import Collector, State
from support.scripted_intake import Identity, identity


@pytest.fixture
def who() -> Identity:
    return identity()


@pytest.fixture
def state(tmp_path: Path, who: Identity) -> State:
    made = State(tmp_path)
    made.save_collector(
        Collector(
            endpoint="a.example:1",
            pin=who.pin,
            certificate="",
            agent=bytes(16),
            signing_key=who.signing.public,
            sealing_key=who.sealing.public,
        )
    )
    return made
