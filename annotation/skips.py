"""Why people hand an item back without judging it: the reasons they choose from."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from annotation.feedback import kind
from annotation.models import Campaign

USUAL: dict[str, Promise] = {
    "unclear": gettext_lazy("I cannot tell what is asked"),
    "no_expertise": gettext_lazy("I do not know enough about this"),
    "harmful": gettext_lazy("I do not want to read this"),
    "broken": gettext_lazy("Something is broken or missing"),
    "other": gettext_lazy("Something else"),
}
# Said before any rating, where a campaign asks for them: the item is none for it. HelpSteer2 was collected with these
# (Z. Wang et al., 2024).
BEFORE_RATING: dict[str, Promise] = {
    "personal_data": gettext_lazy("It has personal data in it"),
    "other_language": gettext_lazy("Much of it is in another language"),
    "needs_coding": gettext_lazy("It needs real programming"),
    "about_assistant": gettext_lazy("It asks about the assistant itself"),
}
SKIP_REASONS = {**USUAL, **BEFORE_RATING}


def offered(campaign: Campaign) -> list[tuple[str, Promise]]:
    """Return the reasons that a campaign offers, with their words; what comes beside the usual ones stands last."""
    return list((SKIP_REASONS if kind(campaign.kind).more_skips(campaign.options) else USUAL).items())
