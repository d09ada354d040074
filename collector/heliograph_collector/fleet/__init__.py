"""Who may speak and what they are asked: agents, invites, plans and the collector's own keys.

Everything lies in DATA/fleet.db and DATA/keys, which the commands change while `serve` runs.
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
