"""Read receipts and a newer plan from the answers to single envelopes."""

from google.protobuf.message import DecodeError

from heliograph import relay_line
from heliograph.keys import key_id
from heliograph.plan_chunks import PlanAssembler
from heliograph.v1 import intake_pb2, plan_pb2
from heliograph_agent.state import Collector


class PlanDownload:
    """Assemble a plan from pieces; all transports of an uplink share one download."""

    def __init__(self) -> None:
        self._assembler = PlanAssembler()

    def describe_progress(self, version: int) -> intake_pb2.PlanHeld:
        """Describe the plan's stored `version` and pieces, for the next envelope."""
        return self._assembler.progress(version)

    def add_response(self, response: intake_pb2.SubmitResponse) -> plan_pb2.SignedPlan | None:
        """Add a piece from any sender; return the complete plan, not verified yet."""
        if not response.HasField("plan"):
            return None
        plan_bytes = self._assembler.add_piece(response.plan)
        if plan_bytes is None:
            return None
        try:
            return plan_pb2.SignedPlan.FromString(plan_bytes)
        except DecodeError:
            return None


def read_relayed_receipt(
    collector: Collector, envelope: bytes, response: intake_pb2.SubmitResponse
) -> intake_pb2.Receipt:
    """Read a relay's receipt; without the collector's signature it means `retry`."""
    key = key_id(collector.sealing_key)
    receipt = relay_line.verify_relayed_receipt(envelope, key, response, collector.signing_key)
    retry_after_s = response.receipt.retry_after_s
    return receipt or intake_pb2.Receipt(
        status=intake_pb2.STATUS_RETRY, retry_after_s=retry_after_s
    )
