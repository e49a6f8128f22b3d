"""What goes wrong in a stand-in: ``faults.json`` in its working directory, a list of ``[step, how]``.

It goes wrong once by each: ``exit``, ``kill`` or ``stall``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path


def go_wrong(step: int) -> None:
    path = Path("faults.json")
    faults = json.loads(path.read_text()) if path.exists() else []
    if not faults or faults[0][0] != step:
        return
    path.write_text(json.dumps(faults[1:]))
    how = faults[0][1]
    if how == "exit":
        sys.exit(3)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    Path("stalled").write_text(str(os.getpid()))
    time.sleep(600)
