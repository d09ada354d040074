"""Prometheus metrics of the ingest stage; labels have closed sets of values."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class IngestMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.envelopes = Counter(
            "heliograph_envelopes",
            "Envelopes by carrier, receipt and reason.",
            ("carrier", "status", "reason"),
            registry=registry,
        )
        self.measurements = Counter(
            "heliograph_measurements",
            "Measurements in stored envelopes: kept, bad (dropped), time_bad (kept, not judged).",
            ("outcome",),
            registry=registry,
        )
        self.bytes = Counter(
            "heliograph_envelope_bytes", "Sealed bytes that arrived.", registry=registry
        )
        self.acknowledge_seconds = Histogram(
            "heliograph_acknowledge_seconds",
            "From an envelope's arrival to its receipt.",
            buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
            registry=registry,
        )
        self.sessions = Gauge("heliograph_sessions", "Agents connected now.", registry=registry)
        self.disconnects = Counter(
            "heliograph_session_endings", "Sessions ended, by how.", ("how",), registry=registry
        )
        self.hellos = Counter(
            "heliograph_hellos", "Hellos, by what became of them.", ("outcome",), registry=registry
        )
        self.enrolments = Counter(
            "heliograph_enrolments", "Enrolments by outcome.", ("outcome",), registry=registry
        )
        self.lost_agents = Counter(
            "heliograph_agents_lost", "Agents that fell silent without goodbye.", registry=registry
        )

    def count_measurements(self, kept_count: int, bad_count: int, time_bad_count: int) -> None:
        """Count the measurements of one stored envelope."""
        for outcome, count in (
            ("kept", kept_count),
            ("bad", bad_count),
            ("time_bad", time_bad_count),
        ):
            self.measurements.labels(outcome).inc(count)
