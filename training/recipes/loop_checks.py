"""What stands against a loop's settings together, though each by itself would do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.recipes import gate_bounds, loop_knobs
from training.recipes.anchors import ANCHORS
from training.recipes.base import RecipeError
from training.recipes.loop_candidate import branches, candidate, compares, mixed, reward_recipe, wants_judge
from training.recipes.note import Note, note_of
from training.recipes.principles import listed
from training.recipes.rollouts import ROLLOUTS
from training.recipes.sampling import OF_ENSEMBLES
from training.recipes.tasks import EXAMPLE, OTHERS
from training.recipes.ways import ASKS, COST, JUDGE, LABELLED, OF_PAIRS, OF_SEVERAL, OF_TASKS, REFUEL, SCORE

if TYPE_CHECKING:
    from training.recipes.loop import LoopSettings


def against(settings: LoopSettings) -> dict[str, list[str]]:
    """Return what stands against the settings, by setting; of what hangs on a wrong one nothing is said."""
    errors = _against_told(settings)
    if "policy_parts" in errors:  # nothing more can be said of a recipe that is none
        return errors
    if settings.policy_recipe == REFUEL and settings.reference != "data":
        errors["reference"] = [Note("refuel refers to the policy that wrote the pairs. Set reference to data.")]
    if settings.policy_recipe in OF_TASKS:
        errors |= _against_tasks(settings)
        if "tasks" in errors:  # nor of tasks that are none
            return errors
    if settings.policy_recipe not in OF_PAIRS:
        errors |= _against_climbing(settings)
    if settings.labeller != "human":
        errors |= _against_labels(settings)
    elif settings.doubtful_share:
        errors["doubtful_share"] = [
            Note("People judge every pair already. Choose a model as the labeller, or set doubtful_share to 0.")
        ]
    if settings.doubtful_below < 1 and not settings.doubtful_share:
        errors["doubtful_below"] = [
            Note(
                "This chooses among the share of pairs that people judge at most. Set doubtful_share above 0, or "
                "doubtful_below to 1."
            )
        ]
    errors |= _against_engine(settings)
    errors |= _against_judges(settings) | _against_dialogues(settings)
    if not settings.gate_safety_lost:
        errors["gate_safety_lost"] = [Note("No test shows that nothing at all was lost. Allow a little, such as 0.05.")]
    if settings.gate_guard_costs and not settings.guard:
        errors["gate_guard_costs"] = [Note("The loop has no guard that could tell costs. Name one, or turn this off.")]
    if not errors.get("gate_human_pairs"):
        errors |= _against_bounds(settings)
    if listed(settings.principles) and settings.refresh_reward:
        errors["refresh_reward"] = [
            Note(
                "A round trains its reward model from pairs, and such a model reads no principles. Turn refresh_reward "
                "off and put a principle model into use, or name no principles.",
            )
        ]
    return errors


def _against_engine(settings: LoopSettings) -> dict[str, list[str]]:
    """Return what stands against another engine, as far as no server need be asked which it has, by setting."""
    try:
        loop_knobs.read(settings.engine_settings)
    except RecipeError as error:
        return {"engine_settings": [note_of(error)]}
    if settings.engine_settings.strip() and not settings.engine:
        return {"engine_settings": [Note("These are for an engine. Name one, or leave them out.")]}
    if settings.engine and settings.policy_recipe in OF_PAIRS:
        return {"engine": [Note("An engine does only runs on the policy's own answers.")]}
    return {}


def _against_bounds(settings: LoopSettings) -> dict[str, list[str]]:
    """Return what stands against a win rate that so few pairs can never show, by setting."""
    pairs, limit = min(settings.gate_human_pairs, settings.gate_prompts), settings.gate_minimum_win_rate
    if not pairs or not gate_bounds.by_bound(settings.gate_by, "human_win_rate"):
        return {}
    most = gate_bounds.most_shown(pairs)
    if most >= limit:
        return {}
    least = gate_bounds.least(limit)
    if least is None:
        return {
            "gate_minimum_win_rate": [
                Note(
                    "No number of pairs proves a win rate of {limit:.0%}. Want less, or set gate_by to safety.",
                    limit=limit,
                )
            ]
        }
    return {
        "gate_human_pairs": [
            Note(
                "With {pairs} pairs even {pairs} wins do not prove {limit:.0%}, as their interval begins at "
                "{most:.0%}. Have people compare {least} (gate_prompts as many), or set gate_by to safety.",
                pairs=pairs,
                limit=limit,
                most=most,
                least=least,
            )
        ]
    }


def _against_told(settings: LoopSettings) -> dict[str, list[str]]:
    """Return what stands against the knobs and parts that the loop tells its recipes, by setting."""
    name, reward = settings.policy_recipe, reward_recipe(settings)
    candidate_, parts = loop_knobs.OF_CANDIDATE, settings.policy_parts
    errors = {"policy_parts": loop_knobs.against_parts(name, parts, asks=ASKS)}
    if not errors["policy_parts"]:
        errors["policy_settings"] = loop_knobs.against(name, settings.policy_settings, parts, decided=candidate_)
    rollouts = loop_knobs.OF_ROLLOUTS
    errors["dialogue_settings"] = loop_knobs.against(ROLLOUTS.name, settings.dialogue_settings, decided=rollouts)
    of_scoring = {
        "reward_settings": (reward, settings.reward_settings),
        "cost_settings": (COST, settings.cost_settings),
    }
    for setting, (recipe, told) in of_scoring.items():
        errors[setting] = loop_knobs.against(recipe, told, decided=loop_knobs.OF_SCORING)
    return {setting: texts for setting, texts in errors.items() if texts}


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
        name = "policy_recipe" if compares(settings) else "judge_against"
        errors[name] = [
            Note(
                "This takes a judge that reads two answers, and a round trains a model that scores each by itself. Set "
                "reward_recipe to {judge}, or turn refresh_reward off and put a judge into use.",
                judge=JUDGE,
            )
        ]
    return errors


def _against_dialogues(settings: LoopSettings) -> dict[str, list[str]]:
    """Return what stands against learning from branched dialogues, by setting."""
    errors: dict[str, list[str]] = {}
    if not branches(settings):
        return errors
    if not settings.gate_human_pairs:
        errors["gate_human_pairs"] = [
            Note(
                "The reward model scores the dialogues that a candidate learns from, and then cannot be the one that "
                "decides. Have people compare some pairs, or set dialogue_turns to 0.",
            )
        ]
    if settings.refresh_reward and settings.reward_recipe == JUDGE:
        errors["reward_recipe"] = [
            Note(
                "A judge that reads two answers gives no dialogue a score. Choose {score}, or set dialogue_turns to 0.",
                score=SCORE,
            )
        ]
    return errors


def _against_climbing(settings: LoopSettings) -> dict[str, list[str]]:
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
