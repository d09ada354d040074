"""Register the experiment on the vantage's own connectivity."""

from dataclasses import dataclass

from heliograph.experiments.entry import Category, ExperimentEntry
from heliograph.experiments.options import option


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectivityConfig:
    """Configure `connectivity`."""

    concurrency: int = option(8, "anchors visited at a time", low=1, high=16)
    domestic: str = option("", "URLs of neutral hosts inside the country, with commas between")


ENTRIES = (
    ExperimentEntry(
        name="connectivity",
        version=1,
        title="Anchors: resolver, captive portal, neutral hosts abroad and at home",
        category=Category.ANCHORS,
        config=ConnectivityConfig,
        target_kind="service",
        default_target="anchors",
        interval_s=300,
    ),
)
