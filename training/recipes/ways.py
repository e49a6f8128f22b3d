"""The ways in which a round's candidate may learn, by recipe, and what each of them asks."""

from __future__ import annotations

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
REFUEL = "refuel"  # by how much better one of two ways to go on was: pairs of people, and dialogues that it branches
# From what people preferred; the fourth asks a reward model too.
OF_PAIRS = ("dpo", "cpl", REFUEL, "dpo-margin", PERSONAL, *OF_LIKELIHOODS)
OF_ONE_OPINION = (*OF_ONE, *OF_COSTS, *OF_RULES, *OF_OBJECTIVES, *OF_THOUGHTS, *OF_JUDGES)
WAYS = (*OF_PAIRS, *OF_ONE_OPINION, *OF_TASKS, *OF_SEVERAL)  # how a round's candidate may learn
TOLD = (
    "policy_settings",
    "policy_parts",
    "dialogue_settings",
    "engine_settings",
    "reward_settings",
    "cost_settings",
)  # what recipes are told besides
COST = "cost-model"
ASKS = ("reward", "cost", "principle")  # the scores that a round can give a candidate's answers
SCORE, JUDGE = "bradley-terry", "pairwise-generative"  # what a round may train anew: either learns from its pairs
ENSEMBLE = "reward-ensemble"  # and what it trains where a selection wants several opinions
