"""Every dataclass survives encoding, and no input brings an unknown word."""

import string
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from enum import Enum
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph import codec, plan
from heliograph import observation as o
from heliograph.failure import Operation
from heliograph.v1 import observation_pb2 as opb
from heliograph.v1 import plan_pb2
from support.examples import limit_examples

text = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=40)
word = st.text(alphabet=string.ascii_lowercase, max_size=8)
u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**63 - 1)
ports = st.integers(0, 65_535)


def tuples(elements: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[Any]:
    return st.lists(elements, max_size=most).map(tuple)


def with_pin(entrance: plan.Entrance) -> plan.Entrance:
    """Add a pin: a relay has its own key, other entrances only if not yet pinned."""
    return replace(entrance, pin="ab" * 32) if entrance.carrier is plan.Carrier.RELAY else entrance


BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    str: word,
    int: u32,
    bool: st.booleans(),
    bytes: st.binary(max_size=64),
}


def made(of: type, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw objects of a dataclass by field types, with given strategies for some."""
    hints = get_type_hints(of)
    by_type = {name: by_hint(hint) for name, hint in hints.items() if name not in fields}
    return st.builds(of, **by_type, **fields)


def by_hint(hint: Any) -> st.SearchStrategy[Any]:
    if hint in BY_TYPE:
        return BY_TYPE[hint]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(hint)
    first, *_ = get_args(hint)
    return tuples(by_hint(first)) if get_origin(hint) is tuple else st.none() | by_hint(first)


# fmt: off
BY_TYPE[o.DnsAnswer] = made(o.DnsAnswer, data=text)
BY_TYPE[o.DnsReply] = made(o.DnsReply, rcode=st.integers(0, 4_095))
BY_TYPE[o.Dns] = made(
    o.Dns, resolver=text, name=text, rcode=st.none() | st.integers(0, 4_095)
)
BY_TYPE[o.Tcp] = made(o.Tcp, address=text, port=ports)
BY_TYPE[o.Udp] = made(o.Udp, address=text, port=ports)
BY_TYPE[o.Certificate] = made(
    o.Certificate, subject=text, issuer=text, not_before_s=u64, not_after_s=u64
)
BY_TYPE[o.Tls] = made(o.Tls, server_name=text, alert=st.none() | st.integers(0, 255))
BY_TYPE[o.Arrival] = made(o.Arrival)
BY_TYPE[o.Reference] = made(o.Reference, address=text)
BY_TYPE[o.Http] = made(o.Http, url=text, title=text, server=text, location=text, body_bytes=u64)
BY_TYPE[o.Exchange] = made(o.Exchange)
BY_TYPE[o.Hop] = made(o.Hop)
observations = made(
    o.Observation, started_us=u64, duration_us=u64, failure_detail=text, parent=st.none()
)
BY_TYPE[o.FailedStep] = made(o.FailedStep)
BY_TYPE[o.Outcome] = made(o.Outcome, runs=st.integers(0, 9))
summaries = made(
    o.Summary, runs=st.integers(100, 2**40), span_us=st.integers(0, 10**12), last_sequence=u64
)
digests = st.builds(
    o.Digest, step_s=st.integers(1, 86_400), classes=st.just(("domestic", "telegram")),
    lives=st.tuples(st.binary(min_size=2, max_size=2), st.integers(1, 9)).map(
        lambda span: bytes(byte % 4 for byte in span[0]) * span[1]
    ),
)
measurements = made(
    o.Measurement, target=text, started_us=u64, monotonic_us=u64, runtime_us=u64, sequence=u64,
    plan_version=u64, not_measured=text, observations=tuples(observations, 5),
    clock_offset_us=st.none() | st.integers(-(2**62), 2**62),
    summary=st.none() | summaries, digest=st.none() | digests, parts=st.just(()),
)
epochs = made(
    o.Epoch, started_us=u64, country=st.sampled_from(["", "KZ", "IR"]),
    region=st.sampled_from(["", "KZ-ALA"]),
)
BY_TYPE[plan.Entrance] = made(plan.Entrance, port=ports, pin=st.just("")).map(with_pin)
BY_TYPE[plan.Endpoint] = made(
    plan.Endpoint, port=ports, path=st.just("/") | word.map(lambda w: f"/{w}"),
    method=st.sampled_from(["GET", "POST"]),
    resolver=st.sampled_from(["", "https://dns.example/dns-query"]),
)
BY_TYPE[plan.FunctionGroups] = made(plan.FunctionGroups)
BY_TYPE[plan.ConnectStage] = made(plan.ConnectStage, seconds=st.integers(0, plan.MAX_STAGE_S))
BY_TYPE[plan.Service] = made(plan.Service, title=text)
BY_TYPE[plan.PlannedTask] = made(
    plan.PlannedTask, target=text, options=st.dictionaries(word, text, max_size=3)
)
BY_TYPE[plan.Limits] = made(plan.Limits, bytes_per_month=u64)
plans = made(plan.Plan, version=u64, issued_s=u64, expires_s=u64)
# fmt: on


@given(measurements)
def test_measurement_survives_the_wire(measurement: o.Measurement) -> None:
    wire = codec.measurement_to_pb(measurement).SerializeToString()
    assert codec.measurement_from_pb(opb.Measurement.FromString(wire)) == measurement


SHARED = (
    *("sequence", "boot", "epoch", "link", "plan_version", "services_version"),
    *("clock_offset_us", "trigger", "is_light"),
)


@settings(max_examples=limit_examples(320))
@given(measurements, st.lists(measurements, min_size=1, max_size=3))
def test_round_survives_the_wire_and_says_once_what_its_parts_share(
    head: o.Measurement, checks: list[o.Measurement]
) -> None:
    alone: dict[str, Any] = {"summary": None, "digest": None}
    shared = {name: getattr(head, name) for name in SHARED}
    parts = tuple(replace(check, **alone, **shared) for check in checks)
    whole = replace(head, observations=(), parts=parts, **alone)
    message = codec.measurement_to_pb(whole)
    wire = message.SerializeToString()
    assert codec.measurement_from_pb(opb.Measurement.FromString(wire)) == whole
    assert not any(field.name in SHARED for part in message.parts for field, _ in part.ListFields())


STEP = opb.Observation(operation="connect")


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(opb.Measurement(parts=[opb.Measurement()] * 33), id="too many"),
        pytest.param(opb.Measurement(parts=[opb.Measurement()], observations=[STEP]), id="steps"),
        pytest.param(
            opb.Measurement(parts=[opb.Measurement(observations=[STEP] * 300)] * 2), id="many steps"
        ),
        pytest.param(
            opb.Measurement(parts=[opb.Measurement(parts=[opb.Measurement()])]), id="parts of parts"
        ),
        pytest.param(
            opb.Measurement(parts=[opb.Measurement(summary=opb.Summary(runs=1))]), id="summary"
        ),
    ],
)
def test_round_that_would_multiply_is_refused(message: opb.Measurement) -> None:
    message.link = "online"
    with pytest.raises(codec.CodecError, match="parts"):
        codec.measurement_from_pb(message)


@given(epochs)
def test_epoch_survives_the_wire(epoch: o.Epoch) -> None:
    wire = codec.epoch_to_pb(epoch).SerializeToString()
    assert codec.epoch_from_pb(opb.Epoch.FromString(wire)) == epoch


@given(plans)
def test_plan_survives_the_wire(message: plan.Plan) -> None:
    wire = codec.plan_to_pb(message).SerializeToString()
    assert codec.plan_from_pb(plan_pb2.Plan.FromString(wire)) == message


@given(st.binary(max_size=400))
def test_codec_names_refusal_of_random_bytes(data: bytes) -> None:
    try:
        codec.measurement_from_pb(opb.Measurement.FromString(data))
    except (DecodeError, codec.CodecError) as refusal:
        assert str(refusal), "a refusal says what is wrong"  # noqa: PT017 (either outcome is right)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"link": "sideways"}, "link"),
        ({"target": "x" * 2_049}, "target"),
        ({"target": "\x1b[2J"}, "target"),
        ({"service": "a\nb"}, "service"),
        ({"experiment": "\0"}, "experiment"),
        ({"observations": [{"operation": "connect", "http": {"title": "\x9b"}}]}, "http.title"),
        ({"observations": [{"operation": "guess"}]}, "observation.operation"),
        ({"observations": [{"operation": "resolve", "failure": "censored"}]},
         "observation.failure"),
        ({"observations": [{"operation": "resolve", "parent": 0}]}, "observation.parent"),
        ({"observations": [{"operation": "connect", "tcp": {"port": 70_000}}]}, "tcp.port"),
        ({"observations": [{"operation": "resolve"}] * 513}, "observations"),
        ({"certificates": [b"x"] * (o.MAX_CERTIFICATES + 1)}, "certificates"),
        ({"certificates": [bytes(o.MAX_CERTIFICATE_BYTES + 1)]}, "certificates"),
        ({"summary": {}}, "summary.runs"),
        ({"summary": {"runs": 1, "outcomes": [{"runs": 2}]}}, "summary.runs"),
        ({"digest": {"step_s": 1}}, "digest.step_s"),
        ({"digest": {"step_s": 1, "classes": ["dns", "tor"], "lives": b"\1\2\1"}},
         "digest.lives"),
        ({"digest": {"step_s": 1, "classes": ["dns"], "lives": b"\4"}}, "digest.lives"),
    ],
)  # fmt: skip
def test_codec_refuses_bad_field_by_name(change: dict[str, object], field: str) -> None:
    """The codec names a bad field: a wrong word, a long text, or wrong sums."""
    message = opb.Measurement(**{"link": "online", **change})  # type: ignore[arg-type]
    with pytest.raises(codec.CodecError) as caught:
        codec.measurement_from_pb(message)
    assert caught.value.field_name == field


def list_texts(descriptor: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every text of a message, and of those in it once."""
    for field in descriptor.fields:
        if field.type == field.TYPE_STRING:
            yield (*above, field.name)
        elif field.message_type is not None and field.message_type != opb.Measurement.DESCRIPTOR:
            yield from list_texts(field.message_type, (*above, field.name))


def plant_text(message: Any, path: tuple[str, ...], text: str) -> None:
    name, *rest = path
    value = getattr(message, name)
    if rest:
        inner = value if not hasattr(value, "add") else value[0] if len(value) else value.add()
        plant_text(inner, tuple(rest), text)
    elif isinstance(value, str):
        setattr(message, name, text)
    else:
        value.append(text)


@pytest.mark.parametrize("in_round", [False, True])
def test_no_control_character_comes_through(*, in_round: bool) -> None:
    """No control character comes through, so that printing is safe."""
    taken = set[str]()
    for path in list_texts(opb.Measurement.DESCRIPTOR):
        for text in ("ab", *(f"a{control}b" for control in "\x00\x1b\x07\n\r\t\x7f\x85\x9b")):
            message = opb.Measurement(link="online")
            target = message.parts.add() if in_round else message
            target.observations.add(operation="resolve")
            plant_text(target, path, text)
            with suppress(codec.CodecError):
                told = repr(codec.measurement_from_pb(message))
                taken |= {".".join(path)} if text == "ab" else set()
                assert text == "ab" or repr(text)[1:-1] not in told, path
    assert len(taken) > 45, "most texts are of no vocabulary"


def test_what_a_hostile_page_sends_spoils_no_measurement() -> None:
    page = o.Http(method="GET", url="/", title="a\x1b[2J", text="one\n\0two")
    empty = codec.measurement_from_pb(opb.Measurement(link="online"))
    step = o.Observation(operation=Operation.CONNECT, started_us=0, duration_us=0, http=page)
    wire = codec.measurement_to_pb(replace(empty, observations=(step,)))
    seen = codec.measurement_from_pb(wire).observations[0].http
    assert seen is not None
    assert (seen.title, seen.text) == ("a\ufffd[2J", "one \ufffdtwo")


NO_HOSTS = ("a..b", "x" * 64, ".", "a b", "a\r\nb: c", "\0", "*.a", "ü" * 80, "[::1", "a:1",
            "fe80::1%a\r\nb: c")  # fmt: skip


@pytest.mark.parametrize("host", ["h", "b_1.example.org.", "2001:db8::1", "192.0.2.1", "пример.рф"])
def test_entrance_accepts_resolvable_host(host: str) -> None:
    message = plan_pb2.Entrance(carrier="post", host=host, port=1, server_name=host)
    (entrance,) = codec.entrances_from_pb([message])
    assert (entrance.host, entrance.server_name) == (host, host)


@pytest.mark.parametrize("zone", ["a..b", "x" * 64, "a b.example"])
def test_plan_refuses_unresolvable_zone(zone: str) -> None:
    with pytest.raises(codec.CodecError, match="beacon_zone"):
        codec.plan_from_pb(plan_pb2.Plan(beacon_zone=zone))


def test_plan_skips_entrance_of_unknown_carrier() -> None:
    message = plan_pb2.Plan(
        entrances=[
            plan_pb2.Entrance(carrier="pigeon", host="roof", port=1),
            plan_pb2.Entrance(carrier="post", host="collector.example", port=443),
        ]
    )
    (entrance,) = codec.plan_from_pb(message).entrances
    assert entrance == plan.Entrance(carrier=plan.Carrier.POST, host="collector.example", port=443)


def test_plan_skips_endpoint_of_unknown_kind() -> None:
    """A plan skips endpoints of an unknown kind.

    Otherwise a plan with a new kind would stop the agents of all earlier versions.
    """
    message = plan_pb2.Plan(
        services=[
            plan_pb2.Service(
                name="time",
                endpoints=[
                    plan_pb2.Endpoint(id="new", kind="pigeon", host="roof.example", port=1),
                    plan_pb2.Endpoint(id="web", kind="https", host="www.example", port=443),
                ],
            )
        ],
        tasks=[plan_pb2.PlannedTask(experiment="time", service="time", interval_s=60)],
    )
    decoded = codec.plan_from_pb(message)
    assert [endpoint.id for endpoint in decoded.services[0].endpoints] == ["web"]
    assert [task.service for task in decoded.tasks] == ["time"]


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
def test_plan_refuses_entrance_out_of_bounds(entrances: list[plan_pb2.Entrance]) -> None:
    with pytest.raises(codec.CodecError, match="entrance"):
        codec.plan_from_pb(plan_pb2.Plan(entrances=entrances))


def test_stored_text_of_earlier_versions_is_cleaned_and_read() -> None:
    step = opb.Observation(operation="resolve")
    step.dns.name = "a\x1bb"
    step.dns.answers.add(type="A", data="1.2.3.4\x00")
    stored = opb.Measurement(experiment="web", service="=cmd\x00|", link="online")
    stored.observations.append(step)
    with pytest.raises(codec.CodecError):
        codec.measurement_from_pb(stored)
    codec.replace_controls_in(stored)
    measurement = codec.measurement_from_pb(stored)
    dns = measurement.observations[0].dns
    assert dns is not None
    assert (measurement.service, dns.name) == ("=cmd\ufffd|", "a\ufffdb")
    assert dns.answers[0].data == "1.2.3.4\ufffd"
