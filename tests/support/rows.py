"""Rows of the collector, made in one line each."""

import hashlib
from dataclasses import replace
from typing import Any

from heliograph.codec import measurement_to_pb
from heliograph.failure import Failure, Operation
from heliograph.observation import (
    Certificate,
    Dns,
    DnsAnswer,
    Http,
    Link,
    Measurement,
    Observation,
    Tcp,
    Tls,
)
from heliograph.v1 import envelope_pb2
from heliograph.v1 import observation_pb2 as opb
from heliograph.zstd_frame import compress_frame
from heliograph_collector.model.records import (
    AgentRole,
    Block,
    JournalRow,
    JudgedMeasurement,
    PresenceRow,
    ReceivedMeasurement,
    RowKind,
    Vantage,
    Verdict,
    VerdictState,
)
from heliograph_collector.model.seniority import Seniority
from heliograph_collector.store.pseudonyms import Pseudonyms

US = 1_000_000
DAY = 86_400 * US
ANNA = b"A" * 16
NAMES = Pseudonyms(b"s" * 32)
T0 = 1_641_351_600 * US  # 2022-01-05 03:00 UTC
KZ = Vantage(country="KZ", asn=9198, access="fixed", region="ALA")


def observations() -> tuple[Observation, ...]:
    """Return one step of each kind, the last one failed."""
    leaf = Certificate(
        sha256="a" * 64, spki_sha256="b" * 64, subject="CN=x", issuer="CN=ca", not_before_s=1,
        not_after_s=2,
    )  # fmt: skip
    answers = (DnsAnswer(type="A", data="192.0.2.1", ttl_s=60),)
    dns = Dns(engine="system", resolver="", name="x.test", query_type="A", rcode=0, answers=answers)
    return (
        Observation(operation=Operation.RESOLVE, started_us=0, duration_us=900, dns=dns),
        Observation(
            operation=Operation.CONNECT,
            started_us=900,
            duration_us=50,
            parent=0,
            tcp=Tcp(address="192.0.2.1", port=443),
        ),
        Observation(
            operation=Operation.TLS_HANDSHAKE,
            started_us=950,
            duration_us=70,
            parent=1,
            tls=Tls(server_name="x.test", version="TLSv1.3", chain=(leaf,)),
        ),
        Observation(
            operation=Operation.HTTP_ROUND_TRIP,
            started_us=1_020,
            duration_us=5,
            parent=2,
            failure=Failure.CONNECTION_RESET,
            http=Http(method="GET", url="https://x.test/"),
        ),
    )


def taken(
    number: int,
    *,
    at_us: int = T0,
    service: str = "telegram",
    who: str = "",
    role: AgentRole = AgentRole.VOLUNTEER,
    vantage: Vantage = KZ,
    position: int = 1,
    steps: tuple[Observation, ...] = (),
) -> ReceivedMeasurement:
    """Return measurement `number`, always the same one."""
    return ReceivedMeasurement(
        id=hashlib.sha256(str(number).encode()).hexdigest()[:32],
        position=position,
        received_us=at_us + 60 * US,
        pseudonym=who or f"nym{number}",
        prefix=f"net-{who or number}",
        role=role,
        vantage=vantage,
        seniority=Seniority.ESTABLISHED,
        measurement=Measurement(
            experiment="telegram",
            experiment_version=1,
            target=service,
            service=service,
            started_us=at_us,
            monotonic_us=1,
            boot="boot",
            runtime_us=1_500,
            epoch="e",
            link=Link.ONLINE,
            sequence=number,
            observations=steps,
        ),
    )


def blocked(
    endpoint: str = "", *, method: str = "reset_after_hello", confirmed: bool = False
) -> Verdict:
    return Verdict(
        state=VerdictState.BLOCKED,
        rule="tls.reset",
        layer="tls",
        method=method,
        confidence=0.9,
        endpoint=endpoint,
        evidence=(2, 3),
        reachable_endpoints=1,
        endpoints=4,
        confirmed=confirmed,
    )


def lost_row(**fields: Any) -> PresenceRow:
    row = PresenceRow(kind=RowKind.LOST, position=1, received_us=T0, vantage=KZ, pseudonym="a")
    return replace(row, **fields)


def reachable(endpoint: str = "") -> Verdict:
    return Verdict(state=VerdictState.REACHABLE, rule="all.ok", confidence=1.0, endpoint=endpoint)


def block(first: int, last: int, *judged: JudgedMeasurement, journal: str = "j") -> Block:
    return Block(journal=journal, first=first, last=last, judged=judged)


def measurement_pb(
    started_us: int = T0, epoch: str = "e", offset_us: int | None = None
) -> opb.Measurement:
    return measurement_to_pb(
        Measurement(
            experiment="dns",
            experiment_version=1,
            target="x.test",
            started_us=started_us,
            monotonic_us=0,
            boot="b",
            runtime_us=1,
            epoch=epoch,
            clock_offset_us=offset_us,
        )
    )


def envelope_row(
    *measurements: opb.Measurement, country: str = "KZ", sequence: int = 1, position: int = 1
) -> JournalRow:
    batch = envelope_pb2.Batch(
        agent=ANNA,
        sequence=sequence,
        agent_version="0.9",
        epochs=[opb.Epoch(id="e", country="RU", region="MOW", access="mobile")],
        measurements=measurements,
    )
    return JournalRow(
        kind=RowKind.ENVELOPE,
        agent=ANNA,
        sequence=sequence,
        received_us=T0,
        country=country,
        asn=9198,
        prefix="p",
        position=position,
        body=compress_frame(batch.SerializeToString()),
    )
