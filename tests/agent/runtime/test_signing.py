"""A resting agent signs in another process, and never loads the cryptography."""

import subprocess
import sys
from pathlib import Path

from heliograph import keys
from heliograph_agent.state import State

CODE = """
import asyncio, sys
from pathlib import Path
from heliograph_agent.runtime.signing import sign_message
from heliograph_agent.state import State
signature = asyncio.run(sign_message(State(Path(sys.argv[1])), b"heliograph hello v1\\0", b"nonce"))
print(signature.hex(), "cryptography" in sys.modules)
"""


def test_sign_message_loads_no_cryptography(tmp_path: Path) -> None:
    state = State(tmp_path / "agent")
    state.root.mkdir()
    state.private_key(create=True)
    public = state.signer().public
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(state.root)], capture_output=True, text=True, check=True
    )
    signature, loaded = done.stdout.split()
    assert keys.verify(public, bytes.fromhex(signature), keys.HELLO, b"nonce")
    assert loaded == "False"


EARLY_END = """
import asyncio, sys
from pathlib import Path
import uvloop
from heliograph_agent.runtime import signing
from heliograph_agent.state import State
sys.executable = "/bin/true"  # gone before its input is written, now and then

async def sign_repeatedly():
    return {await signing._sign_in_child(State(Path(sys.argv[1])), b"request") for _ in range(200)}

print(uvloop.run(sign_repeatedly()) == {b""})
"""


def test_signing_child_that_ends_early_yields_no_signature_under_uvloop(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", EARLY_END, str(tmp_path)], capture_output=True, text=True
    )
    assert done.stdout.strip() == "True", done.stderr[-500:]
