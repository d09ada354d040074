"""Signs for an agent at rest without keeping the cryptography in its memory.

A hello is one signature in half an hour; the library that makes it is a fifth of an idle agent's
RSS. So a process of a few hundredths of a second signs, reads the key by itself, and is gone. Once
measuring has loaded the library anyway, it signs here.
"""

import asyncio
import sys

from heliograph_agent.state import State

DEADLINE_S = 10.0
_SIGNATURE = 64
_CHILD = """
import sys
from pathlib import Path
from heliograph_agent.state import State
context, message = map(bytes.fromhex, sys.stdin.read(4096).split("\\n"))
sys.stdout.buffer.write(State(Path(sys.argv[1])).signer().sign(context, message))
"""


async def sign(state: State, context: bytes, message: bytes) -> bytes:
    """64 bytes. Raises StateError when this agent has not joined."""
    if "cryptography" not in sys.modules:
        signature = await _elsewhere(state, f"{context.hex()}\n{message.hex()}".encode())
        if len(signature) == _SIGNATURE:
            return signature
    return state.signer().sign(context, message)


async def _elsewhere(state: State, words: bytes) -> bytes:
    """What the child answered; nothing when there is no room for a child or it is late."""
    pipe = asyncio.subprocess.PIPE
    try:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _CHILD, str(state.root),
            stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
    except OSError:
        return b""
    try:
        async with asyncio.timeout(DEADLINE_S):
            signature, _ = await child.communicate(words)
    except (TimeoutError, OSError):
        return b""
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    return signature
