"""Manage agents, invites, plans, signed lists, operators and the collector's keys.

All data is in DATA/fleet.db, DATA/operators.json and DATA/keys. Commands change it while `serve`
runs.

Example:
    fleet = Fleet(data)
    token = fleet.create_invite(role="volunteer", uses=1, now_s=now_s, expires_s=now_s + 86_400)
    print(format_invite("192.0.2.1:7443", open_keyring(data, hosts=()).pin, token))
"""

from heliograph_collector.fleet.code_store import ProvenCode, VoiceCodeStore
from heliograph_collector.fleet.invites import format_invite
from heliograph_collector.fleet.keyring import Keyring, KeysError, open_keyring, tls_file
from heliograph_collector.fleet.registry import EnrolledAgent, EnrolmentRefusedError, Fleet

__all__ = [
    "EnrolledAgent",
    "EnrolmentRefusedError",
    "Fleet",
    "Keyring",
    "KeysError",
    "ProvenCode",
    "VoiceCodeStore",
    "format_invite",
    "open_keyring",
    "tls_file",
]
