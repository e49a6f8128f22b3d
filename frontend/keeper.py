"""The keeper: waits for the supervisor to go away and, if it went without stopping its processes, stops them.

Started as `python -m frontend.keeper NOTES MARK` with a pipe as standard input that only the supervisor holds open.
A supervisor that ends in order has stopped everything by then, and the keeper finds nothing to do; after a kill -9 it
does what the supervisor could not. It works by pipe because that works on every system, for every reason of death.
"""

from __future__ import annotations

import sys
from pathlib import Path

from frontend import processes


def main(notes: str, mark: str) -> None:
    while sys.stdin.buffer.read(1):
        pass
    processes.stop_all(processes.read_notes(Path(notes)), mark=mark)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
