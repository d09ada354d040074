"""What lone envelopes bring back besides their receipts: whose word that is, and a newer plan."""

from collections.abc import Callable

from google.protobuf.message import DecodeError

from heliograph import relay_line
from heliograph.keys import key_id
from heliograph.plan_chunks import Gathered
from heliograph.v1 import intake_pb2, plan_pb2
from heliograph_agent.state import Collector


class News:
    """One per uplink, so that a plan begun on one way is ended on another."""

    def __init__(
        self, version: Callable[[], int], take_plan: Callable[[plan_pb2.SignedPlan], None]
    ) -> None:
        self._version, self._take_plan = version, take_plan
        self._gathered = Gathered()

    def held(self) -> intake_pb2.PlanHeld:
        """To be said with the next envelope."""
        return self._gathered.held(self._version())

    def take(self, response: intake_pb2.SubmitResponse) -> None:
        """Whoever it came from: a plan is believed by its signature."""
        if not response.HasField("plan"):
            return
        whole = self._gathered.take(response.plan)
        if whole is None:
            return
        try:
            signed = plan_pb2.SignedPlan.FromString(whole)
        except DecodeError:
            return
        self._take_plan(signed)


Word = Callable[[bytes, intake_pb2.SubmitResponse], intake_pb2.Receipt]


def its_own(envelope: bytes, response: intake_pb2.SubmitResponse) -> intake_pb2.Receipt:
    """Of somebody who has shown the collector's key."""
    del envelope
    return response.receipt


def by_relay(collector: Collector) -> Word:
    """Of a relay: what the collector signed, and else nothing but that it may come again."""

    def word(envelope: bytes, response: intake_pb2.SubmitResponse) -> intake_pb2.Receipt:
        key = key_id(collector.sealing_key)
        said = relay_line.believed(envelope, key, response, collector.signing_key)
        again_s = response.receipt.retry_after_s
        later = intake_pb2.Receipt(status=intake_pb2.STATUS_RETRY, retry_after_s=again_s)
        return said or later

    return word
