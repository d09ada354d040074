"""Prometheus metrics of the ingest stage; labels have closed sets of values."""

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from heliograph_collector.model.records import Block, Vantage


class IngestMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        counter = partial(Counter, registry=registry)
        self.envelopes = counter(
            "heliograph_envelopes",
            "Envelopes by carrier, receipt and reason.",
            ("carrier", "status", "reason"),
        )
        self.measurements = counter(
            "heliograph_measurements",
            "Measurements: kept, of which bad (in quarantine) and time_bad (not judged).",
            ("outcome",),
        )
        self._kept = self.measurements.labels("kept")
        self._time_bad = self.measurements.labels("time_bad")
        self.bytes = counter("heliograph_envelope_bytes", "Sealed bytes that arrived.")
        self.acknowledge_seconds = Histogram(
            "heliograph_acknowledge_seconds",
            "From an envelope's arrival to its receipt.",
            buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
            registry=registry,
        )
        self.sessions = Gauge("heliograph_sessions", "Agents connected now.", registry=registry)
        self.disconnects = counter(
            "heliograph_session_endings", "Sessions ended, by how.", ("how",)
        )
        self.hellos = counter("heliograph_hellos", "Hellos, by what became of them.", ("outcome",))
        self.enrolments = counter("heliograph_enrolments", "Enrolments by outcome.", ("outcome",))
        self.unknown_regions = counter(
            "heliograph_unknown_regions",
            "Declared regions that are none of the country by ISO 3166-2, and count as none.",
        )
        self.displaced_connections = counter(
            "heliograph_displaced_connections",
            "Connections without a proven key that had to go, because their networks have many.",
        )
        self.lost_agents = counter(
            "heliograph_agents_lost", "Agents that fell silent without goodbye."
        )

    def count_region(self, declared: str, vantage: Vantage) -> None:
        """Count a declared region that the vantage's country does not have."""
        if declared and not vantage.region:
            self.unknown_regions.inc()

    def count_measurements(self, kept_count: int, time_bad_count: int) -> None:
        """Count the measurements of one stored envelope."""
        self._kept.inc(kept_count)
        self._time_bad.inc(time_bad_count)

    def on_block(self, block: Block) -> None:
        """Count the measurements that were not decoded when the block was judged."""
        self.count_bad(sum(f.index >= 0 for f in block.refused))

    def count_bad(self, count: int) -> None:
        self.measurements.labels("bad").inc(count)
