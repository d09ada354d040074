"""What somebody is asked before anything runs. Each answer is one line; none is no."""

import re
import sys

TIMES = 3


def yes() -> bool:
    print('\nType "yes" to agree: ', end="", flush=True)
    return _line() in ("yes", "y")


def network() -> str | None:
    """own or allowed, of heliograph_agent.consent.NETWORKS; None when it may not be used."""
    print(
        "\nDoes this network belong to somebody else: an employer, a school, a neighbour?\n"
        'Type "no", or "allowed" if its owner knows and agrees: ',
        end="",
        flush=True,
    )
    answer = _line()
    if answer in ("no", "n"):
        return "own"
    if answer in ("allowed", "agreed"):
        return "allowed"
    print("Then ask its owner first.", file=sys.stderr)
    return None


def country() -> str:
    """Two capitals, or "" for what is not said."""
    for _ in range(TIMES):
        print(
            "In which country does this machine stand? It decides what you are warned of.\n"
            "Two letters such as KZ, or nothing: ",
            end="",
            flush=True,
        )
        answer = _line()
        if not answer or re.fullmatch(r"[a-z]{2}", answer):
            return answer.upper()
    return ""


def _line() -> str:
    return sys.stdin.readline(256).strip().lower()
