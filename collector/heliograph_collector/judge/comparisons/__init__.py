"""Experiments whose verdict lies in the difference between their endpoints, by name."""

from heliograph_collector.judge.comparisons import (
    dns_integrity,
    ech,
    http_host,
    middlebox,
    path,
    quic,
    sni,
    throttling,
)
from heliograph_collector.judge.comparisons.services import SERVICE_READINGS, SERVICE_ROWS
from heliograph_collector.judge.comparisons.table import Reading, Row

__all__ = ["READINGS", "SERVICE_READINGS", "SERVICE_ROWS", "Reading", "Row"]

READINGS = {
    part.READING.experiment: part.READING
    for part in (sni, http_host, middlebox, throttling, path, dns_integrity, quic, ech)
}
