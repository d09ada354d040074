"""Read receipts and a newer plan from the answers to single envelopes."""

from collections.abc import Callable

from google.protobuf.message import DecodeError

from heliograph import relay_line
from heliograph.keys import key_id
from heliograph.plan_chunks import PlanAssembler
from heliograph.v1 import intake_pb2, plan_pb2
from heliograph_agent.state import Collector


class PlanDownloader:
    """Assemble a plan from pieces; all transports of an uplink share one download."""

    def __init__(
        self, version: Callable[[], int], take_plan: Callable[[plan_pb2.SignedPlan], None]
    ) -> None:
        self._version = version
        self._take_plan = take_plan
        self._assembler = PlanAssembler()

    def describe_progress(self) -> intake_pb2.PlanHeld:
        """Describe the stored pieces, for the next envelope."""
        return self._assembler.progress(self._version())

    def add_response(self, response: intake_pb2.SubmitResponse) -> None:
        """Add a piece from any sender, because the plan's signature is verified later."""
        if not response.HasField("plan"):
            return
        plan_bytes = self._assembler.add_piece(response.plan)
        if plan_bytes is None:
            return
        try:
            signed = plan_pb2.SignedPlan.FromString(plan_bytes)
        except DecodeError:
            return
        self._take_plan(signed)


ReadReceipt = Callable[[bytes, intake_pb2.SubmitResponse], intake_pb2.Receipt]


def read_own_receipt(envelope: bytes, response: intake_pb2.SubmitResponse) -> intake_pb2.Receipt:
    """Read the receipt of a server that proved the collector's key."""
    del envelope
    return response.receipt


def make_relay_reader(collector: Collector) -> ReadReceipt:
    """Make a reader for relays; answers that the collector did not sign mean `retry`."""

    def read_relayed_receipt(
        envelope: bytes, response: intake_pb2.SubmitResponse
    ) -> intake_pb2.Receipt:
        key = key_id(collector.sealing_key)
        receipt = relay_line.verify_relayed_receipt(envelope, key, response, collector.signing_key)
        retry_after_s = response.receipt.retry_after_s
        retry = intake_pb2.Receipt(status=intake_pb2.STATUS_RETRY, retry_after_s=retry_after_s)
        return receipt or retry

    return read_relayed_receipt
