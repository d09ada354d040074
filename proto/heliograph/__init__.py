"""The contract of agents and collector: vocabulary, messages and envelope.

>>> sealed = seal_batch(batch, signing_key, sealing_key.public)
>>> verified = open_envelope(Envelope.FromString(sealed), sealing_key, public_key_of)
>>> verified.agent == batch.agent
True
"""

__version__ = "0.1.0"
