"""Secrets of the receivers of alerts, one file each."""

import base64
import binascii
import secrets

from heliograph_collector.config.errors import CannotServeError
from heliograph_collector.config.receivers import Receiver, ReceiverKind

MAX_SECRET_CHARS = 4_096
KEY_PREFIX = "whsec_"
# bytes of a secret, as Standard Webhooks requires
MIN_KEY_BYTES = 24
MAX_KEY_BYTES = 64


def read_secret(receiver: Receiver) -> str:
    """Read the secret file of a receiver; "" without one.

    Raises CannotServeError, whose text never contains the secret.
    """
    if receiver.secret_file is None:
        return ""
    source = f"{receiver.secret_file} (secret_file of the alerts to {receiver.name})"
    try:
        with receiver.secret_file.open(encoding="utf-8") as stream:
            content = stream.read(MAX_SECRET_CHARS + 1).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CannotServeError(f"{source} cannot be read ({type(error).__name__}).") from None
    if (
        not content
        or len(content) > MAX_SECRET_CHARS
        or not content.isascii()
        or not content.isprintable()
    ):
        raise CannotServeError(f"{source} must hold one secret and nothing else.")
    if receiver.kind is ReceiverKind.WEBHOOK:
        try:
            decode_secret(content)
        except ValueError as error:
            raise CannotServeError(f"{source} {error}.") from None
    if (
        receiver.kind is ReceiverKind.SLACK
        and not content.startswith("https://")
        and not receiver.private
    ):
        raise CannotServeError(f"{source} must hold an address that begins with https://.")
    return content


def decode_secret(encoded: str) -> bytes:
    """Decode `whsec_` and base64.

    Raises ValueError with the correction and without the secret.
    """
    try:
        secret = base64.b64decode(encoded.strip().removeprefix(KEY_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    is_prefixed = encoded.strip().startswith(KEY_PREFIX)
    if not is_prefixed or not MIN_KEY_BYTES <= len(secret) <= MAX_KEY_BYTES:
        raise ValueError(
            f"must hold {KEY_PREFIX} and {MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes in base64"
        )
    return secret


def generate_secret() -> str:
    """Generate a secret for signed webhooks, in the format of Standard Webhooks."""
    return KEY_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()
