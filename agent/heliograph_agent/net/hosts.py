"""The hosts file: names the system knows without asking."""

from heliograph.address import literal

MAX_FILE = 4 * 1024 * 1024  # block lists live in hosts files; a bigger one is read this far
_MAX_ADDRESSES = 64


def addresses_of(text: str, name: str) -> tuple[str, ...]:
    """Every address that stands beside `name`, in the file's order, both families."""
    wanted = name.rstrip(".").lower()
    if not wanted:
        return ()
    found: list[str] = []
    for line in text.splitlines():
        if wanted not in line.lower():  # cheap, and true of nearly every line of a long file
            continue
        address, *names = line.partition("#")[0].split() or [""]
        known = wanted in (each.rstrip(".").lower() for each in names)
        if known and address not in found and literal(address):
            found.append(address)
    return tuple(found[:_MAX_ADDRESSES])
