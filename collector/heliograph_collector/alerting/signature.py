"""Signs a webhook as Standard Webhooks does: HMAC-SHA256 over id, moment and body. Pure.

Format: https://www.standardwebhooks.com, "signature scheme", symmetric.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping

PREFIX = "whsec_"
LEAST, MOST = 24, 64  # bytes of a secret, as Standard Webhooks wants them


def secret_of(text: str) -> bytes:
    """`whsec_` and base64. Raises ValueError with the cure, and never the secret."""
    try:
        secret = base64.b64decode(text.strip().removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not text.strip().startswith(PREFIX) or not LEAST <= len(secret) <= MOST:
        raise ValueError(f"must hold {PREFIX} and {LEAST} to {MOST} bytes in base64")
    return secret


def headers(secret: bytes, id_: str, at_s: int, body: bytes) -> Mapping[str, str]:
    """Of one try: the moment is that of the try, the id that of the message."""
    digest = hmac.digest(secret, f"{id_}.{at_s}.".encode() + body, "sha256")
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(at_s),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
