"""Who may speak and what they are asked: agents, invites, plans and the collector's own keys.

Everything lies in DATA/fleet.db and DATA/keys, which the commands change while `serve` runs.
"""

from heliograph_collector.fleet.code_store import Codes, Word
from heliograph_collector.fleet.invites import invite_line
from heliograph_collector.fleet.keyring import Keyring, KeysError, open_keyring, tls_file
from heliograph_collector.fleet.registry import Agent, Fleet, RefusedError

__all__ = [
    "Agent",
    "Codes",
    "Fleet",
    "Keyring",
    "KeysError",
    "RefusedError",
    "Word",
    "invite_line",
    "open_keyring",
    "tls_file",
]
