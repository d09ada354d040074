"""Check for `doctor --public` that invites' addresses are reachable from outside.

A machine cannot prove that about itself: its own connections need not pass the router and firewall
that a stranger's do. So another machine asks, by SSH, with one command of OpenSSL that prints the
hash of the key that it receives. Without another machine the command is printed, and nothing is
claimed.
"""

import shlex
import subprocess
from hashlib import sha256

from heliograph.address import (
    format_dial_address,
    is_special_purpose,
    parse_literal,
    split_endpoint,
)
from heliograph.plan import Carrier
from heliograph_collector.cli import CommandError, find_public_endpoint
from heliograph_collector.cli.finding import Finding, Level, select_certificate
from heliograph_collector.config.settings import Config
from heliograph_collector.fleet.certificate import encode_public_key
from heliograph_collector.fleet.invites import is_loopback
from heliograph_collector.fleet.keyring import tls_file

_SUBJECT = "public address"
_CONNECT_S = 10  # of SSH; assumed
_TIMEOUT_S = 60  # of all that the other machine does; assumed
_SSH_FAILED = 255  # exit code of ssh(1) for its own errors
_HASH_HEX = 64


def check_public(config: Config, helper: str, address: str | None = None) -> list[Finding]:
    """Check that `helper` gets our key at the invites' address and at all entrances.

    Without a helper, the findings have the commands to run elsewhere.

    Args:
        config: The configuration.
        helper: Another machine, as SSH names it; "" for none.
        address: HOST:PORT in place of the address that invites name.
    """
    try:
        own = find_public_endpoint(config, address)
        key = encode_public_key(select_certificate(tls_file(config.data).read_bytes()))
    except (CommandError, OSError, ValueError) as error:
        return [Finding(Level.FAILURE, _SUBJECT, f"{error}")]
    if is_loopback(split_endpoint(own)[0]):
        sentence = f"{own} is this machine alone: set the key endpoint, which invites name."
        return [Finding(Level.FAILURE, _SUBJECT, sentence)]
    addresses = dict.fromkeys((own, *_list_entrances(config)))
    return [_check_address(address, key, helper) for address in addresses]


def _list_entrances(config: Config) -> list[str]:
    """List the addresses that agents learn from the plan; a relay shows its own key."""
    grpc_port = split_endpoint(config.grpc)[1]
    post_port = split_endpoint(config.post)[1] if config.post else 0
    entrances = config.list_entrances(grpc_port, post_port)
    own = [entrance for entrance in entrances if entrance.carrier is not Carrier.RELAY]
    return [format_dial_address(entrance.host, entrance.port) for entrance in own]


def _check_address(address: str, key: bytes, helper: str) -> Finding:
    host = split_endpoint(address)[0]
    command = build_command(address)
    expected = sha256(key).hexdigest()
    if helper:
        return _ask_helper(helper, address, command, expected)
    literal = parse_literal(host)
    is_inside = bool(literal) and is_special_purpose(literal)
    inside = " It is a private address, which only its own network reaches." if is_inside else ""
    sentence = (
        f"whether {address} is reached from outside cannot be proved from this machine.{inside} "
        f"Run this on a machine in another network; it must print {expected}:\n    {command}\n"
        "    Or let doctor ask a machine that you reach by SSH: doctor --public --from HOST"
    )
    return Finding(Level.WARNING, _SUBJECT, sentence)


def build_command(address: str) -> str:
    """Build the command that prints the SHA-256 of the key that an address shows."""
    return (
        f"openssl s_client -connect {shlex.quote(address)} </dev/null 2>/dev/null | "
        "openssl x509 -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256 -r"
    )


def _ask_helper(helper: str, address: str, command: str, expected: str) -> Finding:
    """Let another machine ask, by SSH without a password prompt."""
    options = ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={_CONNECT_S}"]
    try:
        result = subprocess.run(  # noqa: S603 -- the operator names the machine
            ["ssh", *options, "--", helper, command],  # noqa: S607 -- from the operator's PATH
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
            text=True,
            errors="replace",
        )
    except OSError as error:
        return _describe_no_helper(helper, f"ssh cannot be started ({error.strerror})", command)
    except subprocess.TimeoutExpired:
        return _describe_no_helper(helper, f"no answer within {_TIMEOUT_S} s", command)
    reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1][:200]
    if result.returncode == _SSH_FAILED:
        return _describe_no_helper(helper, reason, command)
    words = result.stdout.split()
    shown = words[0] if words and len(words[0]) == _HASH_HEX else ""
    if shown == expected:
        sentence = f"{address} shows the key that invites pin, as seen from {helper}."
        return Finding(Level.OK, _SUBJECT, sentence)
    if not shown:
        return _describe_no_helper(helper, reason, command)
    if shown == sha256(b"").hexdigest():
        sentence = (
            f"{helper} completes no TLS handshake with {address}: open that port in the firewall, "
            "forward it on the router, and see that the address is this machine's."
        )
    else:
        sentence = (
            f"{helper} is shown another key at {address}: another program or a proxy that ends "
            "TLS answers there, and agents refuse it."
        )
    return Finding(Level.FAILURE, _SUBJECT, sentence)


def _describe_no_helper(helper: str, reason: str, command: str) -> Finding:
    sentence = f"{helper} could not ask ({reason}). Run this there yourself:\n    {command}"
    return Finding(Level.WARNING, _SUBJECT, sentence)
