"""The work screen as a campaign's options make it, shown beside its form before anything is saved."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from annotation.dialogues import EACH_TURN, scope_of
from annotation.feedback import shown_images
from annotation.permissions import may_create, turn_away
from frontend.decorators import signed_in
from frontend.forms.campaigns import CampaignForm
from frontend.http import SignedInRequest
from frontend.views.campaigns import led_by

# An item that shows what the options do: short enough to be seen beside the form, long enough to look like work.
EXAMPLE: dict[str, Any] = {
    "prompt": {"role": "user", "content": "My bread never rises properly. What am I doing wrong?"},
    "answers": [
        {
            "letter": "A",
            "text": "Most often it is the yeast. Check three things:\n\n1. **Is it alive?** Stir it into warm water "
            "with a little sugar; it should foam within ten minutes.\n2. **Is the room warm?** Around 25 °C, dough "
            "doubles in about an hour.\n3. **Is there too much salt?** More than 2 % of the flour slows it down.",
        },
        {"letter": "B", "text": "Use more yeast, and let it rise for longer."},
    ],
}
# What is asked about images is shown as for an item whose prompt has one.
PICTURED = {
    "messages": [{"role": "user", "content": [{"type": "image", "image": "", "width": 4, "height": 3, "alt": ""}]}],
    "completions": [],
}


@signed_in
@require_POST
def campaign_preview(request: SignedInRequest) -> HttpResponse:
    """Return the work screen as the form's current options make it; nothing is saved."""
    if not (may_create(request.user) or led_by(request.user).exists()):
        turn_away(request.user, _("These pages are for leads and engineers."))
    form = CampaignForm(request.POST, kind_name=request.POST.get("kind", "pairwise"))
    return render(request, "campaigns/_preview.html", preview_context(form))


def preview_context(form: CampaignForm) -> dict[str, Any]:
    """Return what the preview needs: the kind's own template, an example item, and the options so far."""
    if form.is_bound:
        options = form.options_so_far()
    else:
        initial = {name: form[form.OPTION + name].initial for name in form.option_names}
        options = form.kind.clean_options(initial)
    # Compared are two answers; what judges one at a time is shown with one, and with two turns where each is judged.
    scope = scope_of(options)
    shown = 2 if scope == EACH_TURN else max(form.kind.completions[0], 1)
    asked = options if scope == EACH_TURN else shown_images.for_item(options, PICTURED)
    inputs = form.kind.context(options=asked, shown_order=list(range(shown)))
    return {
        "kind": form.kind,
        "example": {**EXAMPLE, "answers": EXAMPLE["answers"][:shown]},
        "scope": scope,
        "template": "feedback/turns.html" if "turns" in inputs else form.kind.template,
        "inputs": inputs,
        "preview_guideline": form["guideline"].value() or "",
    }
