"""`manage.py benchmark`: from the published file to figures with intervals, and what is missing is named."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import CommandError, call_command

from tests.core.worlds import make_spec, pair_rows, tiny_policy


def test_a_benchmark_is_one_line_and_a_policy_is_no_reward_model(tmp_path):
    from training.core.run import KINDS, open_job

    policy = tiny_policy(tmp_path / "policy")
    spec = make_spec(tmp_path / "run", "bradley-terry", model=policy, rows=pair_rows(12), max_steps=1, batch_size=4)
    KINDS["fit"](open_job(spec))
    rows = [{"prompt": "why?", "chosen": ["so", "so it", "so **it**"], "rejected": ["no", "no it", "no **it**"]}] * 2
    (tmp_path / "chat.json").write_text(json.dumps(rows))
    out = io.StringIO()
    call_command("benchmark", "rm-bench", str(tmp_path / "chat.json"), model=f"{spec.output}/model", stdout=out)
    said = out.getvalue()
    assert "2 read, 2 kept, 0 refused, 0 unread, 18 pairs" in said
    assert "hard: " in said and "accuracy chat: " in said and ", n 2)" in said
    with pytest.raises(CommandError, match="is not a reward model"):
        call_command("benchmark", "rm-bench", str(tmp_path / "chat.json"), model=str(policy))
    with pytest.raises(CommandError, match="There is nothing at"):
        call_command("benchmark", "rm-bench", str(tmp_path / "none.json"), model=str(policy))
