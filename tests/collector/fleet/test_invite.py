"""An invite has the endpoint and a few further entrances, and no others."""

from heliograph.plan import Carrier, Entrance
from heliograph_agent.uplink.invite import parse_invite
from heliograph_collector.fleet import format_invite

PIN, TOKEN = b"p" * 32, b"t" * 16


def entrance(host: str, carrier: Carrier = Carrier.STREAM) -> Entrance:
    return Entrance(carrier=carrier, host=host, port=7_443)


def test_joining_is_told_of_few_entrances() -> None:
    hosts = ["a.example", "b.example", *(f"2001:db8::{n}" for n in range(5))]
    listed = [*map(entrance, hosts[:2]), entrance("c.example", Carrier.POST)]
    listed += map(entrance, hosts[2:])
    invite = parse_invite(format_invite("a.example:7443", PIN, TOKEN, listed))
    assert [e.host for e in invite.entrances] == ["b.example", "2001:db8::0", "c.example"]
    assert (invite.endpoint, invite.pin, invite.token) == ("a.example:7443", PIN, TOKEN)
    assert parse_invite(format_invite("a.example:7443", PIN, TOKEN)).entrances == ()
