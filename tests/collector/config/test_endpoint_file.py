"""The lines that an operator reads when a listener opens."""

import logging
from pathlib import Path

import pytest

from heliograph_collector.config.endpoint_file import EndpointFile, read_endpoint
from heliograph_collector.config.settings import Config


@pytest.mark.parametrize(
    ("requested", "address", "logged"),
    [
        ("127.0.0.1:0", "127.0.0.1:7443", "Agents: 127.0.0.1:7443 (gRPC, TLS)"),
        ("10.9.0.1:0", "10.9.0.1:7443", "Agents: 10.9.0.1:7443 (gRPC, TLS)"),
        (
            "0.0.0.0:0",
            "127.0.0.1:7443",
            "Agents: 127.0.0.1:7443 (gRPC, TLS), and at each address of this machine",
        ),
        (
            "[::]:0",
            "[::1]:7443",
            "Agents: [::1]:7443 (gRPC, TLS), and at each address of this machine",
        ),
    ],
)
def test_a_listener_says_where_it_is_reached(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, requested: str, address: str, logged: str
) -> None:
    caplog.set_level(logging.INFO, "heliograph")
    assert EndpointFile(Config(data=tmp_path)).announce("grpc", requested, 7443) == address
    assert caplog.messages == [logged]
    assert read_endpoint(tmp_path, "grpc") == address
