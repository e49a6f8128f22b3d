"""What a new campaign may begin with: the built-in templates by what people do, each with its facts and its screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotation.campaign_templates import CampaignTemplate, templates
from annotation.dialogues import EACH_TURN, scope_of
from annotation.feedback import KINDS, FeedbackType
from frontend.forms.campaigns import CampaignForm, initial_from
from frontend.http import SignedInRequest, page
from frontend.views.campaign_preview import preview_context

GROUPS: tuple[tuple[Promise | str, tuple[str, ...]], ...] = (
    (gettext_lazy("Compare answers"), ("pairwise", "ranking")),
    (gettext_lazy("Judge safety"), ("safety", "dual")),
    (gettext_lazy("Rate and check"), ("ratings", "principles")),
    (gettext_lazy("Write"), ("critique", "principled_critique", "rewrite")),
)


@dataclass(frozen=True)
class Offered:
    """A template as a lead sees it among the others."""

    template: CampaignTemplate

    @property
    def kind(self) -> FeedbackType:
        return KINDS[self.template.settings["kind"]]

    @property
    def question(self) -> str:
        return str(self.kind.shown_options(self.template.settings["options"]).get("question", ""))

    @property
    def has_image(self) -> bool:
        """Whether it asks about an image of the prompt."""
        return any(self.template.settings["options"].get(name) for name in ("regions", "image_severity"))

    @property
    def is_dialogue(self) -> bool:
        return scope_of(self.template.settings["options"]) == EACH_TURN

    @property
    def needs(self) -> str:
        """Return what one item has to hold, in a few words."""
        if self.is_dialogue:
            return _("A dialogue; each turn of the assistant is judged")
        least, most = self.kind.completions
        prompt = _("An image with a question") if self.has_image else _("A prompt")
        if most == 1:
            return _("{prompt} and one answer").format(prompt=prompt)
        if least == most:
            return _("{prompt} and two answers").format(prompt=prompt)
        return _("{prompt} and {least} to {most} answers").format(prompt=prompt, least=least, most=most)


def choose(request: SignedInRequest) -> HttpResponse:
    """Return the page of all templates; for a script, facts and screen of the one that the query names."""
    offered = [Offered(one) for one in templates().values()]
    named = request.GET.get("template", "")
    chosen = next((one for one in offered if one.template.name == named), offered[0])
    settings = chosen.template.settings
    form = CampaignForm(None, kind_name=settings["kind"], options=settings["options"], initial=initial_from(settings))
    context: dict[str, Any] = {
        "chosen": chosen,
        "groups": [(title, [one for one in offered if one.kind.name in kinds]) for title, kinds in GROUPS],
        "kinds": KINDS.values(),
        **preview_context(form),
    }
    return page(request, "campaigns/choose.html", context, fragment="campaigns/_chosen.html")
