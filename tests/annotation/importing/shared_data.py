"""Where this machine has a folder of published data sets, if it has one."""

from __future__ import annotations

import os
from pathlib import Path

DATA = Path(os.environ.get("ATTUNE_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))
