"""Words that pages show and no page says: of recipes, their settings, data sets, templates of campaigns and harms.

Recipes know no Django, templates are TOML, and the categories of harm are one table; each is added in one file. So
nothing in them is marked: their words are looked up when they are shown, and `manage.py catalogues` takes them over
from the registries.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.utils import translation

from annotation import dataset_views
from annotation.campaign_templates import templates
from annotation.export_formats import FORMATS, Format
from annotation.feedback.taxonomies import PACKS
from training.recipes import RECIPES
from training.recipes.assembled import choices
from training.recipes.base import Knob, knobs_of
from training.recipes.drift import WatchSettings
from training.recipes.loop import LoopSettings
from training.recipes.slots import ORDER
from training.recipes.ways import JUDGE, SCORE, WAYS

# One word alone is translated for settings apart from the rest of the pages.
SETTING = "setting"
SPELLING = {"fpr": "false-positive rate", "kl": "KL", "lora": "LoRA", "gae": "GAE", "bf16": "bfloat16"}
# Choices whose name alone does not say what they do.
CHOICES = {
    "best_worst": "best against worst",
    "bald": "most to learn (BALD)",
    "human": "people",
    "explicit": "reward model",
    "implicit": "what the policy implies (less reliable)",
}
# The slots of a recipe on the policy's own answers, in their order: what each is called and what it is for.
SLOTS = {
    "combine": ("Combine", "How several scores of an answer become one reward."),
    "shape": ("Shape", "What is made of the reward before it is climbed."),
    "constrain": ("Constrain", "What has to stay within a limit meanwhile."),
    "filter": ("Filter", "Which of the answers to a prompt are learned from."),
    "kl": ("KL price", "What it costs to leave the reference, as part of the reward."),
    "segment": ("Segment", "What counts as one action: a token, or several."),
    "advantage": ("Advantage", "What an answer is held against: a critic, or the other answers."),
    "update": ("Update", "What the policy learns from that."),
}


def label(name: str) -> str:
    """Return the name of a setting in words: ``max_new_tokens`` → "Max new tokens"."""
    return translation.pgettext(SETTING, _label(name))


def choice(value: object) -> str:
    """Return a choice of a setting in words; a recipe is called by its title."""
    if value in (*WAYS, SCORE, JUDGE):
        return translation.gettext(RECIPES[str(value)].title)
    return translation.pgettext(SETTING, _choice(value))


def explanation(knob: Knob) -> str:
    """Return what a setting does, as a sentence."""
    return translation.gettext(_explanation(knob))


def slot(name: str) -> str:
    """Return what a slot of a recipe on the policy's own answers is called."""
    return translation.pgettext(SETTING, SLOTS[name][0])


def slot_help(name: str) -> str:
    """Return what a slot is for, as a sentence."""
    return translation.gettext(SLOTS[name][1])


def part_choice(part: type) -> str:
    """Return what a part does, in a line, with its name."""
    told = translation.gettext(_purpose(part))
    return f"{part.name}: {told}"  # type: ignore[attr-defined]


def _purpose(part: type) -> str:
    """Return the first sentence of a part's docstring, which every part has, without its source."""
    first = (part.__doc__ or "").strip().split("\n")[0]
    return first.split(" arXiv:")[0].rstrip(" ,.")


def messages() -> Iterator[tuple[str | None, str]]:
    """Yield every (context, message) of the registries that a page shows."""
    settings = [*knobs_of(LoopSettings()), *knobs_of(WatchSettings())]
    for knob in [*settings, *(knob for recipe in RECIPES.values() for knob in recipe.knobs())]:
        yield SETTING, _label(knob.name)
        yield None, _explanation(knob)
        yield from ((SETTING, _choice(value)) for value in knob.choices if value not in (*WAYS, SCORE, JUDGE))
    for title, purpose in SLOTS.values():
        yield SETTING, title
        yield None, purpose
    for slot_name in ORDER:
        for part in choices(slot_name).values():
            yield None, _purpose(part)
            for knob in knobs_of(part()):
                yield SETTING, _label(knob.name)
                yield None, _explanation(knob)
                yield from ((SETTING, _choice(value)) for value in knob.choices)
    for recipe in RECIPES.values():
        yield None, recipe.title
        yield None, recipe.summary
    for template in templates().values():
        yield None, template.title
        yield None, template.summary
    for pack in PACKS.values():
        yield None, pack.title
        for harm in pack.harms:
            yield from ((None, harm.title), (None, harm.meaning))
    tables: list[dataset_views.View | Format] = [*dataset_views.VIEWS.values(), *FORMATS.values()]
    for view in tables:
        yield None, view.title
        yield from ((None, meaning) for meaning in view.columns.values())


def _label(name: str) -> str:
    words = [SPELLING.get(word, word) for word in name.split("_")]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]]) if name not in SPELLING else SPELLING[name]


def _choice(value: object) -> str:
    return CHOICES.get(str(value), str(value).replace("_", " "))


def _explanation(knob: Knob) -> str:
    return f"{knob.help[:1].upper()}{knob.help[1:]}."
