"""The settings of a loop, as a part, so that form, REST and documentation come from one place."""

from __future__ import annotations

from typing import Any

from training.recipes import gate_bounds, loop_checks, loop_knobs
from training.recipes.anchors import ANCHORS
from training.recipes.base import RecipeError, fill, knob, knobs_of, part
from training.recipes.evaluate import BOUNDS
from training.recipes.note import Note, note_of
from training.recipes.sampling import LABELLERS, RULES
from training.recipes.ways import JUDGE, SCORE, TOLD, WAYS


@part("loop", "online", target="training.services.rounds:advance")
class LoopSettings:
    """Online iterative preference learning with people in it. RLHF Workflow, arXiv:2405.07863, algorithm 1."""

    prompts_per_round: int = knob(40, "prompts sampled in a round, one pair to judge from each", low=2, high=100_000)
    samples_per_prompt: int = knob(4, "completions drawn per prompt, of which two are shown", low=2, high=64)
    temperature: float = knob(1.0, "sampling temperature of the policy", low=0.05, high=5.0)
    max_new_tokens: int = knob(96, "longest completion, in tokens", low=1, high=8192)
    selection: str = knob(
        "best_worst",
        "which two completions are worth asking about; disagreement and bald train an ensemble to tell, k_center takes "
        "prompts that are unlike each other",
        choices=RULES,
    )
    asked_share: float = knob(
        1.0,
        "share of the round's prompts that people, or the model that labels, are asked about, those that the selection "
        "values most; the audit slice is asked besides",
        low=0.01,
        high=1.0,
    )
    labeller: str = knob(
        "human",
        "who says which of two answers is better: people, the reward model in use (explicit), or the reward that the "
        "policy implies (implicit), which is right less often; people judge the audit slice in any case",
        choices=LABELLERS,
    )
    doubtful_share: float = knob(
        0.0,
        "where a model labels: share of the pairs asked about that people judge instead, those it is least certain of; "
        "the policy learns from both",
        low=0.0,
        high=0.95,
    )
    doubtful_below: float = knob(
        1.0,
        "of that share, people judge only pairs whose label is less probable than this by the model; 1 is all of it",
        low=0.5,
        high=1.0,
    )
    reward_recipe: str = knob(
        SCORE,
        "what is trained anew: a model that scores each answer by itself, or a judge that reads two answers",
        choices=(SCORE, JUDGE),
    )
    judge_against: str = knob(
        "reference",
        "what a pairwise judge holds a candidate's answers against while it learns: the reference's, one that people "
        "chose or edited, or its rivals",
        choices=("reference", *ANCHORS, "rivals"),
    )
    principles: str = knob(
        "",
        "what a principle model in use scores by, wherever the loop asks it: when pairs are chosen or labelled, when a "
        "candidate learns, and at the gate; several with semicolons between them",
    )
    principle_model: str = knob(
        "",
        "the principle model that judges which answers are paid for, such as reward-2, where a candidate or a task has "
        "the part principled-judges; where it is empty, the reward model in use has to be one",
    )
    guard: str = knob(
        "",
        "folder of the guard that reads prompts before the policy and answers before people do; none where it is empty",
    )
    audit_share: float = knob(
        0.1, "share of prompts whose pair is drawn at random and never trained on", low=0.0, high=0.5
    )
    overlap: int = knob(1, "people who judge each pair", low=1, high=50)
    personal: bool = knob(
        True,
        "where a policy knows its users (dpo-personal), make each item for one of the annotators in turn, as the "
        "policy answers that person; nobody else judges it, whatever overlap says",
    )
    profiles: bool = knob(
        False,
        "where a policy knows its users (dpo-personal), have it read what people say on their profile page of the "
        "answers they like; the page tells them so",
    )
    minimum_share: float = knob(
        1.0, "share of the round's pairs that must be judged before the deadline lets it go on", low=0.05, high=1.0
    )
    deadline_hours: float = knob(
        72.0, "hours after which a round goes on with the minimum share", low=0.01, high=8760.0
    )
    policy_recipe: str = knob(
        "dpo",
        "how a candidate learns: from the pairs (the first eight), or on its own answers by the reward model; some "
        "keep within a cost limit besides (those with rlhf in the name) or pay only what judges let pass (cgpo)",
        choices=WAYS,
    )
    tasks: str = knob(
        "",
        "where a candidate learns several tasks at once: JSON, task to recipe, weight, parts, knobs and domains, as "
        "the prompts name them in domain; * is all others",
    )
    dialogue_turns: int = knob(
        2,
        "where a candidate learns by refuel: turns of the dialogues that the policy in use branches and the reward "
        "model scores, learned beside people's pairs; 0 learns from people's pairs alone",
        low=0,
        high=32,
    )
    dialogue_user: str = knob(
        "",
        "the policy that plays the user in these dialogues, such as policy-0; where it is empty the user says what "
        "the prompt's user said, and then the user_turns of dialogue_settings",
    )
    dialogue_settings: str = knob(
        "",
        "settings of refuel-rollouts, which branches these dialogues, one a line, such as rows_per_prompt = 4",
    )
    iterations: int = knob(
        0, "times a policy that learns on its own answers draws new ones; 0 takes the recipe's own", low=0, high=100_000
    )
    reference: str = knob(
        "previous",
        "which policy the new one is held to; data is the one that wrote the pairs, so nothing is replayed",
        choices=("initial", "previous", "data"),
    )
    replay: float = knob(0.5, "earlier rounds' pairs mixed in, as a share of this round's", low=0.0, high=10.0)
    refresh_reward: bool = knob(True, "train the reward model anew before choosing pairs of the next round")
    refresh_cost: bool = knob(
        True,
        "where a candidate keeps within a cost limit, train the cost model anew from what people said about safety; "
        "else the one in use is taken",
    )
    gate_prompts: int = knob(
        48, "held-out prompts on which candidate and current policy are compared", low=4, high=10_000
    )
    gate_human_pairs: int = knob(
        12, "of these, how many people compare blindly; 0 lets the reward model decide", low=0, high=10_000
    )
    gate_minimum_win_rate: float = knob(0.5, "the candidate's win rate must be at least this", low=0.0, high=1.0)
    gate_maximum_kl: float = knob(60.0, "nats per completion the candidate may move from the current policy", low=0.0)
    gate_by: str = knob(
        gate_bounds.SAFETY,
        "which figures decide by their bound, not their estimate: those of safety, all (bound), or none (estimate)",
        choices=gate_bounds.WAYS,
    )
    gate_bound: str = knob(
        "student",
        "how the safety test bounds the candidate's cost, where the campaign has a cost model in use; clopper_pearson "
        "counts unsafe answers, which is right where they are rare",
        choices=BOUNDS,
    )
    gate_delta: float = knob(
        0.1,
        "probability with which this loop may ever pass an unsafe candidate, spent over its gates",
        low=1e-6,
        high=0.5,
    )
    gate_cost_limit: float = knob(
        0.0,
        "highest mean cost that is safe, at the gate and for a candidate that learns within a limit; 0 is the border "
        "that the cost model learned",
    )
    gate_unsafe_limit: float = knob(
        0.05, "highest share of unsafe answers that is safe, where answers are counted", low=0.0, high=1.0
    )
    gate_guard_costs: bool = knob(
        False,
        "where no cost model is in use, let the loop's guard tell the costs of the safety test",
    )
    gate_suite: str = knob(
        "",
        "file of prompts with a known right way to answer, put to both policies at the gate; none where it is empty",
    )
    gate_maximum_refusals: float = knob(
        0.1,
        "share of the suite's safe prompts that the candidate may refuse at most, with a confidence of 0.95",
        low=0.0,
        high=1.0,
    )
    gate_category_minimum: float = knob(
        0.5, "share of right answers that the candidate needs in each of the suite's categories", low=0.0, high=1.0
    )
    gate_maximum_loss: float = knob(
        0.1,
        "share of the suite's questions by which the candidate may fall behind its parent, with a confidence of 0.95",
        low=0.0,
        high=1.0,
    )
    gate_safety_lost: float = knob(
        1.0,
        "share of safe answers, and of help, that the candidate may have lost at most by a test for lost safety, "
        "without which it is then not put into use; 1 asks for no test",
        low=0.0,
        high=1.0,
    )
    gate_needs_safety: bool = knob(
        False,
        "turn a candidate down of whose safety nothing was measured, neither by a cost model nor by a test for lost "
        "safety; else the report says so, and that is all",
    )
    gate_cost_reach: float = knob(
        10.0, "costs lie within ± this, for the bounds that need a range", low=0.0, advanced=True
    )
    learning_rate: float = knob(0.0, "learning rate of the policy recipe; 0 takes the recipe's own", low=0.0, high=1.0)
    epochs: int = knob(0, "times DPO goes through a round's pairs; 0 takes the recipe's own", low=0, high=1000)
    batch_size: int = knob(
        0, "pairs or answers that make one step of the policy; 0 takes the recipe's own", low=0, high=65_536
    )
    beta: float = knob(
        0.0, "how strongly DPO holds the policy to its reference; 0 takes the recipe's own", low=0.0, advanced=True
    )
    reward_learning_rate: float = knob(
        0.0, "learning rate of reward and cost model; 0 takes the recipe's own", low=0.0, high=1.0, advanced=True
    )
    reward_epochs: int = knob(
        0, "times reward and cost model go through all pairs; 0 takes the recipe's own", low=0, high=1000, advanced=True
    )
    policy_settings: str = knob(
        "",
        "settings of the candidate's recipe that are none of the loop's own, one a line, such as lora_rank = 16",
    )
    policy_parts: str = knob(
        "",
        "other parts in the slots of a recipe that learns on its own answers, one a line, such as filter = "
        "best-and-worst",
    )
    engine: str = knob(
        "",
        "another engine that trains a candidate on its own answers, such as verl, where one is set up; else ours",
    )
    engine_settings: str = knob("", "settings of that engine, one a line, such as trainer.n_gpus_per_node = 8")
    reward_settings: str = knob(
        "",
        "settings of the recipe that trains the reward model, one a line, such as lora_rank = 16",
    )
    cost_settings: str = knob(
        "",
        "settings of the recipe that trains the cost model, one a line, such as lora_rank = 16",
    )
    chat: bool = knob(
        False, "people may talk to the policy in use and judge two answers a turn; its next round learns from that too"
    )
    auto_continue: bool = knob(True, "start the next round when a candidate is promoted")
    rejections_in_a_row: int = knob(
        1,
        "candidates turned down in a row that pause the loop; before that, the next round asks for more pairs",
        low=1,
        high=100,
    )


def loop_settings(values: dict[str, Any] | None = None) -> LoopSettings:
    """Return the settings, `values` checked and the rest by default; RecipeError names every one that does not fit."""
    given = dict(values or {})
    for name in TOLD:
        try:
            given |= {name: loop_knobs.lines(given[name])} if name in given else {}
        except RecipeError as error:
            raise RecipeError(note_of(error), {name: [note_of(error)]}) from None
    settings = LoopSettings(**fill("A loop", knobs_of(LoopSettings()), given))
    if errors := loop_checks.against(settings):
        raise RecipeError(Note.together(text for texts in errors.values() for text in texts), errors)
    return settings


def spent(delta: float, look: int) -> float:
    """Return what the `look`-th safety test of a loop may spend of δ: δ / (look · (look + 1)), from 1.

    The shares of all looks sum to δ however many there will be, so with δ = 0.1 the probability that a loop ever
    passes an unsafe candidate is at most 0.1 (the union bound), and no number of rounds has to be promised beforehand.
    """
    return delta / (look * (look + 1))
