"""What Linux tells of this process."""

from __future__ import annotations

from pathlib import Path

_STATUS = Path("/proc/self/status")


def memory(field: str) -> int | None:
    """Bytes of a field of /proc/self/status, such as "VmRSS"; None where there is none."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    found = next((line.split()[1] for line in lines if line.startswith(f"{field}:")), None)
    return None if found is None else 1024 * int(found)
