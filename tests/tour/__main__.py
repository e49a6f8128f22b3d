"""Make the pictures of the README's tour from the demo: ``python -m tests.tour``. Some minutes; needs a Chromium.

Starts the demo in a folder of its own, adds a campaign of each kind, has simulated people work one round of the loop,
and takes every picture anew. With ``--every FOLDER`` it leaves the README as it is, and puts each page of strangers,
annotators and leads there instead, whole, on a desk and on a phone, light and dark: that is how to look at all of them.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "frontend" / "static" / "img" / "tour"
PATIENCE_SECONDS = 900


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.tour", description=__doc__)
    parser.add_argument("--every", type=Path, metavar="FOLDER", help="take all pages in every look, into this folder")
    parser.add_argument("--language", default="en-GB", help="of these pages; en-GB when left out")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="take these pictures alone")
    parser.add_argument("--home", type=Path, help="keep the demo's data here and use it again; else it is made anew")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="attune-tour-") as made:
        home = (arguments.home or Path(made)).resolve()
        os.environ |= {"ATTUNE_HOME": str(home), "DJANGO_SETTINGS_MODULE": "frontend.settings"}
        with _demo(home) as url:
            import django

            django.setup()
            from tests.tour import shots, world

            lead, annotators = world.people()
            campaigns = world.make(lead, annotators)
            _simulate(url)
            if arguments.every:
                world.explored(lead)
                world.guarded(lead)
                language = arguments.language
                count = shots.every(url, campaigns, into=arguments.every, only=arguments.only, language=language)
            else:
                count = shots.tour(url, campaigns, into=PICTURES, only=arguments.only)
            print(f"{count} pictures are in {arguments.every or PICTURES}.")


@contextmanager
def _demo(home: Path) -> Iterator[str]:
    """Yield the address of a running demo, and stop it afterwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home.mkdir(parents=True, exist_ok=True)
    log = home / "tour.log"
    environment = {**os.environ, "RATE_LIMITS": "judge=100000,read=100000,write=100000,transfer=100000"}
    with log.open("w", encoding="utf-8") as said:
        command = [sys.executable, "manage.py", "demo", "--port", str(port)]
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=said, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while f":{port}/" not in log.read_text(encoding="utf-8"):
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"The demo did not start:\n{log.read_text(encoding='utf-8')}")
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(60)


def _simulate(url: str) -> None:
    """Have simulated people work the small model's campaign until a round has ended, unless one has."""
    from training.models import Round

    if Round.objects.filter(state__in=Round.FINAL).exists():
        return
    command = [sys.executable, "manage.py", "simulate", "--campaign", "Shape a small model", "--rounds", "1"]
    told = subprocess.run([*command, "--url", url], cwd=ROOT, capture_output=True, text=True, check=False)
    if told.returncode or not re.search(r"round 1: ", told.stdout):
        raise SystemExit(f"The round did not end:\n{told.stdout}{told.stderr}")


if __name__ == "__main__":
    main()
