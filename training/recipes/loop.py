"""The settings of a loop, as a part, so that form, REST and documentation come from one place."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from training.recipes import loop_knobs
from training.recipes.anchors import ANCHORS
from training.recipes.assembled import assembled, has_slots
from training.recipes.base import Recipe, RecipeError, fill, knob, knobs_of, part
from training.recipes.evaluate import BOUNDS
from training.recipes.note import Note
from training.recipes.principles import listed
from training.recipes.sampling import LABELLERS, OF_ENSEMBLES, RULES
from training.recipes.slots import check_slots
from training.recipes.tasks import EXAMPLE, OTHERS, Task, tasks_of

OF_ONE = ("rloo", "grpo", "superhf", "ppo", "ppo-max", "ppo-preference", "pf-ppo", "macro-ppo", "ppo-predictive")
OF_OBJECTIVES = ("grpo-objectives",)  # by a reward and, where score_weights names it, a cost, each on one scale
OF_THOUGHTS = ("safe-reasoning",)  # by a reward and a cost model that judges thoughts and answer apart
OF_COSTS = ("safe-rlhf", "safe-rlhf-pid", "hc-rlhf")  # by a reward and a cost model, which has to stay in a limit
OF_RULES = ("cgpo-crpg", "cgpo-codpo", "cgpo-crraft")  # by a reward that only answers have which pass all judges
OF_TASKS = ("task-mix",)  # by a recipe, judges and a weight for each kind of prompt
OF_SEVERAL = ("ppo-uncertainty", "ppo-worst-case", "ppo-robust")  # these want several opinions of an answer
OF_JUDGES = ("grpo-pairwise",)  # by a judge that reads two answers, with no score in between
OF_LIKELIHOODS = ("simpo", "orpo", "cpo")  # with no reference policy
LABELLED = ("dpo", "cpl", "dpo-margin", *OF_LIKELIHOODS)  # from pairs that a model may have labelled too
PERSONAL = "dpo-personal"  # each person is then answered by a soft prompt of their own
# From what people preferred; the fourth asks a reward model too.
OF_PAIRS = ("dpo", "cpl", "refuel", "dpo-margin", PERSONAL, *OF_LIKELIHOODS)
OF_ONE_OPINION = (*OF_ONE, *OF_COSTS, *OF_RULES, *OF_OBJECTIVES, *OF_THOUGHTS, *OF_JUDGES)
WAYS = (*OF_PAIRS, *OF_ONE_OPINION, *OF_TASKS, *OF_SEVERAL)  # how a round's candidate may learn
TOLD = ("policy_settings", "policy_parts", "reward_settings", "cost_settings")  # what recipes are told besides
COST = "cost-model"
ASKS = ("reward", "cost", "principle")  # the scores that a round can give a candidate's answers
SCORE, JUDGE = "bradley-terry", "pairwise-generative"  # what a round may train anew: either learns from its pairs


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
    given = {name: loop_knobs.lines(value) if name in TOLD else value for name, value in (values or {}).items()}
    settings = LoopSettings(**fill("A loop", knobs_of(LoopSettings()), given))
    errors = _against_told(settings)
    if "policy_parts" in errors:  # nothing more can be said of a recipe that is none
        raise _wrong(errors)
    if settings.policy_recipe == "refuel" and settings.reference != "data":
        errors["reference"] = [Note("refuel refers to the policy that wrote the pairs. Set reference to data.")]
    if settings.policy_recipe in OF_TASKS:
        errors |= _against_tasks(settings)
        if "tasks" in errors:  # nor of tasks that are none
            raise _wrong(errors)
    if settings.policy_recipe not in OF_PAIRS:
        errors |= _objections(settings)
    if settings.labeller != "human":
        errors |= _against_labels(settings)
    elif settings.doubtful_share:
        errors["doubtful_share"] = [
            Note("People judge every pair already. Choose a model as the labeller, or set doubtful_share to 0.")
        ]
    errors |= _against_judges(settings)
    if listed(settings.principles) and settings.refresh_reward:
        errors["refresh_reward"] = [
            Note(
                "A round trains its reward model from pairs, and such a model reads no principles. Turn refresh_reward "
                "off and put a principle model into use, or name no principles.",
            )
        ]
    if errors:
        raise _wrong(errors)
    return settings


def _wrong(errors: dict[str, list[str]]) -> RecipeError:
    return RecipeError(Note.together(text for texts in errors.values() for text in texts), errors)


def _against_told(settings: LoopSettings) -> dict[str, list[str]]:
    """Return what stands against the knobs and parts that the loop tells its recipes, by setting."""
    name, reward = settings.policy_recipe, reward_recipe(settings)
    candidate_, parts = loop_knobs.OF_CANDIDATE, settings.policy_parts
    errors = {"policy_parts": loop_knobs.against_parts(name, parts, asks=ASKS)}
    if not errors["policy_parts"]:
        errors["policy_settings"] = loop_knobs.against(name, settings.policy_settings, parts, decided=candidate_)
    of_scoring = {
        "reward_settings": (reward, settings.reward_settings),
        "cost_settings": (COST, settings.cost_settings),
    }
    for setting, (recipe, told) in of_scoring.items():
        errors[setting] = loop_knobs.against(recipe, told, decided=loop_knobs.OF_SCORING)
    return {setting: texts for setting, texts in errors.items() if texts}


def reward_recipe(settings: LoopSettings) -> str:
    """Return the recipe by which a round trains its reward model."""
    return "reward-ensemble" if settings.selection in OF_ENSEMBLES else settings.reward_recipe


def parts_of(settings: LoopSettings, scores: Collection[str] = ()) -> dict[str, str]:
    """Return what a candidate's recipe has in its slots besides the usual parts, in a round that has these `scores`."""
    parts = {}
    # A recipe of one opinion goes by the mean of several principles, as the model's own score does.
    if len(listed(settings.principles)) > 1 and settings.policy_recipe in OF_ONE_OPINION:
        parts["combine"] = "mean"
    if settings.policy_recipe in OF_RULES and "cost" in scores:
        parts["constrain"] = "judges"
    return parts | loop_knobs.read(settings.policy_parts)


def candidate(settings: LoopSettings, scores: Collection[str] = ()) -> Recipe:
    """Return the recipe by which a candidate learns, with its parts, in a round that has these `scores`."""
    return assembled(settings.policy_recipe, parts_of(settings, scores))


def mixed(settings: LoopSettings) -> list[Task]:
    """Return the tasks that a candidate learns; none where it learns by one recipe. RecipeError about `tasks`."""
    return tasks_of(settings.tasks) if settings.policy_recipe in OF_TASKS else []


def _against_tasks(settings: LoopSettings) -> dict[str, list[str]]:
    """Return what stands against the tasks of a candidate, by setting."""
    if not settings.tasks.strip():
        return {"tasks": [Note("Name the tasks that a candidate learns, like this: {example}", example=EXAMPLE)]}
    try:
        tasks = mixed(settings)
    except RecipeError as error:
        return error.errors
    errors: dict[str, list[str]] = {}
    if lacking := [name for task in tasks for name in task.scorers if name not in ASKS]:
        errors["tasks"] = [
            Note(
                "These tasks ask {names}, and a loop has none. Its tasks climb the reward model in use, and are judged "
                "by the cost model in use or by a principle model.",
                names=", ".join(dict.fromkeys(lacking)),
            )
        ]
    if settings.judge_against in ANCHORS and any(task.domains != (OTHERS,) for task in tasks):
        errors["judge_against"] = [
            Note(
                "Answers that people chose or edited do not tell of which domain their prompt is, and tasks take "
                "theirs by that. Set judge_against to reference or rivals.",
            )
        ]
    of_one = [task.name for task in tasks if getattr(task.recipe.part("combine"), "name", "") == "first"]
    if len(listed(settings.principles)) > 1 and of_one:
        errors["principles"] = [
            Note(
                "{n} principles give as many scores, and {names} would learn from the first. Name one principle, or "
                "give each task the parts {example}.",
                n=len(listed(settings.principles)),
                names=", ".join(of_one),
                example='{"combine": "mean"}',
            )
        ]
    return errors


def _against_labels(settings: LoopSettings) -> dict[str, list[str]]:
    """Return what stands against pairs that a model labels, by setting."""
    errors: dict[str, list[str]] = {}
    if settings.policy_recipe not in LABELLED:
        errors["labeller"] = [
            Note(
                "{recipe} does not learn from pairs that a model labels. Let people label, or choose one of {names}.",
                recipe=settings.policy_recipe,
                names=", ".join(LABELLED),
            )
        ]
    if settings.labeller == "explicit" and not settings.gate_human_pairs:
        errors["gate_human_pairs"] = [
            Note(
                "The reward model labels, and then cannot be the one that decides. Have people compare some pairs.",
            )
        ]
    return errors


def wants_judge(settings: LoopSettings) -> bool:
    """Return whether a candidate cannot learn as the settings say but from a judge that reads two answers."""
    return _compares(settings) or settings.judge_against != "reference"


def _compares(settings: LoopSettings) -> bool:
    learned = [task.recipe for task in mixed(settings)] or [candidate(settings)]
    return any(
        has_slots(found) and "comparisons" in check_slots({part.slot: part for part in found.parts})
        for found in learned
    )


def _against_judges(settings: LoopSettings) -> dict[str, list[str]]:
    """Return what stands against a judge that reads two answers, or against doing without one, by setting."""
    errors: dict[str, list[str]] = {}
    trains_judge = settings.refresh_reward and settings.reward_recipe == JUDGE
    if trains_judge and settings.selection in OF_ENSEMBLES:
        errors["reward_recipe"] = [
            Note(
                "The selection {selection} trains an ensemble of scores, and no judge. Choose another selection, or "
                "{score}.",
                selection=settings.selection,
                score=SCORE,
            )
        ]
    if settings.judge_against != "reference" and settings.policy_recipe in OF_PAIRS:
        errors["judge_against"] = [
            Note(
                "{recipe} learns from pairs, so that no judge holds its answers against others. Choose a recipe that "
                "learns on its own answers, or set judge_against to reference.",
                recipe=settings.policy_recipe,
            )
        ]
    elif wants_judge(settings) and settings.refresh_reward and not trains_judge:
        name = "policy_recipe" if _compares(settings) else "judge_against"
        errors[name] = [
            Note(
                "This takes a judge that reads two answers, and a round trains a model that scores each by itself. Set "
                "reward_recipe to {judge}, or turn refresh_reward off and put a judge into use.",
                judge=JUDGE,
            )
        ]
    return errors


def _objections(settings: LoopSettings) -> dict[str, list[str]]:
    """Return what stands against a candidate that learns on its own answers, by setting."""
    errors: dict[str, list[str]] = {}
    if not settings.gate_human_pairs:
        errors["gate_human_pairs"] = [
            Note(
                "{recipe} climbs the reward model, which then cannot be the one that decides. Have people compare some "
                "pairs.",
                recipe=settings.policy_recipe,
            )
        ]
    several, wants = settings.selection in OF_ENSEMBLES, getattr(candidate(settings).part("combine"), "opinions", "one")
    if wants == "several" and not several and len(listed(settings.principles)) < 2:
        errors["policy_recipe"] = [
            Note(
                "{recipe} learns from several opinions of an answer. Choose the selection disagreement or bald, which "
                "train an ensemble, or name several principles.",
                recipe=settings.policy_recipe,
            )
        ]
    if wants == "one" and several:
        errors["policy_recipe"] = [
            Note(
                "{recipe} goes by one opinion, and the selection {selection} trains an ensemble. Choose another "
                "selection, or one of {names}.",
                recipe=settings.policy_recipe,
                selection=settings.selection,
                names=", ".join(OF_SEVERAL),
            )
        ]
    return errors


def trains_cost(settings: LoopSettings) -> bool:
    """Return whether each round of a loop with these settings trains a cost model."""
    return settings.refresh_cost and "cost" in asked(settings)


def asked(settings: LoopSettings) -> tuple[str, ...]:
    """Return the names of the scores that a candidate learns from, also those that a knob weighs by name."""
    if tasks := mixed(settings):
        return tuple(dict.fromkeys(name for task in tasks for name in task.scorers))
    found = candidate(settings)
    knobs = found.fill(loop_knobs.read(settings.policy_settings))
    weighed = ",".join(knobs.get(name, "") for name in ("score_weights", "weights")).split(",")
    named = {one.partition("=")[0].strip() for one in weighed}
    return tuple(dict.fromkeys([*found.scorers, *(name for name in ASKS if name in named)]))


def spent(delta: float, look: int) -> float:
    """Return what the `look`-th safety test of a loop may spend of δ: δ / (look · (look + 1)), from 1.

    The shares of all looks sum to δ however many there will be, so with δ = 0.1 the probability that a loop ever
    passes an unsafe candidate is at most 0.1 (the union bound), and no number of rounds has to be promised beforehand.
    """
    return delta / (look * (look + 1))
