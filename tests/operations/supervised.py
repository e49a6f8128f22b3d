"""A supervisor over two small programs, for test_supervisor: `python -m tests.operations.supervised FOLDER`.

"worker" starts a child in a session of its own, as a training run is started; the child writes down that it lives.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from frontend.supervisor import Service, StartFailed, Supervisor

ROOT = Path(__file__).resolve().parents[2]

CHILD = """
import pathlib, signal, sys, time
def leave(*_):
    pathlib.Path(sys.argv[1], "checkpoint").touch()
    sys.exit(75)
signal.signal(signal.SIGTERM, leave)
pathlib.Path(sys.argv[1], "child").touch()
time.sleep(300)
"""

# Waits for its run when it is told to stop, and tells it, as the real worker does.
WORKER = """
import pathlib, signal, subprocess, sys, time
folder = pathlib.Path(sys.argv[1])
child = subprocess.Popen([sys.executable, "-c", sys.argv[2], sys.argv[1]], start_new_session=True)
def leave(*_):
    child.terminate()
    child.wait()
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
(folder / "worker").touch()
print("worker is here", flush=True)
time.sleep(300)
"""

BROKER = """
import pathlib, sys, time
pathlib.Path(sys.argv[1], "broker").touch()
time.sleep(300)
"""


def main(folder: Path) -> None:
    def say(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    broker = Service("broker", [sys.executable, "-c", BROKER, str(folder)], (folder / "broker").exists)
    worker = Service("worker", [sys.executable, "-c", WORKER, str(folder), CHILD], (folder / "child").exists)
    try:
        with Supervisor(folder=folder / "run", logs=folder / "log", cwd=ROOT, say=say) as supervisor:
            supervisor.clear_leftovers()
            supervisor.start(broker)
            supervisor.start(worker)
            say("up")
            supervisor.watch()
    except StartFailed as error:
        say(f"refused: {error}")
        sys.exit(1)


if __name__ == "__main__":
    # Under nohup it would be ignored, and with it the signal that some tests send.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    main(Path(sys.argv[1]))
