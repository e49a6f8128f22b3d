"""Creating and configuring a campaign, its guideline and its people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from annotation.errors import Invalid
from annotation.feedback import KINDS, kind
from annotation.models import Campaign, Role
from annotation.routing import read_tags
from annotation.storable import unstorable

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise  # known to the stubs alone


class StorableField(forms.CharField):
    """Text that every database takes: no null characters, no lone surrogates."""

    def clean(self, value: Any) -> Any:
        cleaned = super().clean(value)
        if cleaned and (reason := unstorable(cleaned)):
            raise ValidationError(reason)
        return cleaned


class TagsField(StorableField):
    """Words with commas between them; gives a list."""

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"})
        super().__init__(required=False, max_length=900, widget=widget, **kwargs)

    def clean(self, value: Any) -> list[str]:
        try:
            return read_tags(super().clean(value))
        except Invalid as error:
            raise ValidationError(str(error)) from None


def option_field(name: str, schema: dict[str, Any], value: Any) -> forms.Field:
    """Return the form field of one option of a feedback kind, from its JSON Schema."""
    title = schema.get("title", name.replace("_", " ").capitalize())
    help_text = schema.get("description", "")
    if schema.get("type") == "boolean":
        return forms.BooleanField(label=title, initial=value, required=False, help_text=help_text)
    if "enum" in schema:
        titles = schema.get("enumTitles") or [str(choice).replace("_", " ").capitalize() for choice in schema["enum"]]
        choices = list(zip(schema["enum"], titles, strict=True))
        needed = "default" not in schema  # one left out is as usual
        return forms.ChoiceField(label=title, initial=value, required=needed, choices=choices, help_text=help_text)
    if schema.get("type") == "integer":
        return forms.IntegerField(
            label=title,
            initial=value,
            required="default" not in schema,
            min_value=schema.get("minimum"),
            max_value=schema.get("maximum"),
            help_text=help_text,
        )
    if schema.get("type") == "array":
        rows = min(12, len(value or []) + 2)
        # A rule can be chosen instead of written, where there is a script (js/rules.js).
        chosen = {"data-rule": json.dumps(schema["x-rule"])} if "x-rule" in schema else {}
        if "x-offers" in schema:  # lines to choose from (js/offers.js)
            chosen["data-offers"] = json.dumps(schema["x-offers"], ensure_ascii=False)
        widget = forms.Textarea(attrs={"rows": rows, "spellcheck": "true", **chosen})
        needed = schema.get("minItems", 0) > 0
        text = "\n".join(value or [])
        return StorableField(label=title, initial=text, required=needed, widget=widget, help_text=help_text)
    needed = bool(schema.get("minLength", 1 if schema.get("default") else 0))
    length = schema.get("maxLength", 1000)
    return StorableField(label=title, initial=value, required=needed, max_length=length, help_text=help_text)


def whole(
    label: _StrOrPromise, help_text: _StrOrPromise = "", *, most: int, least: int = 0, usual: int = 0
) -> forms.IntegerField:
    """Return the field of a whole number that may be left out, which is then what is usual."""
    return forms.IntegerField(
        label=label, min_value=least, max_value=most, initial=usual, required=False, help_text=help_text
    )


class CampaignForm(forms.Form):
    """Everything a lead decides about a campaign; the options come from the feedback kind."""

    OPTION = "option-"

    name = StorableField(label=_("Name"), max_length=120, help_text=_("Annotators see it in their list of work."))
    description = StorableField(
        label=_("Description"),
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("One or two sentences: what is judged here, and what for."),
    )
    overlap = forms.IntegerField(
        label=_("People per item"),
        min_value=1,
        max_value=50,
        initial=1,
        help_text=_(
            "How many different people judge each item. 1 is the fastest; agreement can be measured from 2 on."
        ),
    )
    cohort_percent = whole(
        _("Per cent judged by more people"),
        _("A share of the items, drawn when they are imported, to measure agreement on. 0 for none."),
        most=100,
    )
    cohort_overlap = whole(
        _("People per item of that share"),
        _("Counts, like the share, for items imported from now on whose row does not say “wanted”."),
        most=50,
        least=1,
        usual=3,
    )
    overlap_most = whole(
        _("People per item at most, where the answer is unsure"),
        _(
            "When an item has its judgements and they leave its answer unsure, one more person is asked, up to so "
            "many. 0 for never."
        ),
        most=50,
    )
    reserve = whole(
        _("Judgements in reserve"),
        _(
            "Who comes when others hold all that is left, and have not sent it yet, is given one of those items too, "
            "so many times in all. 0: they are told that there is nothing."
        ),
        most=10_000,
    )
    gold_percent = whole(
        _("Per cent of items with a known answer"),
        _(
            "Gold and attention checks, mixed into what each person is given without a sign. 0: they come in their "
            "place like any other item."
        ),
        most=50,
    )
    check_warn = whole(
        _("Missed attention checks until people are told"), _("Of their last ten. 0 for never."), most=10
    )
    check_pause = whole(
        _("Missed attention checks until people are paused"),
        _("They are told why, and a lead looks at it and lets them go on. 0 for never."),
        most=10,
    )
    test_tries = whole(
        _("Tries at a test before the first item"),
        _("Before it people practise, and are told after each item what was right. 0 for no test."),
        most=20,
    )
    test_items = whole(_("Items of a test"), most=100, least=1, usual=10)
    test_percent = whole(_("Per cent right to pass it"), most=100, least=1, usual=80)
    lease_minutes = forms.IntegerField(
        label=_("Minutes an item is held"),
        min_value=1,
        max_value=1440,
        initial=30,
        help_text=_("If nothing is submitted for so long, the item goes to somebody else. The draft is kept."),
    )
    wellbeing = forms.ChoiceField(
        label=_("What people may have to read"),
        choices=Campaign.Wellbeing.choices,
        initial=Campaign.Wellbeing.NONE,
        required=False,
        help_text=_(
            "Unless it is nothing unpleasant, people are told and asked before their first item, and can stop or "
            "leave at any time. Where it is likely, each item is covered until they ask to see it."
        ),
    )
    support = StorableField(
        label=_("Whom people can turn to"),
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_(
            "After reading something bad: a person here, a helpline with its number or link. In Markdown; shown before "
            "the first item, at a rest, when they stop, and on their page of wellbeing."
        ),
    )
    daily_limit = whole(
        _("Most items of one person in a day"),
        _("0 for no limit. Judgements get worse, and unpleasant reading heavier, after many hours."),
        most=10_000,
    )
    weekly_limit = whole(_("Most items of one person in a week"), _("From Monday on. 0 for no limit."), most=50_000)
    about = TagsField(
        label=_("What the items are about"),
        help_text=_(
            "Categories such as violence or self-harm, with commas between them; for items imported from now on "
            "whose row has no column “about”. People may decline a category, and nobody else sees that."
        ),
    )
    rest_after = whole(
        _("Rest after so many of them in a row"),
        _("Then comes an item about none of these, or a pause of ten minutes. 0 for never."),
        most=1000,
    )
    batch_limit = whole(
        _("Most judgements of one person in a batch"),
        _("A batch is one round of a loop, or what the column “batch” says. 0 for no limit."),
        most=100_000,
    )
    batch_share = whole(
        _("Most per cent of a batch by one person"),
        _("So that no round is the opinion of one person. 0 for no limit."),
        most=100,
    )
    requires = TagsField(
        label=_("What people need to be able to do"),
        help_text=_(
            "Words, and languages as lang:de, with commas between them; counts for items imported from now on "
            "whose row has no column “requires”. Who has them is said on the page of people."
        ),
    )
    guideline = StorableField(
        label=_("Guideline"),
        required=False,
        max_length=50_000,
        widget=forms.Textarea(attrs={"rows": 8}),
        help_text=_(
            "What to look for, in Markdown; always one key away while judging. Every judgement keeps the "
            "version it was made under."
        ),
    )

    def __init__(self, *args: Any, kind_name: str = "pairwise", options: dict[str, Any] | None = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.kind = KINDS.get(kind_name) or kind("pairwise")
        values = self.kind.shown_options({**self.kind.default_options(), **(options or {})})
        self.option_names: list[str] = []
        for name, schema in self.kind.options_schema().get("properties", {}).items():
            self.fields[self.OPTION + name] = option_field(name, schema, values.get(name))
            self.option_names.append(name)

    @property
    def option_fields(self) -> list[forms.BoundField]:
        return [self[self.OPTION + name] for name in self.option_names]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        given = {n: cleaned[self.OPTION + n] for n in self.option_names if self.OPTION + n in cleaned}
        given = self._completed(given)
        if len(given) == len(self.option_names):
            try:
                cleaned["options"] = self.kind.clean_options(given)
            except Invalid as error:
                for name, texts in error.errors.items():
                    field = self.OPTION + name if name in self.option_names else None
                    for text in texts:
                        self.add_error(field, text)
        return cleaned

    def _completed(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return the options with what is usual for choices and numbers that were left out."""
        usual = self.kind.default_options()
        picked = forms.ChoiceField | forms.IntegerField
        left_out = {n for n in given if given[n] in ("", None) and isinstance(self.fields[self.OPTION + n], picked)}
        return {n: usual[n] if n in left_out else value for n, value in given.items()}

    def options_so_far(self) -> dict[str, Any]:
        """Return the options typed so far, with the usual ones where something does not fit: for the preview."""
        self.is_valid()
        usual = self.kind.default_options()
        given = {n: self.cleaned_data.get(self.OPTION + n, usual.get(n)) for n in self.option_names}
        try:
            return self.kind.clean_options(self._completed(given))
        except Invalid:
            return self.kind.clean_options({})


# What settings and the form call by the same name.
SAME = (
    *("description", "overlap", "cohort_percent", "cohort_overlap", "wellbeing", "support", "daily_limit"),
    *("gold_percent", "check_warn", "check_pause", "test_tries", "test_items", "test_percent"),
    *("overlap_most", "reserve", "weekly_limit", "rest_after", "batch_limit", "batch_share", "guideline"),
)


def initial_from(settings: dict[str, Any], *, name: str = "") -> dict[str, Any]:
    """Return what the form of a campaign starts with, out of settings that may lack some."""
    initial: dict[str, Any] = {field: settings[field] for field in SAME if field in settings}
    initial |= {name: ", ".join(settings[name]) for name in ("requires", "about") if name in settings}
    if "lease_seconds" in settings:
        initial["lease_minutes"] = max(1, round(settings["lease_seconds"] / 60))
    return {**initial, "name": name} if name else initial


# What each role may do, for the person who hands it out.
ROLE_WORDS = {
    Role.ANNOTATOR: _("Annotator: judges items"),
    Role.REVIEWER: _("Reviewer: sees what everybody said of an item and decides; does not judge"),
    Role.LEAD: _("Lead: configures, imports, exports, starts runs, promotes, and may judge"),
    Role.ENGINEER: _("Engineer: imports, exports and starts runs; may not change the campaign or promote"),
    Role.RED_TEAM: _("Red team: reads, and attacks policies to measure how safe they stay; starts nothing else"),
}


class MemberForm(forms.Form):
    """Somebody who has an account already."""

    username = StorableField(label=_("Username"), max_length=150, widget=forms.TextInput(attrs={"autocomplete": "off"}))
    role = forms.ChoiceField(label=_("Role"), choices=[(role.value, words) for role, words in ROLE_WORDS.items()])


class NewPersonForm(forms.Form):
    """Somebody who needs an account; the password is made here and shown once."""

    username = StorableField(
        label=_("Username"),
        max_length=150,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text=_("Letters, digits and @ . + - _. Exports show a pseudonym instead."),
    )
