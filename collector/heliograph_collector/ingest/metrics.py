"""What intake tells Prometheus. Labels come from closed sets, so their number is bounded."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Counters:
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
        self.acknowledged = Histogram(
            "heliograph_acknowledge_seconds",
            "From an envelope's arrival to its receipt.",
            buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
            registry=registry,
        )
        self.sessions = Gauge("heliograph_sessions", "Agents connected now.", registry=registry)
        self.endings = Counter(
            "heliograph_session_endings", "Sessions ended, by how.", ("how",), registry=registry
        )
        self.hellos = Counter(
            "heliograph_hellos", "Hellos, by what became of them.", ("outcome",), registry=registry
        )
        self.enrolments = Counter(
            "heliograph_enrolments", "Enrolments by outcome.", ("outcome",), registry=registry
        )
        self.lost = Counter(
            "heliograph_agents_lost", "Agents that fell silent without goodbye.", registry=registry
        )

    def took(self, kept: int, bad: int, time_bad: int) -> None:
        """The measurements of one stored envelope."""
        for outcome, count in (("kept", kept), ("bad", bad), ("time_bad", time_bad)):
            self.measurements.labels(outcome).inc(count)
