"""The GPUs of this machine, as the driver's own program tells them; torch would take memory on each to say the same."""

from __future__ import annotations

import shutil
import subprocess

SECONDS = 20


def memories() -> list[float] | None:
    """Return the memory of each GPU in GiB; None where nothing tells, which may mean that there are none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        asked = [program, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
        told = subprocess.run(asked, capture_output=True, text=True, timeout=SECONDS, check=True).stdout
        return [float(line) / 1024 for line in told.splitlines() if line.strip()]
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
