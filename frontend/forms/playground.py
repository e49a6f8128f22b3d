"""With whom somebody talks in the playground, how the models draw their words, and what they are told first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from annotation.services import profile_text
from frontend.forms.texts import LinesField
from training.models import ModelVersion
from training.recipes.chat import MAX_CHARACTERS
from training.services import playground


class PlaygroundForm(forms.Form):
    policy = forms.ChoiceField(label=_("Talk to"))
    beside = forms.ChoiceField(label=_("And beside it"), required=False)
    mode = forms.ChoiceField(label=_("Mode"), required=False)
    beside_mode = forms.ChoiceField(label=_("Mode of the one beside it"), required=False)
    as_user = forms.ChoiceField(
        label=_("Answer as user"), required=False, help_text=_("By pseudonym, of a policy that knows its users.")
    )
    beside_user = forms.ChoiceField(label=_("User of the one beside it"), required=False)
    says = LinesField(
        label=_("What somebody says they like"),
        required=False,
        max_length=profile_text.MOST,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("Read in place of what the user says on their profile page; also of somebody it never met."),
    )
    beside_says = LinesField(
        label=_("The same, for the one beside it"),
        required=False,
        max_length=profile_text.MOST,
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    temperature = forms.FloatField(
        label=_("Temperature"),
        min_value=0,
        max_value=playground.MAX_TEMPERATURE,
        initial=playground.TEMPERATURE,
        help_text=_("0 takes the likeliest word each time; 1 draws as the model weighs them."),
    )
    max_new_tokens = forms.IntegerField(
        label=_("Longest answer, in tokens"),
        min_value=1,
        max_value=playground.MAX_NEW_TOKENS,
        initial=playground.NEW_TOKENS,
    )
    system = forms.CharField(
        label=_("Instructions"),
        required=False,
        max_length=MAX_CHARACTERS,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("What the models are told before everything else."),
    )

    def __init__(
        self,
        *args: Any,
        versions: Sequence[ModelVersion],
        modes: Mapping[str, Promise],
        users: Sequence[str],
        reads_texts: bool,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.versions = {str(one.pk): one for one in versions}
        named = [(key, f"{one.label} ({one.get_state_display()})") for key, one in self.versions.items()]
        self._fields("policy").choices = named
        self._fields("beside").choices = [("", gettext("nobody")), *named]
        for name in ("mode", "beside_mode"):
            if modes:
                self._fields(name).choices = [("", gettext("what it does by itself")), *modes.items()]
            else:
                del self.fields[name]
        for name in ("as_user", "beside_user"):
            if users:
                self._fields(name).choices = [("", gettext("anybody")), *((user, user) for user in users)]
            else:
                del self.fields[name]

        if not reads_texts:
            del self.fields["says"], self.fields["beside_says"]

    def _fields(self, name: str) -> forms.ChoiceField:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        return field

    @property
    def asked(self) -> dict[str, Any]:
        """Return what `training.services.playground.start` is given, of a valid form."""
        given = self.cleaned_data
        return {
            **given,
            "policy": self.versions[given["policy"]],
            "beside": self.versions.get(given["beside"]),
        }
