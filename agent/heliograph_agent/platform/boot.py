"""Tell one boot of this machine from the next."""

from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # Linux: random(4)


def read_boot_id(file: Path = BOOT_ID) -> bytes | None:
    """Return what is equal throughout a boot and at no other; None where no system says it."""
    try:
        return file.read_bytes()
    except OSError:
        return None
