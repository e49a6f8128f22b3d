"""The gate's report as a PDF: any text, any length, as many pages as it takes."""

from __future__ import annotations

import re

from frontend.gate_pdf import render


def pages_of(written: bytes) -> int:
    assert written.startswith(b"%PDF-") and written.rstrip().endswith(b"%%EOF")
    return max(int(count) for count in re.findall(rb"/Count (\d+)", written))


def test_a_short_report_is_one_page_and_a_long_one_repeats_itself_on_none() -> None:
    names = ("Prompt", "Item", "Judgements", "Candidate preferred")
    short = render(title="Gate", verdict="Pass", facts=[("Candidate", "policy-1")], sections=[("Figures", "", [names])])
    assert pages_of(short) == 1
    rows = [names, *[(f"Question {n} <b>& more</b> Ответ 答え", f"id-{n}", "2", "50%") for n in range(200)]]
    assert pages_of(render(title="Gate", verdict="Pass", facts=[], sections=[("Blind pairs", "Note", rows)])) > 3


def test_a_cell_longer_than_a_page_goes_on_on_the_next_one() -> None:
    rows = [("Figure", "Value"), ("word " * 4000, "1"), ("unbroken" * 600, "2")]
    assert pages_of(render(title="T" * 300, verdict="", facts=[("Name", "x" * 3000)], sections=[("", "", rows)])) > 2
