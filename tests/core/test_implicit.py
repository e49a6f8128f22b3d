"""The reward that a policy implies, and what it and an explicit one lose where the data is of another kind."""

from __future__ import annotations

import pytest
import torch

from tests.core.worlds import make_spec, pair_rows
from training.core.backbone import load_policy
from training.core.collate import encode_conversation, encode_prompt
from training.core.implicit import ImplicitScorer
from training.core.job import RunError
from training.core.run import KINDS, open_job
from training.core.stats import difference, wilson

ASK = [{"role": "user", "content": "why?"}]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, policy):
    folder = tmp_path_factory.mktemp("dpo")
    spec = make_spec(folder, "dpo", model=policy, max_steps=3, batch_size=4, learning_rate=1e-3)
    KINDS["fit"](open_job(spec))
    return f"{spec.output}/model"


def test_the_implied_reward_is_beta_times_the_gain_in_log_probability(policy, trained):
    scorer = ImplicitScorer(trained, reference=str(policy), beta=0.5, device=torch.device("cpu"))
    gained = []
    for path in (trained, str(policy)):
        model, tokenizer = load_policy(path)
        before, ids = len(encode_prompt(tokenizer, ASK)), encode_conversation(tokenizer, ASK, "thanks")
        with torch.no_grad():
            said = model(input_ids=torch.tensor([ids])).logits[0, before - 1 : -1].float().log_softmax(-1)
        gained.append(float(said.gather(1, torch.tensor(ids[before:])[:, None]).sum()))
    value, nothing, _ = scorer.score([ASK] * 3, ["thanks", " ", "a much longer answer than the first one"])
    assert value == pytest.approx(0.5 * (gained[0] - gained[1]), abs=1e-4) and nothing is None
    same = ImplicitScorer(str(policy), reference=str(policy), beta=0.5, device=torch.device("cpu"))
    assert same.score([ASK], ["thanks"]) == pytest.approx([0.0], abs=1e-6)


def test_what_is_lost_has_newcombes_interval():
    """An example of his: 9 of 10 against 3 of 10, difference 0.6 with limits 0.1705 and 0.8090."""
    lost = difference(wilson(9, 10), wilson(3, 10))
    assert (lost["estimate"], lost["low"], lost["high"]) == pytest.approx((0.6, 0.1705, 0.8090), abs=1e-4)


def test_the_report_tells_both_by_domain_and_refuses_data_without_a_shift(do, policy, reward, trained):
    rows = [{**row, "domain": ("here", "there", "later")[n % 3]} for n, row in enumerate(pair_rows(12))]
    more = {"model": trained, "reference": str(policy), "scorers": {"reward": str(reward)}}
    _, result = do("shift-report", rows=rows, familiar="here", **more)
    told = {f"{kind}_accuracy_{domain}" for kind in ("explicit", "implicit") for domain in ("here", "there", "later")}
    assert told <= set(result.metrics) and result.counts["measured"] == 12
    away = [result.metrics[f"implicit_accuracy_{domain}"]["estimate"] for domain in ("there", "later")]
    lost = result.metrics["implicit_accuracy_here"]["estimate"] - sum(away) / 2
    assert result.metrics["implicit_lost"]["estimate"] == pytest.approx(lost)
    for wrong, said in ({"familiar": "nowhere"}, "The domains are: here"), ({"familiar": ""}, "Set familiar"):
        with pytest.raises(RunError, match=said):
            do("shift-report", into="wrong", rows=rows, **more, **wrong)
    with pytest.raises(RunError, match="a scorer called reward"):
        do("shift-report", into="none", rows=rows, familiar="here", model=trained, reference=str(policy))
