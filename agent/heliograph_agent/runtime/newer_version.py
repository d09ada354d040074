"""Say that a newer version of the agent exists, as the signed plan names it.

The agent fetches nothing: the volunteer updates it the way it was installed.
"""

from heliograph import __version__
from heliograph.plan import is_older
from heliograph.translation import translate as _


def describe_update(newest: str, insecure_before: str, own: str = __version__) -> str:
    """Return what is to be done, "" where this version is new enough, or is no plain number."""
    if is_older(own, insecure_before):
        target = newest if is_older(insecure_before, newest) else insecure_before
        news = _("This version, {own}, has a known security hole. Update it now to {newest}.")
    elif is_older(own, newest):
        target = newest
        news = _("Version {newest} exists; this is {own}.")
    else:
        return ""
    how = _(
        "How: in a checkout `git pull` and `pip install .` again; of an image pull it again; a "
        "single file ask your operator for. Then start the agent again."
    )
    return f"{news.format(own=own, newest=target)} {how}"
