"""What a person says of the answers they like: their own words, which nobody else can change."""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext as _

from annotation.errors import Invalid
from annotation.models import User
from annotation.services import events
from annotation.storable import unstorable

MOST = 1000  # characters


@transaction.atomic
def set_text(*, user: User, text: str) -> None:
    """Store what a person says of the answers they like, or nothing with an empty text; raises `Invalid`."""
    text = text.replace("\r\n", "\n").strip()
    if reason := unstorable(text):
        raise Invalid(reason, {"text": [reason]})
    if len(text) > MOST:
        reason = _("A text here has up to {n} characters.").format(n=MOST)
        raise Invalid(reason, {"text": [reason]})
    if text == user.profile_text:
        return
    user.profile_text = text
    user.save(update_fields=["profile_text"])
    # Without the text, which the audit trail would keep for ever.
    events.record(campaign=None, actor=user, action="account.profile_text_changed", target=user.username)
