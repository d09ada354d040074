"""What virtual agents have seen: a page or a messenger, reached or not."""

import random

from heliograph import codec
from heliograph.clock import Clock
from heliograph.failure import Failure, Operation
from heliograph.observation import (
    Dns,
    DnsAnswer,
    Epoch,
    Http,
    Link,
    Measurement,
    Observation,
    Tcp,
    Tls,
)
from heliograph.v1 import envelope_pb2 as pb
from heliograph_lab.simulate.script import Actor

ADDRESS = "93.184.215.14"  # example.com's: one set aside for documents counts as forged
STEP_US = 20_000
WAIT_US = 10_000_000


def batch(
    agent: bytes, version: str, sequence: int, found: list[Measurement], clock: Clock, actor: Actor
) -> pb.Batch:
    """One envelope's content."""
    now_us = clock.wall_us()
    epoch = Epoch(id="e1", started_us=now_us, country=actor.country, region=actor.region)
    said = codec.epoch_to_pb(epoch)
    said.access = actor.access
    return pb.Batch(
        agent=agent,
        sequence=sequence,
        sealed_us=now_us,
        agent_version=version,
        epochs=[said],
        measurements=[codec.measurement_to_pb(m) for m in found],
    )


def visit(service: str, number: int, failing: bool, clock: Clock) -> Measurement:
    """A page of `service` over TLS; when it fails, the handshake is never answered."""
    host = f"www.{service}.example"
    took_us = WAIT_US if failing else 4 * STEP_US
    return Measurement(
        experiment="web",
        experiment_version=1,
        target=f"https://{host}/",
        service=service,
        started_us=clock.wall_us() - took_us,
        monotonic_us=clock.monotonic_us(),
        boot="b1",
        runtime_us=took_us,
        epoch="e1",
        sequence=number,
        link=Link.ONLINE,
        observations=tuple(_steps(host, failing)),
    )


def fails(actor: Actor, service: str, second: float, rng: random.Random) -> bool:
    return any(
        t.service == service and t.since_s <= second < t.until_s and rng.random() < t.share
        for t in actor.troubles
    )


def _steps(host: str, failing: bool) -> list[Observation]:
    answer = DnsAnswer(type="A", data=ADDRESS, ttl_s=60)
    steps = [
        Observation(
            operation=Operation.RESOLVE,
            started_us=0,
            duration_us=STEP_US,
            dns=Dns(engine="system", resolver="", name=host, query_type="A", answers=(answer,)),
        ),
        Observation(
            operation=Operation.CONNECT,
            started_us=STEP_US,
            duration_us=STEP_US,
            parent=0,
            tcp=Tcp(address=ADDRESS, port=443),
        ),
        Observation(
            operation=Operation.TLS_HANDSHAKE,
            started_us=2 * STEP_US,
            duration_us=WAIT_US if failing else STEP_US,
            parent=1,
            failure=Failure.GENERIC_TIMEOUT_ERROR if failing else None,
            tls=Tls(server_name=host, version="" if failing else "TLSv1.3"),
        ),
    ]
    if not failing:
        page = Http(method="GET", url=f"https://{host}/", status=200, body_bytes=4_096)
        steps.append(
            Observation(
                operation=Operation.HTTP_ROUND_TRIP,
                started_us=3 * STEP_US,
                duration_us=STEP_US,
                parent=2,
                http=page,
            )
        )
    return steps
