"""`manage.py serve` whose supervisor starts again at once what was killed: `python -m tests.faults.serving …`.

The real one waits up to half a minute with what dies again and again, so that it does not spin. A test that kills
something every few seconds would spend its time with that pause.
"""

from __future__ import annotations

import os
import sys

from frontend import supervisor

if __name__ == "__main__":
    supervisor.LONGEST_PAUSE_SECONDS = 1.0
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "frontend.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(["manage.py", "serve", *sys.argv[1:]])
