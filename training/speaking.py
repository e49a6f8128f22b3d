"""The model that answers chats, as a child process. The one place that names `training.core.chat`.

Nothing but two pipes holds the child: it ends when they close, so a worker that is killed leaves no orphan behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from annotation.told import told
from training import launch, paths
from training.errors import SpeakerGone
from training.recipes.chat import Question, Voice

READ_BYTES = 65_536


def program() -> list[str]:
    """Return the command that answers chats; its last argument, the voice, is still to come."""
    return [sys.executable, "-m", "training.core.chat"]


class Speaker:
    """A started child with one model. `command` takes the voice as its last argument; by default the training core."""

    def __init__(self, voice: Voice, *, command: Sequence[str] | None = None) -> None:
        self.voice = voice
        self._kept = b""
        self._is_ready = False
        self._process = subprocess.Popen(
            [*(command or program()), voice.to_line()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=launch.child_environment(),
            cwd=paths.PACKAGE.parent,
            # Its own group: a Ctrl-C in a terminal is the worker's business, which closes the pipes.
            start_new_session=True,
        )
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, question: Question, *, beat_seconds: float = 0.5) -> Iterator[dict[str, Any]]:
        """Yield what the child tells about this question, to the answers or the error, which come last.

        Yields an empty object whenever it was silent for so long, as while it loads its model. Raises SpeakerGone.
        """
        # A long question would not fit into the pipe of a child that does not read yet, and hold up who asks.
        while not self._is_ready:
            for event in self._read(beat_seconds) or [{}]:
                yield event
                if "error" in event:
                    self.stop()  # it is about to end by itself, and must not be asked again before it did
                    return
                self._is_ready |= "ready" in event
        self._write(question.to_line().encode() + b"\n")
        while True:
            for event in self._read(beat_seconds) or [{}]:
                yield event
                if "answers" in event or "error" in event:
                    return

    def stop(self) -> None:
        """End the child at once; nothing is lost, because all it knows is in the question."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):  # what was not written yet has no reader
                pipe.close()

    def _write(self, line: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            raise self._gone() from None

    def _read(self, seconds: float) -> list[dict[str, Any]]:
        """Return the events that have come, waiting up to so many seconds for the first."""
        assert self._process.stdout is not None
        source = self._process.stdout.fileno()
        if not select.select([source], [], [], seconds)[0]:
            return []
        read = os.read(source, READ_BYTES)
        if not read:
            raise self._gone()
        *whole, self._kept = (self._kept + read).split(b"\n")
        return [json.loads(line) for line in whole]

    def _gone(self) -> SpeakerGone:
        """Return the error that says how the child ended."""
        deadline = time.monotonic() + 5
        while self.is_alive and time.monotonic() < deadline:
            time.sleep(0.02)
        self.stop()
        code = self._process.returncode
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            gone = told("The model's process was ended by {name}.", name=name)
            return SpeakerGone(gone + told("The machine may have run out of memory.") if name == "SIGKILL" else gone)
        return SpeakerGone(told("The model's process ended with code {code}; the worker's log says more.", code=code))
