"""Register the experiments on circumvention tools."""

from dataclasses import dataclass

from heliograph.experiments.entry import Category, ExperimentEntry
from heliograph.experiments.options import option


@dataclass(frozen=True, slots=True, kw_only=True)
class TorConfig:
    """Configure `tor`."""

    concurrency: int = option(4, "endpoints visited at a time", low=1, high=16)
    bootstrap: bool = option(False, "start the installed tor and wait until it is up")
    bridge: str = option("", "bridge line for the bootstrap; it is kept nowhere")


@dataclass(frozen=True, slots=True, kw_only=True)
class VpnConfig:
    """Configure `vpn`."""

    attempts: int = option(2, "datagrams sent while none is answered", low=1, high=5)
    private_key: str = option("", "WireGuard key (base64) that the servers know; public, see page")


ENTRIES = (
    ExperimentEntry(
        name="tor",
        version=1,
        title="Tor: directory authorities, relays, bridges, and a bootstrap where tor is installed",
        category=Category.CIRCUMVENTION,
        config=TorConfig,
        target_kind="service",
        visitable=True,
        default_target="tor",
        planned=False,  # measuring Tor may draw attention: an operator adds it to a plan
        visit_bytes=3_000_000,
        ooni_test="tor",
        protocols={"tor_bootstrap": "Tor bootstrap"},
    ),
    ExperimentEntry(
        name="vpn",
        version=1,
        title="VPN: OpenVPN and WireGuard handshakes with servers that you name",
        category=Category.CIRCUMVENTION,
        config=VpnConfig,
        target_kind="url",
        protocols={"openvpn": "OpenVPN", "wireguard": "WireGuard"},
    ),
)
