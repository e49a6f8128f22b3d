"""The second factor: six digits from an app on the person's phone (TOTP), or one of ten recovery codes."""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext as _
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from annotation.errors import Invalid
from annotation.models import User
from annotation.services import events

CODES = 10


def is_on(user: User) -> bool:
    """Return whether this person needs more than a password."""
    return TOTPDevice.objects.filter(user=user, confirmed=True).exists()


@transaction.atomic
def begin(*, user: User) -> TOTPDevice:
    """Return the key that the person's app is to take up; it counts for nothing until `confirm`."""
    if is_on(user):
        raise Invalid(_("The second factor is on already."))
    TOTPDevice.objects.filter(user=user, confirmed=False).delete()
    return TOTPDevice.objects.create(user=user, name="app", confirmed=False)


def begun(*, user: User) -> TOTPDevice | None:
    """Return the key that was given out and is not confirmed yet."""
    return TOTPDevice.objects.filter(user=user, confirmed=False).first()


@transaction.atomic
def confirm(*, user: User, digits: str) -> list[str]:
    """Turn it on when the app shows the right digits, and return the recovery codes, known only here and to the person.

    Raises `Invalid` for wrong digits.
    """
    device = begun(user=user)
    if device is None or not device.verify_token(digits):
        raise Invalid(_("These are not the digits; take those that the app shows now."))
    device.confirmed = True
    device.save()
    StaticDevice.objects.filter(user=user).delete()
    codes = StaticDevice.objects.create(user=user, name="codes")
    texts = [StaticToken.random_token() for _ in range(CODES)]
    StaticToken.objects.bulk_create([StaticToken(device=codes, token=text) for text in texts])
    events.record(campaign=None, actor=user, action="account.second_factor_on", target=user.username)
    return texts


def accepts(*, user: User, given: str) -> bool:
    """Return whether this is the person's second factor now; a recovery code is used up, digits count once.

    After a failure the next try has to wait, twice as long each time, whatever it is.
    """
    text = "".join(given.split())[:32]
    if not text.isascii():
        return False
    with transaction.atomic():
        totp = TOTPDevice.objects.select_for_update().filter(user=user, confirmed=True).first()
        if text.isdecimal():
            return totp is not None and bool(totp.verify_token(text))
        codes = StaticDevice.objects.select_for_update().filter(user=user, confirmed=True).first()
        return codes is not None and bool(codes.verify_token(text.lower()))


@transaction.atomic
def turn_off(*, user: User, password: str) -> None:
    """Make the password enough again; raises `Invalid` when it is not the right one."""
    if not user.check_password(password):
        raise Invalid(_("This is not your password."))
    TOTPDevice.objects.filter(user=user).delete()
    StaticDevice.objects.filter(user=user).delete()
    events.record(campaign=None, actor=user, action="account.second_factor_off", target=user.username)
