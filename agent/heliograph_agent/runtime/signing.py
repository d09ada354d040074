"""Signs for an agent at rest without keeping the cryptography in its memory.

A hello is one signature in half an hour; the library that makes it is a fifth of an idle agent's
RSS. So a process of a few hundredths of a second signs, reads the key by itself, and is gone. Once
measuring has loaded the library anyway, it signs here.
"""

import asyncio
import logging
import os
import sys

from heliograph import keys
from heliograph.v1 import intake_pb2
from heliograph_agent.state import KEY, NEXT_KEY, State, StateError

log = logging.getLogger("heliograph.agent")


def answer(state: State, agent: bytes, said: intake_pb2.Renewed) -> intake_pb2.Renewal | None:
    """What to say to `said`: the next key when the present one is named, nothing when the next one
    is, which from then on is the present one."""
    try:
        present = state.signer()
        following = _next(state)
        if said.public_key == following.public:
            state.promote(NEXT_KEY, KEY)
            log.info("this agent's key was renewed")
            return None
    except StateError as error:
        log.warning("%s", error)
        return None
    if said.public_key != present.public:
        return None
    message = agent + following.public
    return intake_pb2.Renewal(
        public_key=following.public,
        by_present=present.sign(keys.RENEWAL, message),
        by_next=following.sign(keys.RENEWAL, message),
    )


def _next(state: State) -> keys.SigningKey:
    """Raises StateError."""
    secret = state.read(NEXT_KEY)
    if secret is None or len(secret) != 32:
        secret = os.urandom(32)
        state.write(NEXT_KEY, secret)
    return keys.SigningKey(secret)


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
