"""Roles of the collector that `serve` runs in its process."""

from collections.abc import Collection

INGEST = "ingest"  # it can run alone
JUDGE = "judge"  # it and the next can run alone too, beside a collector that leads a cluster
PUBLISH = "publish"
ROLES = (INGEST, JUDGE, "detect", PUBLISH, "console", "jobs", "control")
STORE_ROLES = (JUDGE, "detect", PUBLISH, "jobs")  # they share the store of one process


def check_roles(roles: Collection[str]) -> frozenset[str]:
    """Return the roles as a set. Raises ValueError with a sentence that has the cure."""
    wanted = frozenset(roles)
    if not wanted:
        raise ValueError("at least one is needed; without the key all run")
    if unknown := sorted(wanted.difference(ROLES)):
        raise ValueError(f"{unknown[0]!r} is no role: use some of {', '.join(ROLES)}")
    if wanted in ({JUDGE}, {PUBLISH}):
        return wanted
    missing = [role for role in STORE_ROLES if role not in wanted]
    if 0 < len(missing) < len(STORE_ROLES):
        raise ValueError(f"{' and '.join(missing)} missing: {_list_store_roles()} go together")
    if missing and (above := wanted - {INGEST}):
        raise ValueError(f"{sorted(above)[0]} needs {_list_store_roles()}: add them")
    return wanted


def _list_store_roles() -> str:
    return f"{', '.join(STORE_ROLES[:-1])} and {STORE_ROLES[-1]}"
