"""A judge that thinks aloud as the reward: what it is asked, how its verdicts are read, and what a policy learns."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.core.test_every_recipe import weights_of
from tests.core.test_onpolicy import lines_of
from tests.core.worlds import make_spec, pair_rows, prompt_rows
from training.core.backbone import load_policy
from training.core.reasoning import ReasoningJudge, Thoughts
from training.core.run import KINDS, open_job
from training.core.scorers import is_judge
from training.core.scoring import scorer_of

CPU = torch.device("cpu")
ASK = [{"role": "user", "content": "why?"}]
GREEDY = Thoughts(max_new_tokens=8, temperature=0.0)
QUICK = {
    "iterations": 2,
    "prompts_per_iteration": 2,
    "samples_per_prompt": 3,
    "batch_size": 8,
    "max_new_tokens": 4,
    "learning_rate": 1e-3,
    "judge_max_new_tokens": 8,
    "judge_temperature": 0.0,
}


@pytest.fixture(scope="module")
def judge(tmp_path_factory, policy) -> str:
    """A judge after one step, which does not know yet how a verdict looks."""
    rows = pair_rows(4)
    spec = make_spec(tmp_path_factory.mktemp("judge"), "reasoning-judge", model=policy, rows=rows, max_steps=1)
    KINDS["fit"](open_job(spec))
    return f"{spec.output}/model"


class Said(ReasoningJudge):
    """A judge whose judgements are written here, by which answer stands first; all else of it is real."""

    by_first: dict[str, str]

    def _judgements(self, questions):
        self.asked = [str(self.tokenizer.decode(one.ids)) for one in questions]
        firsts = [text.split("Answer A: ")[1].split("\n")[0] for text in self.asked]
        return [self.by_first[first] for first in firsts]


def test_both_orders_are_asked_and_an_unread_verdict_or_one_by_place_is_a_tie(judge):
    judge = Said(judge, device=CPU, thoughts=GREEDY)
    a, b = ("<think>x</think><answer>A</answer>", "<think>x</think><answer>B</answer>")
    judge.by_first = {"good": a, "bad": b, "one": a, "other": a, "cut": "<think><answer>A</answer>", "whole": a}
    pairs = [("good", "bad"), ("bad", "good"), ("one", "other"), ("cut", "whole"), (" ", "x"), ("y" * 600, "x")]
    told = judge.in_both_orders([ASK] * 6, *zip(*pairs, strict=True))
    assert told == [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.5, 0.5), None, None]
    assert len(judge.asked) == 6, "a pair and the same turned round are two questions, not four"
    assert judge.count() == (8, 1, 5) and judge.count() == (0, 0, 0)
    chances = [both and both[0] for both in judge.compare([ASK] * 5, *zip(*pairs[:5], strict=True))]
    assert chances == [1.0, 0.0, 0.5, 0.5, None]
    assert judge.score([ASK] * 3, ["good", "bad", "good"]) == [1.0, 0.0, 1.0]


def test_a_folder_says_itself_that_it_is_a_judge_and_a_verdict_depends_on_judge_and_question_alone(judge):
    warm = Thoughts(max_new_tokens=8, temperature=1.0, seed=1)
    written = []
    for some in (["one", "another", "a third"], ["a third", "one"]):
        scorer = scorer_of(judge, device=CPU, thoughts=warm)
        assert isinstance(scorer, ReasoningJudge) and is_judge(scorer)
        asked = [scorer._question(ASK, text, "other") for text in some]
        written.append(dict(zip(some, scorer._judgements(asked), strict=True)))
    assert all(written[0][text] == said for text, said in written[1].items())
    assert len(set(written[0].values())) == 3


@pytest.mark.parametrize("always", ["<think>x</think><answer>A</answer>", None])
def test_a_policy_learns_nothing_from_a_judge_that_goes_by_place_or_cannot_be_read(
    do, policy, judge, monkeypatch, always
):
    """The latter is what a judge after one step writes itself."""
    if always:
        monkeypatch.setattr(ReasoningJudge, "_judgements", lambda self, questions: [always] * len(questions))
    more = {"model": policy, "rows": prompt_rows(4), "scorers": {"reward": judge}, "eval_share": 0.0}
    spec, _ = do("grpo-pairwise", **more, **QUICK, kl_weight=0.0)
    lines = lines_of(Path(spec.output))
    assert len(lines) == 2
    for line in lines:
        told = line["unread_verdicts"], line["position_bias"], line.get("first_named")
        assert told == ((0.0, 1.0, 1.0) if always else (1.0, 0.0, None))
        assert line["groups_alike"] == 1.0 and line["uncompared"] == 0.0
    made, start = (weights_of(load_policy(str(path))[0]) for path in (f"{spec.output}/model", policy))
    assert torch.equal(made, start)


def test_a_policy_learns_from_a_judge_s_verdicts_in_two_steps(do, policy, judge, monkeypatch):
    """The judge's judgements are given: it prefers the answer whose words come later, whichever stands first."""

    def later(self, questions):
        texts = [str(self.tokenizer.decode(one.ids)).split("Answer A: ")[1] for one in questions]
        pairs = [text.split("\n\nCompare")[0].split("\n\nAnswer B: ") for text in texts]
        return [f"<think></think><answer>{'A' if one > other else 'B'}</answer>" for one, other in pairs]

    monkeypatch.setattr(ReasoningJudge, "_judgements", later)
    more = {"model": policy, "rows": prompt_rows(5), "scorers": {"reward": judge}, "eval_share": 0.4}
    spec, result = do("grpo-pairwise", **more, **QUICK)
    assert result.metrics["eval_unread_verdicts"] == 0.0
    for line in lines_of(Path(spec.output)):
        assert line["unread_verdicts"] == line["position_bias"] == 0.0 and line["first_named"] == 0.5
        assert line["groups_alike"] < 1.0
    made, start = (weights_of(load_policy(str(path))[0]) for path in (f"{spec.output}/model", policy))
    assert torch.isfinite(made).all() and not torch.equal(made, start)
