"""An agent at rest signs in a process of its own, and stays without the cryptography."""

import subprocess
import sys
from pathlib import Path

from heliograph import keys
from heliograph_agent.state import State

CODE = """
import asyncio, sys
from pathlib import Path
from heliograph_agent.agent.signing import sign
from heliograph_agent.state import State
signature = asyncio.run(sign(State(Path(sys.argv[1])), b"heliograph hello v1\\0", b"nonce"))
print(signature.hex(), "cryptography" in sys.modules)
"""


def test_the_signature_is_the_agents_and_the_library_stays_out(tmp_path: Path) -> None:
    state = State(tmp_path / "agent")
    state.root.mkdir()
    state.private_key(make=True)
    public = state.signer().public
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(state.root)], capture_output=True, text=True, check=True
    )
    signature, loaded = done.stdout.split()
    assert keys.verify(public, bytes.fromhex(signature), keys.HELLO, b"nonce")
    assert loaded == "False"
