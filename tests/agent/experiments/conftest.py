"""A certificate authority for the session, and a loopback net with some names."""

from pathlib import Path

import pytest

from support.net_fixtures import ca, opening

__all__ = ["ca", "opening"]


@pytest.fixture(autouse=True)
def hosts_file(tmp_path: Path) -> None:
    """Make target.test and neutral.test 127.0.0.1 to the nets of a test."""
    (tmp_path / "hosts").write_text("127.0.0.1 target.test neutral.test\n")
    (tmp_path / "resolv.conf").write_text("")
