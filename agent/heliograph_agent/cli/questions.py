"""Ask a volunteer on the terminal what nobody else may decide."""

import re
import sys

from heliograph.regions import is_country
from heliograph.translation import translate as _

MAX_QUESTIONS = 3


def ask_agreement() -> bool:
    print("\n" + _('Type "yes" to agree: '), end="", flush=True)
    return _read_line() in ("yes", "y", _("yes"))


def ask_network() -> str | None:
    """Ask who owns this network: "own" or "allowed"; None when it must not be used."""
    print(
        "\n"
        + _("Does this network belong to somebody else: an employer, a school, a neighbour?")
        + "\n"
        + _('Type "no", or "allowed" if its owner knows and agrees: '),
        end="",
        flush=True,
    )
    answer = _read_line()
    if answer in ("no", "n", _("no")):
        return "own"
    if answer in ("allowed", "agreed", _("allowed")):
        return "allowed"
    print(_("Then ask its owner first."), file=sys.stderr)
    return None


def ask_country() -> str:
    """Ask for the country: two capital letters, or "" without an answer."""
    question = (
        _("In which country does this machine stand? It decides what you are warned of.")
        + "\n"
        + _("Two letters such as KZ, or nothing: ")
    )
    for _attempt in range(MAX_QUESTIONS):
        print(question, end="", flush=True)
        answer = _read_line()
        if not answer or is_country(answer.upper()):
            return answer.upper()
        is_code = re.fullmatch(r"[a-z]{2}", answer)
        problem = _("No country has this code.") if is_code else _("That is not two letters.")
        print(problem, file=sys.stderr)
    return ""


def _read_line() -> str:
    return sys.stdin.readline(256).strip().lower()
