"""Which pairs a policy goes against after it has learned from them."""

from __future__ import annotations

import json
from pathlib import Path

from tests.core.worlds import pair_rows

LEARNS = {"learning_rate": 3e-3, "batch_size": 8, "epochs": 4, "eval_share": 0.0}


def test_a_pair_judged_the_other_way_round_comes_first(do, policy):
    """Of 32 pairs the answer with thanks is the better one; in one of them the two were mixed up."""
    rows = [{**row, "strength": 1.0, "feedback": 100 + i, "task": f"t{i}"} for i, row in enumerate(pair_rows(32))]
    rows[20] |= {"chosen": rows[20]["rejected"], "rejected": rows[20]["chosen"]}
    spec, result = do("dpo", model=policy, rows=rows, **LEARNS)
    told = [json.loads(line) for line in (Path(spec.output) / result.files["pair_audit"]).open()]
    first = told[0]
    assert (first["line"], first["feedback"], first["task"]) == (21, 120, "t20") and first["margin"] < 0
    assert [one["margin"] for one in told] == sorted(one["margin"] for one in told)
    assert sorted(one["line"] for one in told) == list(range(1, 33))
    assert result.counts["audited"] == 32
    assert result.counts["against"] == sum(one["margin"] < 0 for one in told) < 16


def test_only_pairs_that_were_learned_from_are_asked_again(do, policy):
    """Two steps of four pairs: of the others not even the reference's numbers are known."""
    spec, result = do("dpo", model=policy, max_steps=2, batch_size=4, eval_share=0.0)
    told = [json.loads(line) for line in (Path(spec.output) / result.files["pair_audit"]).open()]
    assert len(told) == result.counts["audited"] == 8


def test_without_a_reference_there_is_no_margin_to_go_by(do, policy):
    _, result = do("cpl", model=policy, max_steps=1, batch_size=4)
    assert "pair_audit" not in result.files and "audited" not in result.counts
