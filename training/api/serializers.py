"""The JSON shapes of recipes, runs, versions, snapshots, loops and rounds, as they come in and as they go out."""

from __future__ import annotations

import dataclasses
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from annotation.permissions import LARGEST_ID
from annotation.told import of
from training.api import typed
from training.models import Loop, ModelVersion, Round, Run
from training.recipes.base import Knob, Recipe
from training.services import what_if

LARGEST_SEED = 2**31 - 1


class KnobOut(serializers.Serializer):
    name = serializers.CharField()
    type = serializers.ChoiceField(choices=["boolean", "integer", "number", "string"])
    default = serializers.JSONField()
    help = serializers.CharField()
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)
    choices = serializers.ListField(child=serializers.JSONField())
    advanced = serializers.BooleanField()


class RecipeOut(serializers.Serializer):
    name = serializers.CharField()
    version = serializers.IntegerField()
    title = serializers.CharField()
    summary = serializers.CharField()
    kind = serializers.ChoiceField(choices=Run.Kind.choices)
    view = serializers.CharField(help_text="The kind of row it reads.")
    makes = serializers.CharField(help_text="The kind of model version it makes; empty when it makes none.")
    source = serializers.CharField(help_text="The paper it is from.")  # type: ignore[assignment]
    knobs = KnobOut(many=True)


def recipe_json(recipe: Recipe) -> dict[str, Any]:
    names = ("name", "version", "title", "summary", "kind", "view", "makes", "source")
    return {name: getattr(recipe, name) for name in names} | {"knobs": [knob_json(knob) for knob in recipe.knobs()]}


def knob_json(knob: Knob) -> dict[str, Any]:
    return dataclasses.asdict(knob) | {"type": typed.KINDS[type(knob.default)], "choices": list(knob.choices)}


class RunIn(serializers.Serializer):
    recipe = serializers.CharField(max_length=60)
    knobs = serializers.DictField(
        child=serializers.JSONField(),
        default=dict,
        help_text="Setting → value, those of the recipe. The setting `tasks` of task-mix is a text, the JSON of an "
        "object: name of a task → object of recipe, weight (above 0), reward (reward or gold: what it climbs), parts, "
        "knobs, and domains (a list; else the task's name), where * is all domains that no task names.",
    )
    parts = serializers.DictField(
        child=serializers.CharField(allow_blank=True, max_length=60),
        default=dict,
        help_text="Other parts in the slots of a recipe on the policy's own answers: slot → part, empty for none. "
        "Where pf-ppo is given no filter, it gets the one with the highest R² by the newest report on the reward "
        "model.",
    )
    parent = serializers.IntegerField(  # type: ignore[assignment]
        min_value=1, max_value=LARGEST_ID, required=False, help_text="Id of the model version to start from."
    )
    model = serializers.CharField(
        max_length=400, required=False, help_text="Instead of parent: a folder on the server or a hub name."
    )
    awaits = serializers.DictField(
        child=serializers.IntegerField(min_value=1, max_value=LARGEST_ID),
        default=dict,
        help_text="Of a run that trains: model, reward or another score → id of the run that makes it. Instead of "
        "parent or that score's version; the run waits until they are done.",
    )
    snapshot = serializers.IntegerField(
        min_value=1,
        max_value=LARGEST_ID,
        required=False,
        help_text="Id of the data; when left out, the recipe's view is frozen now, without audit items.",
    )
    held_out = serializers.IntegerField(
        min_value=1,
        max_value=10_000,
        required=False,
        help_text="Instead of a snapshot, for recipes that read prompts: so many of those that the campaign's loop "
        "holds out and that neither parent nor reference learned from.",
    )
    suite = serializers.CharField(
        max_length=400,
        required=False,
        help_text="Instead of a snapshot, for recipes that put a suite of questions to a policy: its file on the "
        "server, in LabSafety Bench's layout.",
    )
    documents = serializers.CharField(
        max_length=400,
        required=False,
        help_text="Instead of a snapshot, for continued-pretraining: its file on the server, JSON Lines with text or "
        "plain text with blank lines between documents.",
    )
    rollouts = serializers.IntegerField(
        min_value=1,
        max_value=LARGEST_ID,
        required=False,
        help_text="Instead of a snapshot, for refuel: id of the run of refuel-rollouts whose pairs it learns from. The "
        "policy that wrote them is then the reference.",
    )
    reference = serializers.IntegerField(
        min_value=1, max_value=LARGEST_ID, required=False, help_text="Id of the policy to compare with or refer to."
    )
    reward = serializers.IntegerField(
        min_value=1, max_value=LARGEST_ID, required=False, help_text="Id of the reward model that scores."
    )
    cost = serializers.IntegerField(
        min_value=1,
        max_value=LARGEST_ID,
        required=False,
        help_text="Id of the cost model, for recipes that keep a cost within a limit.",
    )
    gold = serializers.IntegerField(
        min_value=1,
        max_value=LARGEST_ID,
        required=False,
        help_text="Id of the reward model that judges what another one chooses, for best-of-n.",
    )
    audit = serializers.IntegerField(
        min_value=1,
        max_value=LARGEST_ID,
        required=False,
        help_text="Id of a second cost model that watches what judges let pass, for the part audited-judges.",
    )
    principle = serializers.IntegerField(
        min_value=1,
        max_value=LARGEST_ID,
        required=False,
        help_text="Id of the principle model that judges which answers pass, for the part principled-judges.",
    )
    other = serializers.IntegerField(
        min_value=1, max_value=LARGEST_ID, required=False, help_text="Id of the policy to merge with."
    )
    base = serializers.IntegerField(
        min_value=1,
        max_value=LARGEST_ID,
        required=False,
        help_text="Id of the policy that both were made from, for ways of merging that add up what was learned since.",
    )
    engine = serializers.ChoiceField(
        choices=["verl", "areal"],
        required=False,
        help_text="Another program that does a run on the policy's own answers, where the server has it; else our own.",
    )
    engine_settings = serializers.DictField(
        child=serializers.JSONField(),
        required=False,
        help_text="What of the engine may be set besides, by its own names: where and in what portions it computes.",
    )
    imitation = serializers.IntegerField(
        min_value=1,
        max_value=LARGEST_ID,
        required=False,
        help_text="Id of a second policy that error-by-position measures beside the first, such as its imitation.",
    )
    simulator = serializers.IntegerField(
        min_value=1,
        max_value=LARGEST_ID,
        required=False,
        help_text="Id of the policy that plays the user, for refuel-rollouts; else the user's turns are given.",
    )
    gpu_memory_gib = serializers.FloatField(
        min_value=1, max_value=10_000, required=False, help_text="Of a GPU, for the placement that the run keeps."
    )
    billions = serializers.FloatField(
        min_value=1e-6,
        max_value=100_000,
        required=False,
        help_text="Of parameters, for the placement, where the folder of the policy does not say them.",
    )
    seed = serializers.IntegerField(min_value=0, max_value=LARGEST_SEED, default=0)


class PlacementIn(serializers.Serializer):
    recipe = serializers.CharField(max_length=100)
    knobs = serializers.DictField(child=serializers.JSONField(), default=dict)
    parts = serializers.DictField(child=serializers.CharField(allow_blank=True, max_length=100), default=dict)
    parent = serializers.IntegerField(  # type: ignore[assignment]
        min_value=1, max_value=LARGEST_ID, help_text="Id of the policy it starts from."
    )
    engine = serializers.ChoiceField(choices=["verl", "areal"])
    engine_settings = serializers.DictField(child=serializers.JSONField(), default=dict)
    gpu_memory_gib = serializers.FloatField(min_value=1, max_value=10_000, default=80.0)
    billions = serializers.FloatField(
        min_value=1e-6,
        max_value=100_000,
        required=False,
        help_text="Of parameters, where the folder of the policy does not say them.",
    )


class PlacementRowOut(serializers.Serializer):
    call = serializers.CharField()
    model = serializers.CharField()
    gpus = serializers.CharField()
    layout = serializers.CharField(help_text="d: copies, p: stages, t: slices of a model.")
    seconds = serializers.FloatField()


class PlacementOut(serializers.Serializer):
    """Estimates from the sizes alone at an assumed speed, and no measurement."""

    engine = serializers.CharField()
    gpus = serializers.IntegerField(source="inventory.gpus")
    calls = PlacementRowOut(many=True, source="rows")
    step_seconds = serializers.FloatField(source="found.seconds")
    fullest_gpu_gib = serializers.FloatField(source="found.memory_gib")
    tried = serializers.IntegerField(source="found.tried", help_text="How many plans were looked at.")
    exhaustive = serializers.BooleanField(source="found.exhaustive", help_text="Whether these are all there are.")
    mark = serializers.CharField(source="found.mark", help_text="Of the kind and number of GPUs that it is for.")
    naive_step_seconds = serializers.FloatField(
        source="naive_seconds", help_text="With a whole copy of each model on each GPU."
    )
    naive_fullest_gpu_gib = serializers.FloatField(source="naive_memory_gib")
    naive_fits = serializers.BooleanField()
    settings = serializers.DictField(child=serializers.JSONField(), help_text="The engine's own, that say the plan.")


class RunOut(serializers.Serializer):
    id = serializers.IntegerField()
    campaign = serializers.IntegerField(source="campaign_id")
    kind = serializers.ChoiceField(choices=Run.Kind.choices)
    recipe = serializers.DictField(child=serializers.JSONField())
    purpose = serializers.CharField(help_text="What it is to its round: sample, reward, cost, policy, gate, or empty.")
    round = serializers.IntegerField(source="round_id", allow_null=True)
    parent = serializers.IntegerField(source="parent_id", allow_null=True)  # type: ignore[assignment]
    snapshot = serializers.IntegerField(source="snapshot_id", allow_null=True)
    output = serializers.IntegerField(source="output_id", allow_null=True, help_text="Id of the version it made.")
    seed = serializers.IntegerField()
    request_name = serializers.CharField(
        help_text="The request that made it, as its answer (`X-Request-ID`) and the log call it; empty if a round did."
    )
    state = serializers.ChoiceField(choices=Run.State.choices)
    cancel_requested = serializers.BooleanField()
    attempts = serializers.IntegerField()
    step = serializers.IntegerField()
    total_steps = serializers.IntegerField()
    progress = serializers.DictField(child=serializers.JSONField(), help_text="The last metrics line.")
    error = serializers.CharField()
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    heartbeat_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)


class FilterChoiceOut(serializers.Serializer):
    part = serializers.CharField(help_text="Empty where all answers are kept.")
    run = serializers.IntegerField(help_text="Id of the report that tells R² by filter.")
    why = serializers.SerializerMethodField()

    def get_why(self, choice: dict[str, Any]) -> str:
        return str(of(choice["why"]))


class RunDetailOut(RunOut):
    awaits = serializers.DictField(
        child=serializers.IntegerField(),
        source="inputs.awaits",
        default=dict,
        help_text="While it waits: model or the name of a score → id of the run that makes it.",
    )
    placement = serializers.DictField(
        child=serializers.JSONField(),
        source="inputs.placement",
        default=None,
        allow_null=True,
        help_text="By another engine: the plan that was made for it, and under at_start the GPUs that its worker had.",
    )
    filter_choice = FilterChoiceOut(
        source="inputs.filter_choice",
        default=None,
        allow_null=True,
        help_text="Of pf-ppo where nobody named a filter: the one with the highest R² of the reward model, and why.",
    )
    result = serializers.DictField(child=serializers.JSONField())


class LogOut(serializers.Serializer):
    text = serializers.CharField()


class LogQuery(serializers.Serializer):
    limit = serializers.IntegerField(min_value=1, max_value=1_000_000, default=20_000, help_text="Most bytes returned.")


class MetricsOut(serializers.Serializer):
    lines = serializers.ListField(child=serializers.DictField(child=serializers.JSONField()))


class AnswersQuery(serializers.Serializer):
    offset = serializers.IntegerField(min_value=0, max_value=10**9, default=0, help_text="Prompts to leave out.")
    limit = serializers.IntegerField(min_value=1, max_value=1000, default=100, help_text="Most prompts returned.")


class AnswersOut(serializers.Serializer):
    rows = serializers.ListField(
        child=serializers.DictField(child=serializers.JSONField()),
        help_text="By prompt, in the order in which they were read: id, prompt, and completions or, of a comparison, "
        "candidate and current.",
    )


class WhatIfIn(serializers.Serializer):
    weights = serializers.DictField(
        child=serializers.FloatField(),
        default=dict,
        help_text="Name of a score → its weight, 0 for those left out; empty for reward 1 and cost -1.",
    )
    shape = serializers.ChoiceField(choices=[*what_if.SHAPES], default="", allow_blank=True)
    scale = serializers.FloatField(default=1.0, help_text="k, by which distances are multiplied in the shape.")
    each_on_its_scale = serializers.BooleanField(
        default=False, help_text="Whether each score is standardised among the answers to its prompt first."
    )


class ChosenScoreOut(serializers.Serializer):
    name = serializers.CharField()
    weight = serializers.FloatField()
    mean = serializers.FloatField(help_text="Over all answers.")
    usual = serializers.FloatField(help_text="Of the best answers by the reward alone.")
    chosen = serializers.FloatField(help_text="Of the best answers under these weights.")
    change = serializers.DictField(child=serializers.FloatField(allow_null=True), help_text="estimate, low, high, n.")


class WhatIfOut(serializers.Serializer):
    prompts = serializers.IntegerField()
    answers = serializers.IntegerField()
    changed = serializers.IntegerField(help_text="Prompts of which another answer is the best.")
    left_out = serializers.IntegerField()
    scores = ChosenScoreOut(many=True)
    spread = serializers.FloatField(allow_null=True, help_text="Deviation of k times the distance to other answers.")
    flat = serializers.FloatField(allow_null=True, help_text="Share of these distances beyond 4.")


class PairsQuery(serializers.Serializer):
    offset = serializers.IntegerField(min_value=0, max_value=10**9, default=0, help_text="Pairs to leave out.")
    limit = serializers.IntegerField(min_value=1, max_value=1000, default=100, help_text="Most pairs returned.")


class AuditedPairOut(serializers.Serializer):
    line = serializers.IntegerField(help_text="Of the run's data, counted from 1.")
    margin = serializers.FloatField(
        help_text="How much likelier the chosen answer became than the rejected one, against the reference, in nats; "
        "negative where the policy goes against the judgement."
    )
    feedback = serializers.IntegerField(required=False, help_text="Id of the judgement, where the data says so.")
    task = serializers.CharField(required=False, help_text="Id of the item, where the data says so.")


class AuditedPairsOut(serializers.Serializer):
    rows = AuditedPairOut(many=True, help_text="By margin, the most negative first.")


class VersionIn(serializers.Serializer):
    kind = serializers.ChoiceField(choices=ModelVersion.Kind.choices)
    path = serializers.CharField(max_length=400, help_text="A folder on the server or a hub name.")


class VersionOut(serializers.Serializer):
    id = serializers.IntegerField()
    campaign = serializers.IntegerField(source="campaign_id")
    kind = serializers.ChoiceField(choices=ModelVersion.Kind.choices)
    number = serializers.IntegerField()
    label = serializers.CharField()  # type: ignore[assignment]
    state = serializers.ChoiceField(choices=ModelVersion.State.choices)
    parent = serializers.IntegerField(source="parent_id", allow_null=True)  # type: ignore[assignment]
    snapshot = serializers.IntegerField(source="snapshot_id", allow_null=True)
    path = serializers.CharField()
    recipe = serializers.DictField(child=serializers.JSONField())
    metrics = serializers.DictField(child=serializers.JSONField())
    created_at = serializers.DateTimeField()


class FigureOut(serializers.Serializer):
    name = serializers.CharField()
    estimate = serializers.FloatField(allow_null=True)
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)
    n = serializers.IntegerField()
    limit = serializers.FloatField(allow_null=True, help_text="Null: shown for information, decides nothing.")
    by = serializers.CharField(default="", help_text="What decides: its bound, its estimate; empty: none, or not kept.")
    passed = serializers.BooleanField()
    explanation = serializers.SerializerMethodField()

    def get_explanation(self, figure: dict[str, Any]) -> str:
        return str(of(figure["explanation"]))


class GateReportOut(serializers.Serializer):
    candidate = serializers.IntegerField(source="candidate_id")
    parent = serializers.IntegerField(source="parent_id", help_text="Id of the policy it was compared with.")  # type: ignore[assignment]
    verdict = serializers.CharField()
    figures = FigureOut(many=True)
    created_at = serializers.DateTimeField()


class VersionDetailOut(VersionOut):
    gate_report = GateReportOut(allow_null=True)
    lineage = serializers.DictField(
        child=serializers.JSONField(), help_text="Base, recipe, snapshot and the ids of the judgements behind it."
    )


class PromoteIn(serializers.Serializer):
    reason = serializers.CharField(
        max_length=2000, allow_blank=True, default="", help_text="Needed to promote past a gate; kept for the audit."
    )


class RollBackIn(serializers.Serializer):
    reason = serializers.CharField(
        max_length=2000,
        allow_blank=True,
        default="",
        help_text="Needed where a test for lost safety speaks against the version, or is lacking; kept for the audit.",
    )


class SendIn(serializers.Serializer):
    reason = serializers.CharField(
        max_length=2000,
        allow_blank=True,
        default="",
        help_text="Needed where its gate was cancelled after people had judged; kept for the audit and in the report.",
    )


class FinishIn(serializers.Serializer):
    reason = serializers.CharField(
        max_length=2000,
        allow_blank=True,
        default="",
        help_text="Needed at a gate of which too few pairs are judged; kept for the audit and in the report.",
    )


@extend_schema_field(typed.settings_schema(sent=True))
class LoopSettingsIn(serializers.DictField):
    """Settings of a loop, of which those that are left out stay as they are."""

    child = serializers.JSONField()


@extend_schema_field(typed.settings_schema(sent=False))
class LoopSettingsOut(serializers.DictField):
    """All settings of a loop, what it tells its recipes as objects of typed values."""

    def to_representation(self, value: dict[str, Any]) -> dict[str, Any]:
        return typed.settings_out(value)


class LoopIn(serializers.Serializer):
    policy = serializers.CharField(max_length=400, help_text="The first policy: a folder or a hub name.")
    prompts_path = serializers.CharField(max_length=400, help_text='JSON Lines of {"id", "prompt": messages}.')
    settings = LoopSettingsIn(default=dict)
    reason = serializers.CharField(
        max_length=2000,
        allow_blank=True,
        default="",
        help_text="Needed where another policy is in use, as no gate compared the two; kept for the audit.",
    )


class LoopChange(serializers.Serializer):
    policy = serializers.CharField(
        max_length=400,
        required=False,
        help_text="Corrects the name of the policy in use, a folder or a hub name, as long as nothing came of it.",
    )
    settings = LoopSettingsIn(default=dict)


class GateOrderOut(serializers.Serializer):
    version = serializers.IntegerField(source="candidate_id", help_text="The policy that waits for the gate.")
    reason = serializers.CharField()
    ordered_by = serializers.CharField(
        source="created_by.pseudonym", default=None, allow_null=True, help_text="A pseudonym."
    )
    created_at = serializers.DateTimeField()


class LoopOut(serializers.Serializer):
    id = serializers.IntegerField()
    campaign = serializers.IntegerField(source="campaign_id")
    state = serializers.ChoiceField(choices=Loop.State.choices)
    settings = LoopSettingsOut()
    prompts_path = serializers.CharField()
    created_at = serializers.DateTimeField()
    waiting = GateOrderOut(
        many=True,
        source="gate_orders",
        help_text="Policies that wait for the gate until the round that is open ends, first come first.",
    )


class RoundOut(serializers.Serializer):
    id = serializers.IntegerField()
    campaign = serializers.IntegerField(source="loop.campaign_id")
    index = serializers.IntegerField()
    state = serializers.ChoiceField(choices=Round.State.choices)
    stalled_in = serializers.CharField()
    note = serializers.CharField()
    policy = serializers.IntegerField(source="policy_id")
    candidate = serializers.IntegerField(source="candidate_id", allow_null=True)
    snapshot = serializers.IntegerField(source="snapshot_id", allow_null=True)
    labelling_started_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class BatchOut(serializers.Serializer):
    batch = serializers.CharField()
    done = serializers.IntegerField()
    total = serializers.IntegerField()
    open = serializers.IntegerField()


class RightOut(serializers.Serializer):
    estimate = serializers.FloatField(allow_null=True)
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)
    n = serializers.IntegerField(help_text="Pairs on which people and the reward model both said something.")


class AskedOut(serializers.Serializer):
    round = serializers.IntegerField(source="round.index")
    rule = serializers.CharField(help_text="By which most pairs were chosen.")
    labels = serializers.IntegerField(help_text="Judgements of earlier rounds that a model could learn from.")
    pairs = serializers.IntegerField(help_text="Judged pairs that the rule chose.")
    audit_pairs = serializers.IntegerField(help_text="Judged pairs of the audit slice.")
    chosen = RightOut(help_text="How often the reward model of that time agreed with people on the chosen pairs.")
    audit = RightOut(help_text="The same on the audit slice, drawn at random and never learned from.")


class RoundDetailOut(RoundOut):
    prompts = serializers.ListField(child=serializers.CharField())
    runs = RunOut(many=True)
    batches = BatchOut(many=True, help_text="The round's pairs, and the gate's.")
    gate_report = GateReportOut(allow_null=True)
