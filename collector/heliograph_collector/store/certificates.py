"""Store certificates that did not verify, in a separate table.

They are taken out of the measurement's body, so that each is stored once a week, however many
vantages met it. A day has a limit, and each vantage has its share of it, so that one that invents
certificates fills no disk and takes no room from others. Others are only missing when a
chain is judged again.
"""

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from heliograph.failure import CERTIFICATE_FAILURES
from heliograph.units import DAY_US
from heliograph_collector.model.records import AgentRole, ReceivedMeasurement
from heliograph_collector.store.clickhouse import ClickHouse
from heliograph_collector.store.queries import Query
from heliograph_collector.store.retention import Partition, name_partition

DAY_BYTES = 32 << 20  # 1 GB in the 30 days that measurements are kept by default; assumed
VANTAGE_BYTES = 1 << 20  # of a day; a thousand certificates; assumed
REMEMBERED = 8_192  # certificates that were stored last; assumed


@dataclass(frozen=True, slots=True)
class CertificateRecord:
    """Row of `certificates`; the digest is computed here, and never an agent's word."""

    sha256: str
    started_us: int
    received_us: int
    der: bytes


class CertificateSelector:
    """Choose the certificates of a block to store.

    Only the writing thread may call it.
    """

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self._stored: OrderedDict[tuple[str, str], None] = OrderedDict()  # week and digest
        self._day = -1
        self._day_bytes = 0
        self._vantage_bytes: Counter[str] = Counter()

    def select(
        self, records: Iterable[ReceivedMeasurement], *, is_replay: bool
    ) -> Iterator[CertificateRecord]:
        """Yield the rows of new certificates within the limits. Raises StoreError.

        Of a block that is inserted again nothing is known to be stored.
        """
        if is_replay:
            self._stored.clear()
        for record in records:
            certificates = record.measurement.certificates
            if certificates and record.role is not AgentRole.QUARANTINE:
                self._begin_day(record.received_us // DAY_US)
                for der in certificates:
                    yield from self._select_one(record, der)

    def _select_one(self, record: ReceivedMeasurement, der: bytes) -> Iterator[CertificateRecord]:
        digest = hashlib.sha256(der).hexdigest()
        key = (name_partition(Partition.WEEK, record.started_us), digest)
        if key in self._stored:
            return
        vantage_bytes = self._vantage_bytes[record.pseudonym] + len(der)
        if vantage_bytes > VANTAGE_BYTES or self._day_bytes + len(der) > DAY_BYTES:
            return
        self._vantage_bytes[record.pseudonym] = vantage_bytes
        self._day_bytes += len(der)
        self._stored[key] = None
        if len(self._stored) > REMEMBERED:
            self._stored.popitem(last=False)
        yield CertificateRecord(digest, record.started_us, record.received_us, der)

    def _begin_day(self, day: int) -> None:
        """Reset the limits for a later day.

        Certificates that an earlier process stored on that day count too.
        """
        if day <= self._day:
            return
        sql = (
            "SELECT sum(length(der)) FROM certificates"
            " WHERE received >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')"
        )
        rows = self._clickhouse.query_written(sql, {"since": day * DAY_US})
        self._day = day
        self._day_bytes = int(rows[0][0])
        self._vantage_bytes.clear()


def query_certificates(digests: Sequence[str]) -> Query:
    """Select (sha256, der) of these digests."""
    sql = (
        "SELECT sha256, der FROM certificates WHERE sha256 IN {digests:Array(String)}"
        " LIMIT 1 BY sha256"
    )
    return Query(sql, {"digests": list(digests)}, ("der",))


class CertificateReader(Protocol):
    """Store that has certificates by their digests."""

    async def read_certificates(self, digests: Sequence[str]) -> dict[str, bytes]: ...


async def add_certificates(
    store: CertificateReader, records: Sequence[ReceivedMeasurement]
) -> list[ReceivedMeasurement]:
    """Return the records with the stored certificates of chains that did not verify.

    Raises StoreError.
    """
    digests = dict.fromkeys(digest for record in records for digest in _list_digests(record))
    by_digest = await store.read_certificates(list(digests))
    return [_add_certificates(record, by_digest) for record in records]


def _add_certificates(
    record: ReceivedMeasurement, by_digest: Mapping[str, bytes]
) -> ReceivedMeasurement:
    digests = dict.fromkeys(_list_digests(record))
    certificates = tuple(by_digest[d] for d in digests if d in by_digest)
    if not certificates:
        return record
    return replace(record, measurement=replace(record.measurement, certificates=certificates))


def _list_digests(record: ReceivedMeasurement) -> Iterator[str]:
    for observation in record.measurement.observations:
        if observation.tls is not None and observation.failure in CERTIFICATE_FAILURES:
            yield from (c.sha256 for c in observation.tls.chain if c.sha256)
