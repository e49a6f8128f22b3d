"""Two-factor sign-in: asking for it after the password, and turning it on and off."""

from __future__ import annotations

import base64
import time
from io import BytesIO
from typing import Any

from django.conf import settings
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods
from django_otp.plugins.otp_totp.models import TOTPDevice

from annotation import attempts
from annotation.errors import Invalid
from annotation.models import User
from annotation.services import second_factor
from frontend.decorators import signed_in
from frontend.http import SignedInRequest, complain, say

PENDING, PENDING_SECONDS = "second-step", 600


def ask_for_it(request: HttpRequest, user: User, then: str) -> HttpResponse:
    """Send somebody whose password was right on to the second step; they are not signed in yet."""
    request.session.cycle_key()
    request.session[PENDING] = {"user": user.pk, "at": time.time(), "then": then, "hash": user.get_session_auth_hash()}
    return redirect("second-step")


@sensitive_post_parameters("given")
@never_cache
@require_http_methods(["GET", "POST"])
def second_step(request: HttpRequest) -> HttpResponse:
    """Return where the digits or a recovery code go; POST signs in when they are right."""
    pending: dict[str, Any] = request.session.get(PENDING) or {"user": None, "at": 0}
    user = User.objects.filter(pk=pending["user"], is_active=True).first()
    late = time.time() - pending["at"] > PENDING_SECONDS
    # A password that was changed meanwhile ends what was begun with the old one.
    if user is None or late or pending["hash"] != user.get_session_auth_hash():
        request.session.pop(PENDING, None)
        return redirect("login")
    error = ""
    if request.method == "POST":
        if attempts.is_locked(user.username, request):
            error = attempts.locked_message()
        elif second_factor.accepts(user=user, given=request.POST.get("given", "")):
            del request.session[PENDING]
            login(request, user, backend=settings.AUTHENTICATION_BACKENDS[0])
            return redirect(pending["then"])
        else:
            attempts.count_failure(None, {"username": user.username}, request)
            error = _("That was not right. Wait a moment, then take the digits that the app shows now.")
    return render(request, "account/second_step.html", {"error": error}, status=422 if error else 200)


@sensitive_post_parameters("password", "digits")
@signed_in
@never_cache
@require_http_methods(["GET", "POST"])
def settings_page(request: SignedInRequest) -> HttpResponse:
    """Return whether it is on; POST begins, confirms (its recovery codes are in this one answer) or turns it off."""
    action = request.POST.get("action") if request.method == "POST" else None
    context: dict[str, object] = {}
    try:
        if action == "begin":
            context = _to_take_up(second_factor.begin(user=request.user))
        elif action == "confirm":
            begun = second_factor.begun(user=request.user)
            try:
                codes = second_factor.confirm(user=request.user, digits=request.POST.get("digits", "")[:12])
                context = {"codes": codes}
            except Invalid as error:
                if begun is None:
                    raise
                # The app knows the key already: a slip of the finger costs no second scan.
                context = {**_to_take_up(begun), "error": f"{error}"}
        elif action == "off":
            second_factor.turn_off(user=request.user, password=request.POST.get("password", ""))
            say(request, _("The second factor is off."))
            return redirect("second-factor")
    except Invalid as error:
        complain(request, error)
        return redirect("second-factor")
    context["is_on"] = second_factor.is_on(request.user)
    return render(request, "account/second_factor.html", context, status=422 if "error" in context else 200)


def _to_take_up(device: TOTPDevice) -> dict[str, object]:
    return {"key": base64.b32encode(device.bin_key).decode(), "picture": _picture(device.config_url)}


def _picture(address: str) -> str:
    """Return a QR code as a data address; the libraries for it are loaded by who sets up a second factor."""
    import qrcode
    from qrcode.image.svg import SvgPathFillImage

    out = BytesIO()
    qrcode.make(address, image_factory=SvgPathFillImage).save(out)
    return "data:image/svg+xml;base64," + base64.b64encode(out.getvalue()).decode()
