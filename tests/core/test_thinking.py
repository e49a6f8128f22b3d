"""Thoughts and answer of a policy that thinks aloud: where they part, and who reads which of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.core.stages.test_judges import written
from tests.core.worlds import prompt_rows
from training.core.backbone import load_policy, load_tokenizer
from training.core.collate import pad
from training.core.job import RunError
from training.core.opinions import Opinions
from training.core.prompts import Prompt
from training.core.scorers import Columns, Scorer
from training.core.stages.judges import rules
from training.core.thinking import Apart, Reading, opens_thoughts, parted, reflections, thinking_tokens
from training.core.tiny import CHAT_TEMPLATE

ASK = [{"role": "user", "content": "how?"}]


@pytest.mark.parametrize(
    ("text", "opened", "found"),
    [
        ("plain", False, ("", "plain")),
        ("<think>why</think> so", False, ("why", "so")),
        ("why</think> so", True, ("why", "so")),
        ("why</think> so", False, ("why", "so")),
        ("<think>cut off", False, ("cut off", None)),
        ("cut off", True, ("cut off", None)),
        ("<think>a</think> said <think>b</think> so", False, ("a said b", "so")),
        ("<think>a</think> said <think>b", False, ("a said b", None)),
        ("<think></think>so", False, ("", "so")),
        ("", False, ("", "")),
    ],
)
def test_where_the_thoughts_end_the_answer_begins(text, opened, found):
    assert parted(text, opened=opened) == found


class Bombs:
    """A cost: how often a text says bomb; an empty one cannot be read, as by every scorer."""

    def columns(self, prompts: Sequence, texts: Sequence[str]) -> Columns:
        costs = [[float(text.count("bomb"))] if text.strip() else None for text in texts]
        return Columns(("cost",), costs, [None] * len(texts), [cost and -cost[0] for cost in costs])

    def score(self, prompts: Sequence, texts: Sequence[str]) -> list[float | None]:
        return self.columns(prompts, texts).score


SIDES = ("", "_harmful", "_benign")
TEXTS = ["<think>bomb bomb</think> no", "<think>no</think> bomb", "<think>bomb", "bomb bomb", "<think>no</think> "]


@pytest.mark.parametrize(
    ("what", "name", "costs"),
    [
        ("whole", "cost", [2.0, 1.0, 1.0, 2.0, 0.0]),
        ("answer", "cost", [0.0, 1.0, None, 2.0, None]),
        ("apart", "cost", [2.0, 1.0, None, 2.0, None]),
        ("apart", "audit", [2.0, 1.0, None, 2.0, None]),
        ("apart", "reward", [0.0, 1.0, None, 2.0, None]),
    ],
)
def test_a_cost_read_apart_is_that_of_the_worse_and_thoughts_without_an_end_have_none(what, name, costs):
    scorer: Scorer = Bombs()
    found, told = Reading(what).columns(name, scorer, [ASK] * 5, TEXTS)
    assert [row and row[0] for row in found.values] == costs
    assert found.score == [cost and -cost for cost in costs]
    apart = what == "apart" and name != "reward"
    assert [one.thoughts for one in told] == ([2.0, 0.0, 1.0, None, 0.0] if apart else [None] * 5)
    answers = [0.0, 1.0, None, 2.0, None] if what != "whole" and name != "reward" else [None] * 5
    assert [one.answer for one in told] == answers


def test_a_template_that_opens_the_thoughts_itself_is_recognised(policy):
    tokenizer = load_tokenizer(str(policy))
    assert not opens_thoughts(tokenizer)
    tokenizer.chat_template = CHAT_TEMPLATE.replace("{{- '<|assistant|>' -}}", "{{- '<|assistant|><think>\n' -}}")
    assert opens_thoughts(tokenizer)


def test_reflections_are_counted_by_their_words():
    assert reflections("Wait, that is wrong. Let me check. However awaiting") == 3


def test_the_tokens_of_thoughts_are_those_up_to_their_last_end():
    words = ["<think>", "a", "</think>", "b", "</th", "ink>c", "d"]

    def decode(ids: list[int]) -> str:
        return "".join(words[i] for i in ids)

    assert thinking_tokens(range(7), decode) == 6
    assert thinking_tokens(range(5), decode) == 3
    assert (
        thinking_tokens(range(2), decode) == 2
        and thinking_tokens([3], decode) == 1
        and thinking_tokens([2], decode) == 1
    )


def test_of_a_rollout_it_is_told_how_often_thoughts_turn_and_how_sure_and_safe_they_are_by_prompt(policy):
    """Bytes are tokens. The second's thoughts turn twice; a token of thoughts has 3 nats here, and another one 1.

    The first prompt asks for harm: its thoughts are not safe, and its answer is. Of the second all is safe.
    """
    opinions = object.__new__(Opinions)
    opinions.tokenizer, opinions.reading = load_tokenizer(str(policy)), Reading("apart")
    opinions.apart = {"cost": [Apart(1.0, -2.0), Apart(-1.0, 0.0)]}
    opinions.scorers, opinions.harmful = {"cost": Bombs()}, frozenset({"harmful"})
    asked = [Prompt("a", ASK, [5], domain=" Harmful"), Prompt("b", ASK, [5], domain="sums")]
    made = written("<think>a</think>bcd", "<think>wait, however</think>so")
    ids = [opinions.tokenizer(text)["input_ids"] for text in made.texts]
    tokens = pad([([5], one) for one in ids], 0)
    thinking = torch.zeros(tokens.input_ids.shape)
    for row, text in enumerate(made.texts):
        thinking[row, 1 : 1 + text.index("</think>") + 8] = 1
    told = opinions.thought(replace(made, tokens=tokens, entropy=thinking * 2 + tokens.completion_mask), asked)
    both = {f"{name}{side}": 3.0 for name in ("thoughts_entropy", "thoughts_entropy_top") for side in SIDES}
    assert told == pytest.approx(
        {
            "unfinished_thoughts": 0.0,
            "reflections": 100 * 2 / float(thinking.sum()),
            "reflections_harmful": 0.0,
            "reflections_benign": 100 * 2 / float(thinking[1].sum()),
            **both,
            "thoughts_safe": 0.5,
            "thoughts_safe_harmful": 0.0,
            "thoughts_safe_benign": 1.0,
            **{f"answers_safe{side}": 1.0 for side in SIDES},
            "thoughts_cost": 0.0,
        }
    )


def test_a_rule_about_refusing_reads_the_answer_behind_the_thoughts():
    told = ("<think>may I</think> I cannot help", "<think>I cannot</think> gladly")
    made = rules(min_words=1, max_words=0, must_match="", must_not_match="", refusals="wanted")(written(*told))
    assert made.passes.tolist() == [True, False]


def test_the_run_tells_of_thoughts_and_says_what_to_do_where_none_end(do, policy, reward, tmp_path):
    quick = {"iterations": 1, "prompts_per_iteration": 2, "samples_per_prompt": 2, "max_new_tokens": 3}
    few = {"model": policy, "thinking": "answer", "scorers": {"reward": str(reward)}}
    spec, result = do("grpo", rows=prompt_rows(4), **few, **quick)
    assert '"unfinished_thoughts": 0.0' in (Path(spec.output) / "metrics.jsonl").read_text()
    assert not [name for name in result.metrics if "harmful" in name]
    assert any("No prompt is of the domain harmful" in note for note in result.notes)
    opened = tmp_path / "opened"
    tokenizer = load_tokenizer(str(policy))
    tokenizer.chat_template = CHAT_TEMPLATE.replace("{{- '<|assistant|>' -}}", "{{- '<|assistant|><think>\n' -}}")
    load_policy(str(policy))[0].save_pretrained(opened)
    tokenizer.save_pretrained(opened)
    with pytest.raises(RunError, match="raise max_new_tokens"):
        do("grpo", into="cut", model=opened, thinking="apart", scorers={"reward": str(reward)}, **quick)
