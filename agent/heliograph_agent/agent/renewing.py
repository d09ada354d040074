"""This agent's next key: drawn and on disk before anybody hears of it, put in the place of the
present one only after the collector has said that it knows it. A crash anywhere between costs
nothing: the same key is offered again."""

import logging
import os

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
