"""A lost password: the address that a link goes to, and the link.

Who asks is told the same whether somebody has that address or not, and as fast: the background looks, and sends.
"""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.forms import PasswordResetForm
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils import translation
from django.utils.translation import gettext as _

from annotation import counting
from annotation.errors import Invalid
from annotation.models import User
from annotation.services import events

# Asked for so often: from one address of the network, and for one of e-mail. More is answered alike, and does nothing.
WINDOW = 60 * 60
FROM_ADDRESS, FOR_EMAIL = 20, 3


@transaction.atomic
def set_email(*, user: User, email: str) -> None:
    """Store where links for a lost password go, or with an empty text nowhere; raises `Invalid`."""
    email = email.strip()
    if email:
        try:
            validate_email(email)
        except ValidationError as error:
            raise Invalid(_("This is no e-mail address."), {"email": list(error.messages)}) from None
    user.email = User.objects.normalize_email(email)
    user.save(update_fields=["email"])
    # Without the address, which is nobody's business but theirs.
    events.record(campaign=None, actor=user, action="account.email_changed", target=user.username)


def may_ask(email: str, *, address: str) -> bool:
    """Count one request, and return whether it is to be looked into."""
    from_here = counting.more(f"reset-from:{address}", window=WINDOW) <= FROM_ADDRESS
    for_it = counting.more(f"reset-for:{email.casefold()}", window=WINDOW) <= FOR_EMAIL
    return from_here and for_it


def send_links(*, email: str, host: str, secure: bool, language: str) -> int:
    """Send a link to everybody with this address who has a password, by Django's own form; return to how many.

    `host` is that of the page that asked, which `ALLOWED_HOSTS` has checked. The link is good once, for
    `PASSWORD_RESET_TIMEOUT` seconds.
    """
    form = PasswordResetForm({"email": email})
    if not form.is_valid():
        return 0
    found = list(form.get_users(form.cleaned_data["email"]))
    with translation.override(language):
        form.save(
            domain_override=host,
            use_https=secure,
            from_email=settings.DEFAULT_FROM_EMAIL,
            subject_template_name="account/reset_subject.txt",
            email_template_name="account/reset_email.txt",
        )
    return len(found)
