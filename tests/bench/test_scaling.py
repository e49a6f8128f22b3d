"""The measuring of a step's cost, on models so small that it takes a second."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest
import torch

from tests.bench.scaling import Setting, main, measure

SVG = "{http://www.w3.org/2000/svg}"


def test_each_curve_is_measured_and_drawn(tmp_path):
    small, large = Setting(64, 1, 16, 1, 2), Setting(128, 2, 16, 1, 2)
    plan = {"model size": [small, large], "n": [small, Setting(64, 1, 16, 3, 2)]}
    told: list[str] = []
    measure(plan, device="cpu", rounds=1, out=tmp_path, tell=told.append)
    whole = json.loads((tmp_path / "scaling.json").read_text())
    found = whole["curves"]
    rows = (tmp_path / "scaling.md").read_text().splitlines()
    assert sum(row.startswith(("| model size", "| n ")) for row in rows) == 4
    assert whole["date"] in rows[2] and f"commit {whole['commit']}" in rows[2]
    assert len(told) == 1 + 3, "a setting that is on two curves is measured once"
    assert found["model size"][0] == found["n"][0]
    sizes = [cost["parameters"] for cost in found["model size"]]
    assert sizes[0] < sizes[1]
    assert all(cost["sampling"] > 0 and cost["learning"] > 0 for curve in found.values() for cost in curve)
    drawn = ElementTree.fromstring((tmp_path / "scaling.svg").read_text())
    lines = drawn.findall(f"{SVG}polyline")
    assert len(lines) == 4 and all(len(line.get("points").split()) == 2 for line in lines)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_so(tmp_path):
    with pytest.raises(SystemExit, match="Leave --device out"):
        main(["--device", "cuda", "--out", str(tmp_path)])
