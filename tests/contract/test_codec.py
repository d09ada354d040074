"""Every dataclass survives the wire, and no bytes from outside become a word we do not know."""

import string
from dataclasses import replace

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from heliograph import codec
from heliograph.failure import Failure, Operation
from heliograph.observation import (
    Access,
    Certificate,
    Digest,
    Dns,
    DnsAnswer,
    Epoch,
    FailedStep,
    Http,
    Link,
    Measurement,
    Observation,
    Outcome,
    Summary,
    Tcp,
    Tls,
)
from heliograph.plan import (
    Carrier,
    Endpoint,
    EndpointKind,
    Entrance,
    Limits,
    Plan,
    PlannedTask,
    Service,
)
from heliograph.v1 import observation_pb2, plan_pb2

text = st.text(alphabet=st.characters(codec="utf-8"), max_size=40)
word = st.text(alphabet=string.ascii_lowercase, max_size=12)
u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**63 - 1)
ports = st.integers(0, 65_535)


def with_pin(entrance: Entrance) -> Entrance:
    """A relay has a key of its own, and nobody else one that is not pinned already."""
    return replace(entrance, pin="ab" * 32) if entrance.carrier is Carrier.RELAY else entrance


dns = st.builds(
    Dns,
    engine=word,
    resolver=text,
    name=text,
    query_type=word,
    rcode=st.none() | st.integers(0, 4_095),
    answers=st.lists(st.builds(DnsAnswer, type=word, data=text, ttl_s=u32), max_size=4).map(tuple),
)
tls = st.builds(
    Tls,
    server_name=text,
    version=word,
    cipher=word,
    alpn=word,
    alert=st.none() | st.integers(0, 255),
    chain=st.lists(
        st.builds(
            Certificate,
            sha256=word,
            spki_sha256=word,
            subject=text,
            issuer=text,
            not_before_s=u64,
            not_after_s=u64,
        ),
        max_size=3,
    ).map(tuple),
)
http = st.builds(
    Http,
    method=word,
    url=text,
    status=u32,
    title=text,
    server=text,
    location=text,
    body_bytes=u64,
    body_sha256=word,
    truncated=st.booleans(),
)
observations = st.lists(
    st.builds(
        Observation,
        operation=st.sampled_from(Operation),
        started_us=u64,
        duration_us=u64,
        failure=st.none() | st.sampled_from(Failure),
        failure_detail=text,
        endpoint=word,
        dns=st.none() | dns,
        tcp=st.none() | st.builds(Tcp, address=text, port=ports),
        tls=st.none() | tls,
        http=st.none() | http,
    ),
    max_size=5,
).map(tuple)
measurements = st.builds(
    Measurement,
    experiment=word,
    experiment_version=u32,
    target=text,
    started_us=u64,
    monotonic_us=u64,
    boot=word,
    runtime_us=u64,
    epoch=word,
    service=word,
    sequence=u64,
    link=st.sampled_from(Link),
    plan_version=u64,
    services_version=word,
    not_measured=text,
    observations=observations,
    clock_offset_us=st.none() | st.integers(-(2**62), 2**62),
    summary=st.none()
    | st.builds(
        Summary,
        runs=st.integers(100, 2**40),
        span_us=st.integers(0, 10**12),
        last_sequence=u64,
        outcomes=st.lists(
            st.builds(
                Outcome,
                runs=st.integers(0, 9),
                not_measured=st.booleans(),
                failures=st.lists(
                    st.builds(
                        FailedStep,
                        endpoint=word,
                        operation=st.sampled_from(Operation),
                        failure=st.sampled_from(Failure),
                    ),
                    max_size=3,
                ).map(tuple),
            ),
            max_size=3,
        ).map(tuple),
    ),
    digest=st.none()
    | st.builds(
        Digest,
        step_s=st.integers(1, 86_400),
        classes=st.just(("domestic", "telegram")),
        lives=st.lists(st.integers(0, 3), min_size=2, max_size=2)
        .map(bytes)
        .flatmap(lambda span: st.integers(1, 9).map(lambda n: span * n)),
    ),
)
epochs = st.builds(
    Epoch,
    id=word,
    started_us=u64,
    country=st.sampled_from(["", "KZ", "IR"]),
    region=st.sampled_from(["", "KZ-ALA"]),
    access=st.sampled_from(Access),
    ipv4=st.booleans(),
    ipv6=st.booleans(),
)
plans = st.builds(
    Plan,
    version=u64,
    entrances=st.lists(
        st.builds(
            Entrance,
            carrier=st.sampled_from(Carrier),
            host=word,
            port=ports,
            addresses=st.lists(word, max_size=2).map(tuple),
            server_name=word,
        ).map(with_pin),
        max_size=3,
    ).map(tuple),
    beacon_zone=word,
    issued_s=u64,
    expires_s=u64,
    services_version=word,
    services=st.lists(
        st.builds(
            Service,
            name=word,
            title=text,
            experiment=word,
            endpoints=st.lists(
                st.builds(
                    Endpoint,
                    id=word,
                    kind=st.sampled_from(EndpointKind),
                    host=word,
                    port=ports,
                    path=st.just("/") | word.map(lambda w: f"/{w}"),
                    method=st.sampled_from(["GET", "POST"]),
                    group=word,
                    trust=word,
                ),
                max_size=3,
            ).map(tuple),
        ),
        max_size=3,
    ).map(tuple),
    tasks=st.lists(
        st.builds(
            PlannedTask,
            experiment=word,
            role=word,
            interval_s=u32,
            service=word,
            target=text,
            options=st.dictionaries(word, text, max_size=3),
        ),
        max_size=3,
    ).map(tuple),
    limits=st.builds(Limits, bytes_per_month=u64, concurrency=u32, target_pause_s=u32),
    heartbeat_s=u32,
)


@given(measurements)
def test_a_measurement_survives_the_wire(measurement: Measurement) -> None:
    wire = codec.measurement_to_pb(measurement).SerializeToString()
    again = codec.measurement_from_pb(observation_pb2.Measurement.FromString(wire))
    assert again == measurement


@given(epochs)
def test_an_epoch_survives_the_wire(epoch: Epoch) -> None:
    wire = codec.epoch_to_pb(epoch).SerializeToString()
    assert codec.epoch_from_pb(observation_pb2.Epoch.FromString(wire)) == epoch


@given(plans)
def test_a_plan_survives_the_wire(plan: Plan) -> None:
    wire = codec.plan_to_pb(plan).SerializeToString()
    assert codec.plan_from_pb(plan_pb2.Plan.FromString(wire)) == plan


@given(st.binary(max_size=400))
def test_random_bytes_give_a_measurement_or_a_named_refusal(data: bytes) -> None:
    try:
        codec.measurement_from_pb(observation_pb2.Measurement.FromString(data))
    except (DecodeError, codec.CodecError) as refusal:
        assert str(refusal), "a refusal says what is wrong"  # noqa: PT017 (either outcome is right)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"link": "sideways"}, "link"),
        ({"target": "x" * 2_049}, "target"),
        ({"observations": [{"operation": "guess"}]}, "observation.operation"),
        (
            {"observations": [{"operation": "resolve", "failure": "censored"}]},
            "observation.failure",
        ),
        ({"observations": [{"operation": "resolve", "parent": 0}]}, "observation.parent"),
        (
            {"observations": [{"operation": "connect", "tcp": {"port": 70_000}}]},
            "tcp.port",
        ),
        ({"observations": [{"operation": "resolve"}] * 513}, "observations"),
    ],
)
def test_what_is_outside_the_vocabulary_is_refused_by_name(
    change: dict[str, object], place: str
) -> None:
    message = observation_pb2.Measurement(**{"link": "online", **change})  # type: ignore[arg-type]
    with pytest.raises(codec.CodecError) as caught:
        codec.measurement_from_pb(message)
    assert caught.value.place == place


@pytest.mark.parametrize(
    ("message", "place"),
    [
        (observation_pb2.Measurement(summary=observation_pb2.Summary()), "summary.runs"),
        (
            observation_pb2.Measurement(
                summary=observation_pb2.Summary(runs=1, outcomes=[observation_pb2.Outcome(runs=2)])
            ),
            "summary.runs",
        ),
        (observation_pb2.Measurement(digest=observation_pb2.Digest(step_s=1)), "digest.step_s"),
        (
            observation_pb2.Measurement(
                digest=observation_pb2.Digest(step_s=1, classes=["dns", "tor"], lives=b"\1\2\1")
            ),
            "digest.lives",
        ),
        (
            observation_pb2.Measurement(
                digest=observation_pb2.Digest(step_s=1, classes=["dns"], lives=b"\4")
            ),
            "digest.lives",
        ),
    ],
)
def test_sums_that_do_not_add_up_are_refused_by_name(
    message: observation_pb2.Measurement, place: str
) -> None:
    message.link = "online"
    with pytest.raises(codec.CodecError) as refused:
        codec.measurement_from_pb(message)
    assert refused.value.place == place


NO_HOSTS = ("a..b", "x" * 64, ".", "a b", "a\r\nb: c", "\0", "*.a", "ü" * 80, "[::1", "a:1",
            "fe80::1%a\r\nb: c")  # fmt: skip


@pytest.mark.parametrize("host", ["h", "b_1.example.org.", "2001:db8::1", "192.0.2.1", "пример.рф"])
def test_an_entrance_is_any_host_that_can_be_asked_for(host: str) -> None:
    message = plan_pb2.Entrance(carrier="post", host=host, port=1, server_name=host)
    (entrance,) = codec.entrances_from_pb([message])
    assert (entrance.host, entrance.server_name) == (host, host)


@pytest.mark.parametrize("zone", ["a..b", "x" * 64, "a b.example"])
def test_a_zone_that_no_resolver_takes_is_refused(zone: str) -> None:
    with pytest.raises(codec.CodecError, match="beacon_zone"):
        codec.plan_from_pb(plan_pb2.Plan(beacon_zone=zone))


def test_an_entrance_for_a_carrier_of_a_later_edition_is_passed_over() -> None:
    message = plan_pb2.Plan(
        entrances=[
            plan_pb2.Entrance(carrier="pigeon", host="roof", port=1),
            plan_pb2.Entrance(carrier="post", host="collector.example", port=443),
        ]
    )
    (entrance,) = codec.plan_from_pb(message).entrances
    assert entrance == Entrance(carrier=Carrier.POST, host="collector.example", port=443)


@pytest.mark.parametrize(
    "entrances",
    [
        [plan_pb2.Entrance(carrier="post", host="h", port=1)] * 17,
        [plan_pb2.Entrance(carrier="post", host="h", port=70_000)],
        [plan_pb2.Entrance(carrier="post", host="h" * 254, port=1)],
        [plan_pb2.Entrance(carrier="post", host="h", port=1, addresses=["a"] * 9)],
        [plan_pb2.Entrance(carrier="relay", host="h", port=1, pin=bytes(31))],
        [plan_pb2.Entrance(carrier="post", host="h", port=1, pin=bytes(32))],
        *([plan_pb2.Entrance(carrier="post", host=bad, port=1)] for bad in NO_HOSTS),
        *([plan_pb2.Entrance(carrier="post", host="h", port=1, server_name=b)] for b in NO_HOSTS),
    ],
)
def test_entrances_have_bounds(entrances: list[plan_pb2.Entrance]) -> None:
    with pytest.raises(codec.CodecError, match="entrance"):
        codec.plan_from_pb(plan_pb2.Plan(entrances=entrances))
