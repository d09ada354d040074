"""Plans come signed, and only ever newer ones are taken."""

from heliograph import codec, keys
from heliograph.plan import Plan
from heliograph.v1 import plan_pb2


class PlanError(Exception):
    """A plan that is not the operator's, or an older one; str() is the reason."""


def open_plan(signed: plan_pb2.SignedPlan, signing_key: bytes, *, above: int = 0) -> Plan:
    """The plan, if the collector's operator signed it and its version is `above`.

    Raises PlanError.
    """
    from google.protobuf.message import DecodeError

    if not keys.verify(signing_key, signed.signature, keys.PLAN, signed.plan):
        raise PlanError("its signature is not the collector's")
    try:
        plan = codec.plan_from_pb(plan_pb2.Plan.FromString(signed.plan))
    except (DecodeError, codec.CodecError) as error:
        raise PlanError("this version cannot read it") from error
    if plan.version <= above:
        raise PlanError(f"its version {plan.version} is not above {above}")
    return plan


def read_plan(stored: bytes) -> Plan:
    """The plan in a file of our own, which was checked when it came. Raises PlanError."""
    from google.protobuf.message import DecodeError

    try:
        signed = plan_pb2.SignedPlan.FromString(stored)
        return codec.plan_from_pb(plan_pb2.Plan.FromString(signed.plan))
    except (DecodeError, codec.CodecError) as error:
        raise PlanError("this version cannot read it") from error
