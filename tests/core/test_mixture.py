"""Several tasks in one run: who gets which prompts, what weighs how much in a step, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.core.stages.test_stages import rollout
from tests.core.test_onpolicy import SMALL, lines_of
from tests.core.worlds import prompt_rows
from training.core.batch import LossOutput
from training.core.job import RunError
from training.core.mixture import MixedUpdate, Task, joined, shared_out
from training.core.prompts import Prompt
from training.recipes import RecipeError, recipe
from training.recipes.tasks import tasks_of

PROMPT = Prompt(id="", messages=[], ids=[1])
DOMAINS = {"exact": ("algebra", "proofs"), "rest": ("*",)}
TASKS = [Task(name, {}, frozenset(), (), 2, weight) for name, weight in (("a", 1.0), ("b", 3.0))]


def test_a_task_weighs_what_it_was_given_however_many_answers_it_has():
    """Losses of 1 in the task a, of which there are four, and of 2 in b, which has one: (1 · 1 + 3 · 2) / 4."""

    def constant(value):
        def update(models, rows):
            loss = torch.full((len(rows),), value)
            return LossOutput(loss, torch.ones_like(loss), {f"of_{value:g}": loss})

        return update

    few = rollout(pad=5).rows([2]).told(reward=7.0)
    whole = joined({"a": rollout(), "b": few}, TASKS, pad_id=0)
    assert whole.task.tolist() == [0, 0, 1, 0, 0]  # spread, so that both halves of a step could hold some of b
    update = MixedUpdate([constant(1.0), constant(2.0)])
    out = update(None, whole)
    assert float((out.loss * out.weight).sum() / out.weight.sum()) == pytest.approx(7 / 4)
    parts = [update(None, whole.rows(rows)) for rows in ([2, 0], [1, 3, 4])]
    losses = [float((part.loss * part.weight).sum()) for part in parts]
    assert sum(losses) / sum(float(part.weight.sum()) for part in parts) == pytest.approx(7 / 4)
    assert out.metrics["of_2"].isnan().tolist() == [True, True, False, True, True]
    assert torch.equal(whole.tokens.input_ids[2, :12], few.tokens.input_ids[0]) and whole.metrics == {"reward (b)": 7.0}
    alone = [float(update(None, whole.rows([row])).loss) for row in (0, 2)]  # steps of one task still differ by weight
    assert alone[1] / alone[0] == pytest.approx((3 * 2) / (1 * 1 / 4))


def test_a_task_of_which_nothing_is_left_does_not_stop_the_others():
    whole = joined({"a": rollout().rows([]), "b": rollout()}, TASKS, pad_id=0)
    assert whole.task.tolist() == [1] * 4 and float(whole.weight.mean()) == pytest.approx(3 / 4)
    assert len(joined({"a": rollout().rows([])}, TASKS, pad_id=0)) == 0


def test_each_domain_learns_by_its_own_recipe_and_is_told_apart(do, policy, reward):
    rows = [{**row, "domain": ("maths", "chat", "")[i % 3]} for i, row in enumerate(prompt_rows(23))]
    tasks = {
        "maths": {"recipe": "cgpo-crraft", "weight": 2, "knobs": {"samples_per_prompt": 4, "max_words": 1}},
        "chat": {"recipe": "cgpo-codpo", "reward": "gold", "knobs": {"max_words": 1}},
        "*": {"recipe": "cgpo-crpg", "parts": {"kl": "fixed"}},
    }
    scorers = {"reward": str(reward), "gold": str(reward)}
    knobs = {**SMALL, "prompts_per_iteration": 9, "reference_answers": 1}
    spec, result = do("task-mix", model=policy, rows=rows, scorers=scorers, tasks=json.dumps(tasks), **knobs)
    (first, _) = lines_of(Path(spec.output))
    assert {f"violations ({name})" for name in tasks} | {"violations", "kl (maths)"} <= set(first)
    assert first["violations"] == pytest.approx(sum(first[f"violations ({name})"] for name in tasks) / 3)
    assert "eval_reward_gain" in result.metrics
    assert any(name.startswith("eval_reward_gain (") for name in result.metrics)
    with pytest.raises(RunError, match="The task chat asks the scorer gold, which this run does not have"):
        do("task-mix", into="b", model=policy, scorers={"reward": str(reward)}, tasks=json.dumps(tasks), **knobs)
    with pytest.raises(RunError, match="No prompt is of the domain of a task"):
        only = json.dumps({"law": {"recipe": "cgpo-crpg"}})
        do("task-mix", into="c", model=policy, scorers={"reward": str(reward)}, tasks=only, **knobs)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("maths", "This is no JSON"),
        ('{"a":' * 100_000, "This is no JSON"),
        ('{"a": {"recipe": "cgpo-crpg", "weight": ' + "9" * 400 + "}}", "weight is a number"),
        ('{"a": {"recipe": "cgpo-crpg", "parts": {"combine": [1]}}}', "parts and knobs are objects"),
        ('{"a": {"recipe": "cgpo-crpg", "knobs": {"reward_scale": ' + "9" * 400 + "}}}", "Enter a number"),
        ("{}", "Name at least one domain"),
        ('{"a": {"recipe": "dpo"}}', "a: dpo does not learn from the policy's own answers"),
        ('{"a": {"recipe": "cgpo-crpq"}}', "a: There is no recipe called cgpo-crpq. Did you mean cgpo-crpg"),
        ('{"a": {"recipe": "rloo", "weight": 0}}', "a: weight is a number above 0"),
        ('{"a": {"recipe": "rloo", "k": 2}}', "a task has no k"),
        ('{"a": {"recipe": "rloo", "domains": []}}', "domains is a list of at least one"),
        ('{"a": {"recipe": "rloo", "domains": ["b"]}, "b": {"recipe": "rloo"}}', "prompts of b are for a and b"),
        ('{"a": {"recipe": "rloo", "knobs": {"iterations": 2}}}', "iterations holds for the whole run"),
        ('{"a": {"recipe": "cgpo-crpg", "knobs": {"must_match": "("}}}', "This is no regular expression"),
    ],
)
def test_what_cannot_be_read_is_said_beside_the_setting(text, said):
    with pytest.raises(RecipeError, match=said) as raised:
        recipe("task-mix").fill({"tasks": text})
    assert set(raised.value.errors) == {"tasks"}
    assert tasks_of('{"*": {"recipe": "rloo"}}')[0].weight == 1.0


def test_tasks_are_judged_by_principles_of_their_own(do, policy, reward):
    made, _ = do("principle-reward", into="made", model=policy, max_steps=1, batch_size=4)
    part = {"constrain": "principled-judges"}
    tasks = {
        "all": {"recipe": "cgpo-crpg", "domains": ["a"], "parts": part, "knobs": {"judged_chance": 1.0}},
        "none": {"recipe": "cgpo-crpg", "domains": ["*"], "parts": part, "knobs": {"judged_principles": "kind; clear"}},
    }
    tasks["none"]["knobs"]["judged_chance"] = 0.0
    rows = [{**row, "domain": "ab"[i % 2]} for i, row in enumerate(prompt_rows(12))]
    knobs = {**SMALL, "reference_answers": 1, "iterations": 1, "eval_share": 0.0, "tasks": json.dumps(tasks)}
    scorers = {"reward": str(reward), "principle": f"{made.output}/model"}
    spec, _ = do("task-mix", model=policy, rows=rows, scorers=scorers, **knobs)
    (told,) = lines_of(Path(spec.output))
    assert told["violations_principle (all)"] == 1.0 > told["violations_principle (none)"]
    assert {"score_principle (all)", "score_principle: kind (none)"} <= set(told)
    with pytest.raises(RunError, match="Only a principle model judges"):
        do("task-mix", into="b", model=policy, rows=rows, scorers={**scorers, "principle": str(reward)}, **knobs)
    with pytest.raises(RecipeError, match="Name at least one principle"):
        tasks_of(json.dumps({"a": {"recipe": "cgpo-crpg", "parts": part, "knobs": {"judged_principles": ";"}}}))


def test_a_task_may_have_several_domains_and_another_one_all_others():
    asked = [replace(PROMPT, id=name, domain=name) for name in ("algebra", "proofs", "chat", "")]
    exact, rest = (Task(name, {}, frozenset(), (), 2, domains=domains) for name, domains in DOMAINS.items())
    shares = {name: [p.id for p in some] for name, some in shared_out([exact, rest], asked).items()}
    assert shares == {"exact": ["algebra", "proofs"], "rest": ["chat", ""]}
    assert shared_out([exact], asked) == {"exact": asked[:2]}
    text = json.dumps({name: {"recipe": "rloo", "domains": [*domains]} for name, domains in DOMAINS.items()})
    assert {task.name: task.domains for task in tasks_of(text)} == DOMAINS


def test_one_task_alone_is_its_rollout_itself():
    made = replace(rollout(), metrics={"x": 1.0})
    assert joined({"": made}, [Task("", {}, frozenset(), (), 2)], pad_id=0) is made
