"""``pytest -m bench tests/bench -s`` measures at full size and holds the figures against what was promised."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.bench
def test_the_figures_hold(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    subprocess.run([sys.executable, "-m", "tests.bench", "--out", str(out)], cwd=ROOT, check=True)
    figures = json.loads(out.read_text())
    small, large, export = figures["small"], figures["large"], figures["export"]
    assert small["judgements_per_second"] * 2 >= 200
    assert small["both_p95"] <= 0.180
    assert large["judgements_per_second"] >= 0.95 * small["judgements_per_second"]
    assert export["rows_per_second"] >= 10_000
    assert export["first_byte_seconds"] < 0.3
    assert export["grew_mib"] < 32
    assert figures["idle_mib"] < 300
    assert figures["screen_0"]["p95"] <= 100
    assert figures["screen_100"]["p95"] <= 250
    assert figures["page_script"]["bytes"] < 100_000
