"""Judges that read both answers: what they are asked, what they learn from, and what they say in either order."""

from __future__ import annotations

import json
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.core.worlds import pair_rows, prompt_rows
from training.core import distributed, experience
from training.core.backbone import load_tokenizer
from training.core.collate import collate_pairs, encode, encode_prompt
from training.core.job import RunError
from training.core.judging import compared, question, traced, verdict
from training.core.opinions import Opinions
from training.core.prompts import Prompt, read_prompts
from training.core.records import Refused, Tally, canonical, parse_pair
from training.core.scorers import RewardScorer
from training.core.thinking import Reading

ASK = [{"role": "user", "content": "why?"}]


def pair(*traces, **more):
    told = [{"text": text, "first": first} for text, first in traces]
    return parse_pair({"prompt": ASK, "chosen": "good", "rejected": "bad", "traces": told, **more})


def test_a_judge_is_asked_in_one_turn_and_reads_both_answers():
    (turn,) = question([*ASK, {"role": "assistant", "content": "so"}], "one", "other", reasoned=True)
    assert turn["role"] == "user"
    told = ["User: why?", "Assistant: so", "Answer A: one", "Answer B: other", "<think>"]
    assert [turn["content"].index(text) for text in told] == sorted(turn["content"].index(text) for text in told)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<think>x</think><answer>A</answer>", "A"),
        ("<answer>A</answer> no, <answer> B </answer>", "B"),
        ("<think><answer>A</answer></think> I cannot say", None),
        ("A", None),
        ("<think>cut <answer>A</answer> off", None),
        ("<answer>C</answer>", None),
    ],
)
def test_the_last_verdict_after_the_thoughts_counts(text, said):
    assert verdict(text) == said


def test_only_traces_that_come_to_what_the_person_said_are_imitated_and_the_longest_of_them():
    traces = [
        ("<think>short</think><answer>A</answer>", "chosen"),
        ("<think>the longer one</think><answer>B</answer>", "rejected"),
        ("<think>the longest of all, and wrong</think><answer>B</answer>", "chosen"),
    ]
    tally = Tally()
    rows = [(1, pair(*traces)), (2, pair(traces[2]))]
    ((line, record),) = traced(rows, tally, traces="longest", thoughts=True)
    assert line == 1 and record.completion == traces[1][0] and tally.counts["refused_no_trace"] == 1
    assert "Answer A: bad" in record.prompt[0]["content"], "in this trace the rejected answer is A"
    every = traced(rows, Tally(), traces="all", thoughts=False)
    assert [one.completion for _, one in every] == ["<answer>A</answer>", "<answer>B</answer>"]


@pytest.mark.parametrize("traces", ["text", [1], [{"text": "x"}], [{"text": "x", "first": "A"}]])
def test_traces_in_another_form_are_refused(traces):
    with pytest.raises(Refused, match="malformed"):
        parse_pair({"prompt": ASK, "chosen": "good", "rejected": "bad", "traces": traces})


def test_a_pair_becomes_both_orders_with_the_place_in_which_it_was_seen(policy):
    tokenizer = load_tokenizer(str(policy))
    rows = [(1, pair()), (2, pair(position=1))]
    examples = encode(compared(rows, Tally(), orders="as_seen"), tokenizer, Tally(), max_length=512)
    batch = collate_pairs(examples, 0)
    asked = [encode_prompt(tokenizer, question(ASK, *o, reasoned=False)) for o in (("good", "bad"), ("bad", "good"))]
    both = zip(batch.tokens.input_ids, batch.tokens.attention_mask, strict=True)
    assert [ids[: int(mask.sum())].tolist() for ids, mask in both] == [asked[0], asked[0], asked[1], asked[1]]
    assert not batch.tokens.completion_mask.any()
    assert batch.extra["both"].tolist() == [0, 0] and batch.extra["chosen_first"].tolist() == [1, 0]
    tally = Tally()
    assert encode(compared(rows, Tally(), orders="both"), tokenizer, tally, max_length=40) == []
    assert tally.counts["refused_too_long"] == 2, "half of a judge's question is no question"


def in_two_processes(scorer, prompts, texts) -> list[list[float]]:
    """Return what each of two processes, which are threads here, finds the texts' scores to be among rivals."""
    meet, boxes = threading.Barrier(2, timeout=60), {}

    def gathered(job, own):
        boxes[job.rank] = own
        meet.wait()
        whole = [None] * sum(map(len, boxes.values()))
        for rank, rows in boxes.items():
            whole[rank::2] = rows
        meet.wait()  # nobody brings the next rows before all have these
        return whole

    def found(rank):
        of_process = object.__new__(Opinions)
        of_process.job = SimpleNamespace(rank=rank, world_size=2, device=torch.device("cpu"))
        of_process.scorers, of_process.reading = {"reward": scorer}, Reading("whole", opened=False)
        rows = [Prompt(id=str(n), messages=messages, ids=[0]) for n, messages in enumerate(prompts)]
        return of_process.scores(rows, texts)[0].values[:, 0].tolist()

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as threads:
        patch.setattr(distributed, "gather_rows", gathered)
        return list(threads.map(found, range(2)))


def test_a_pairwise_judge_compares_in_both_orders_and_ranks_among_rivals(do, policy):
    spec, _ = do("pairwise-generative", model=policy, max_steps=2, batch_size=4)
    scorer = RewardScorer(f"{spec.output}/model", device=torch.device("cpu"))
    told, turned, nothing = scorer.compare([ASK] * 3, ["one", "other", " "], ["other", "one", "x"])
    assert told is not None and turned is not None and nothing is None
    assert told[0] + turned[0] == pytest.approx(1, abs=1e-5) and told[1] == pytest.approx(turned[1], abs=1e-5)
    raw = []
    for both in (("one", "other"), ("other", "one")):
        ids = torch.tensor([encode_prompt(scorer.tokenizer, question(ASK, *both, reasoned=False))])
        raw.append(scorer.model.outputs(ids, torch.ones_like(ids)).sigmoid().item())
    assert told == pytest.approx(((raw[0] + 1 - raw[1]) / 2, abs(raw[0] + raw[1] - 1)), abs=1e-5)
    others = [{"role": "user", "content": "what?"}]
    shares = scorer.score([ASK, others, ASK, ASK], ["one", "alone", "other", "one"])
    assert shares[1] is None
    assert [shares[i] for i in (0, 2, 3)] == pytest.approx([told[0], turned[0], told[0]], abs=1e-5)
    said = ["one", "other", "a third", "the fourth"]
    for found in in_two_processes(scorer, [ASK, ASK, ASK, ASK, others], [*said, "alone"]):
        whole = scorer.score([ASK] * 4, said)
        assert found == pytest.approx([*whole, min(whole)], abs=1e-6), "each sees the rivals that others have drawn"
    plain, _ = do("bradley-terry", into="plain", model=policy, max_steps=1, batch_size=4)
    with pytest.raises(RunError, match="pairwise-generative"):
        RewardScorer(f"{plain.output}/model", device=torch.device("cpu")).compare([ASK], ["a"], ["b"])


def test_a_pairwise_judge_scores_what_a_sample_run_draws(do, policy):
    spec, _ = do("pairwise-generative", into="judge", model=policy, max_steps=1, batch_size=4)
    drawn = {"samples_per_prompt": 3, "max_new_tokens": 4, "scorers": {"reward": f"{spec.output}/model"}}
    _, result = do("sample", into="drawn", model=policy, rows=prompt_rows(2), **drawn)
    assert math.isclose(result.metrics["mean_reward"], 0.5, abs_tol=0.01), "win shares of a group are ½ on average"


def test_a_pairwise_judge_compares_two_policies_and_weighs_pairs(do, policy):
    """A candidate's answers are held against the other's, not each policy's among its own, where both win half."""
    spec, _ = do("pairwise-generative", into="judge", model=policy, max_steps=1, batch_size=4)
    path = f"{spec.output}/model"
    judge = RewardScorer(path, device=torch.device("cpu"))
    few = {"model": policy, "scorers": {"reward": path}}
    drawn = {"reference": str(policy), "rows": prompt_rows(3), "samples_per_prompt": 1, "max_new_tokens": 4}
    told, result = do("compare", into="compare", **few, **drawn)
    rows = [json.loads(line) for line in (Path(told.output) / "comparisons.jsonl").read_text().splitlines()]
    for row in rows:
        ((ahead, _),) = judge.compare([row["prompt"]], [row["candidate"]["text"]], [row["current"]["text"]])
        assert row["reward_preference"] == pytest.approx(ahead - 0.5, abs=1e-5)
        assert row["reward_win_rate"] == (0.5 if abs(ahead - 0.5) < 1e-6 else float(ahead > 0.5))
        assert "reward" not in row["candidate"]["scores"], "alone an answer has no score"
    assert result.metrics["reward_win_rate"]["n"] == 3

    pairs = pair_rows(3)
    told, _ = do("dpo-margin", into="weighed", rows=pairs, max_steps=1, eval_share=0.0, **few)
    kept = (Path(told.output) / "margins.jsonl.0.part").read_text().splitlines()
    better, worse = ([row[side][0]["content"] for row in pairs] for side in ("chosen", "rejected"))
    odds = [math.log(p / (1 - p)) for p, _ in judge.compare([row["prompt"] for row in pairs], better, worse)]
    assert [json.loads(line)["margin"] for line in kept] == pytest.approx(odds, abs=1e-4)


def test_a_judge_learns_from_the_traces_of_its_rows(do, policy):
    _, result = do("reasoning-judge", model=policy, rows=pair_rows(6), max_steps=1, batch_size=4)
    assert result.counts["trained_on"] + result.counts["held_out"] == 6
    rows = [{**row, "traces": []} for row in pair_rows(3)]
    with pytest.raises(RunError, match="no reasoning that comes to what the person said"):
        do("reasoning-judge", into="none", model=policy, rows=rows)


def test_a_pairwise_judge_holds_a_policy_to_what_its_reference_answers(do, policy):
    judge, _ = do("pairwise-generative", into="judge", model=policy, max_steps=1, batch_size=4)
    quick = {"iterations": 2, "prompts_per_iteration": 2, "batch_size": 2, "max_new_tokens": 4, "eval_share": 0.4}
    quick |= {"samples_per_prompt": 1, "scorers": {"reward": f"{judge.output}/model"}}
    spec, result = do("ppo", into="held", model=policy, rows=prompt_rows(5), **quick)
    texts = {}
    for part in Path(spec.output).glob("anchors-*.part"):
        texts |= {row["id"]: row["text"] for row in map(json.loads, part.read_text().splitlines())}
    assert len(texts) >= 3, "each prompt answered, of those held out too, has one anchor"
    assert 0 < result.metrics["eval_reward"]["estimate"] < 1
    scorer = RewardScorer(f"{judge.output}/model", device=torch.device("cpu"))
    assert scorer.against([ASK], ["one"], ["other"]).score == [scorer.compare([ASK], ["one"], ["other"])[0][0]]
    assert scorer.against([ASK, ASK], ["same", " "], ["same", "x"]).score == [pytest.approx(0.5), None]
    with pytest.raises(RunError, match="None of the answers can be scored"):
        do("ppo", into="alone", model=policy, rows=prompt_rows(5), **quick, judge_against="rivals")


def test_a_policy_that_learns_from_rivals_is_measured_against_its_reference(do, policy):
    judge, _ = do("pairwise-generative", into="judge", model=policy, max_steps=1, batch_size=4)
    quick = {"iterations": 1, "prompts_per_iteration": 2, "batch_size": 2, "max_new_tokens": 4, "eval_share": 0.4}
    quick |= {"samples_per_prompt": 3, "scorers": {"reward": f"{judge.output}/model"}, "judge_against": "rivals"}
    _, result = do("grpo", model=policy, rows=prompt_rows(5), **quick)
    assert 0 < result.metrics["eval_reward"]["estimate"] < 1


def test_a_judge_holds_a_policy_to_answers_known_to_be_good_which_it_alone_reads(do, policy):
    judge, _ = do("pairwise-generative", into="judge", model=policy, max_steps=1, batch_size=4)
    quick = {"iterations": 1, "prompts_per_iteration": 4, "batch_size": 4, "max_new_tokens": 4, "eval_share": 0.4}
    quick |= {"samples_per_prompt": 1, "scorers": {"reward": f"{judge.output}/model"}}
    rows = prompt_rows(6)
    for row in rows[1:]:
        row["chosen"] = [{"role": "assistant", "content": f"secret for {row['id']}"}]
    tokenizer = load_tokenizer(str(policy))
    tally = Tally()
    (spec_rows := Path(judge.output) / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    known = read_prompts(spec_rows, tokenizer, tally, max_length=None, anchor="chosen")
    plain = {one.id: one.ids for one in read_prompts(spec_rows, tokenizer, Tally(), max_length=None)}
    assert len(known) == 5 and tally.counts["refused_without_chosen"] == 1
    assert all(one.anchor == f"secret for {one.id}" and one.ids == plain[one.id] for one in known)
    read, asked = [], []
    with pytest.MonkeyPatch.context() as patch:
        compare, ask = RewardScorer.compare, experience.generate

        def comparing(self, prompts, firsts, seconds):
            read.extend(zip(prompts, seconds, strict=True))
            return compare(self, prompts, firsts, seconds)

        def asking(model, prompts, **more):
            asked.extend(str(tokenizer.decode(ids)) for ids in prompts)
            return ask(model, prompts, **more)

        patch.setattr(RewardScorer, "compare", comparing)
        patch.setattr(experience, "generate", asking)
        spec, result = do("ppo", into="known", model=policy, rows=rows, judge_against="chosen", **quick)
    of_prompt = {canonical(one.messages): one.anchor for one in known}
    assert read and all(anchor == of_prompt[canonical(messages)] for messages, anchor in read)
    assert asked and not any("secret" in text for text in asked), "an anchor reached the policy"
    assert 0 < result.metrics["eval_reward"]["estimate"] < 1
    assert [note for note in result.notes if "1 prompts were left out because they have no answer that people" in note]
    assert not [*Path(spec.output).glob("anchors-*.part")], "the reference answers nothing"
    with pytest.raises(RunError, match=r"no answer that a person wrote.*Freeze the prompts anew"):
        do("ppo", into="none", model=policy, rows=rows, judge_against="edit", **quick)
    plain_reward, _ = do("bradley-terry", into="plain", model=policy, max_steps=1, batch_size=4)
    quick["scorers"] = {"reward": f"{plain_reward.output}/model"}
    with pytest.raises(RunError, match="Take one as the reward"):
        do("ppo", into="scalar", model=policy, rows=rows, judge_against="chosen", **quick)
