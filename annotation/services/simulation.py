"""People who are not there: accounts for simulated annotators, marked as such for ever."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone
from knox.models import AuthToken

from annotation.models import Campaign, Membership, Role, User


@transaction.atomic
def enlist(*, campaign: Campaign, name: str, role: Role) -> str:
    """Return a new token of the simulated person `name`, who is made and given `role` in `campaign` if need be.

    Nobody can sign in as one: there is no password. Earlier tokens of this person stop working, so that a simulation
    that was killed does not go on beside its successor.
    """
    user, created = User.objects.get_or_create(username=name, defaults={"is_simulated": True})
    if created:
        user.set_unusable_password()
        user.save(update_fields=["password"])
    elif not user.is_simulated:
        raise ValueError(f"{name} is the account of a real person; choose another --prefix.")
    # What they read cannot upset them, so they need not be asked.
    Membership.objects.update_or_create(user=user, campaign=campaign, role=role, defaults={"agreed_at": timezone.now()})
    AuthToken.objects.filter(user=user).delete()
    _, secret = AuthToken.objects.create(user=user)
    return secret
