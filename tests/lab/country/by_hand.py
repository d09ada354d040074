"""What a polite stop left in the spools, brought to the collector by hand: one file of all."""

from collections.abc import Iterable

from heliograph import bundle
from heliograph.v1.envelope_pb2 import Envelope
from heliograph_agent.spool import reader
from heliograph_agent.state import SPOOL
from lab.country.country import Country


def hand_in(made: Country, names: Iterable[str]) -> dict[str, int]:
    """How many batches of each agent, all of which are stopped."""
    held = {name: list(reader.envelopes(made.folder / name / SPOOL)) for name in names}
    left = [envelope for mine in held.values() for envelope in mine]
    if left:
        file = made.folder / "rest"
        file.write_bytes(b"".join(bundle.pack(Envelope.FromString(left[0]).key_id, left)))
        made.import_("bundle", str(file))
    return {name: len(mine) for name, mine in held.items()}
