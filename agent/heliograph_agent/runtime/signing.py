"""Sign for an idle agent without keeping the cryptography library in its memory.

An idle agent signs one hello in half an hour, and the library for it is a fifth of the agent's RSS.
So a child process reads the key, signs and exits within a few hundredths of a second. Once
measuring has loaded the library anyway, the agent signs by itself.
"""

import asyncio
import logging
import sys
from contextlib import suppress

from heliograph import keys
from heliograph.v1 import intake_pb2
from heliograph_agent.state import KEY, NEXT_KEY, Collector, State, StateError

DEADLINE_S = 10.0
_SIGNATURE = 64
_CHILD = """
import sys
from pathlib import Path
from heliograph_agent.state import State
context, message = map(bytes.fromhex, sys.stdin.read(4096).split("\\n"))
sys.stdout.buffer.write(State(Path(sys.argv[1])).signer().sign(context, message))
"""
log = logging.getLogger("heliograph.agent")


def answer_renewal(
    state: State, collector: Collector, renewed: intake_pb2.Renewed
) -> intake_pb2.Renewal | None:
    """Answer the collector's `renewed` message about this agent's key.

    When it names the present key, offer the next one. When it names the next key, make that the
    present one and return None. Return None for any other key, and when a file fails.
    """
    try:
        current_key = state.signer()
        next_key = state.prepared_signer(NEXT_KEY)
        if renewed.public_key == next_key.public:
            state.promote(NEXT_KEY, KEY)
            log.info("this agent's key was renewed")
            return None
    except StateError as error:
        log.warning("%s", error)
        return None
    if renewed.public_key != current_key.public:
        return None
    context = keys.bind_context(keys.RENEWAL, collector.pin)
    message = collector.agent + next_key.public
    return intake_pb2.Renewal(
        public_key=next_key.public,
        by_present=current_key.sign(context, message),
        by_next=next_key.sign(context, message),
    )


async def sign_message(state: State, context: bytes, message: bytes) -> bytes:
    """Return a signature of 64 bytes. Raises StateError before the join."""
    if "cryptography" not in sys.modules:
        signature = await _sign_in_child(state, f"{context.hex()}\n{message.hex()}".encode())
        if len(signature) == _SIGNATURE:
            return signature
    return state.signer().sign(context, message)


async def _sign_in_child(state: State, request: bytes) -> bytes:
    """Return the child's signature; b"" if the child cannot be started or is late."""
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
            signature, _ = await child.communicate(request)
    except (TimeoutError, OSError, RuntimeError):  # uvloop: RuntimeError after an exit
        return b""
    finally:
        if child.returncode is None:
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()
    return signature
