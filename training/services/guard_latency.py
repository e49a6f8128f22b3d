"""How long a campaign's guard took for each text that it read, from the newest lines of its log on this machine."""

from __future__ import annotations

import json
from statistics import median
from typing import Any

from training import paths

TAIL = 256 * 1024  # bytes that are read of a log, about a thousand verdicts


def of_campaign(campaign_id: int) -> list[dict[str, Any]]:
    """Return for each side that read anything ``{"side", "n", "median", "p95", "held", "failed"}``, in milliseconds.

    The log is of what chats and `serve_policy` asked on this machine; a round's own is with its run.
    """
    path = paths.files() / "guards" / f"campaign-{campaign_id}.jsonl"
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL))
            read = file.read().split(b"\n")
    except OSError:
        return []
    rows = []
    for line in read[1:] if size > TAIL else read:  # the first may be the end of one
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    found = []
    for side in ("prompt", "answer"):
        of_side = [row for row in rows if row.get("side") == side]
        took = sorted(float(row["milliseconds"]) for row in of_side)
        if took:
            found.append(
                {
                    "side": side,
                    "n": len(took),
                    "median": median(took),
                    "p95": took[min(len(took) - 1, int(0.95 * len(took)))],
                    "held": sum(not row["allowed"] for row in of_side),
                    "failed": sum(row["risk"] is None for row in of_side),
                }
            )
    return found
