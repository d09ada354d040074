"""How many files, and so connections, this process may have open."""


def room_for(files: int) -> bool:
    """Raise the limit as far as the system lets a process do by itself; whether that is enough."""
    try:
        import resource
    except ImportError:  # no such limit there
        return True
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard == resource.RLIM_INFINITY or hard >= files
