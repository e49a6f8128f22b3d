"""Sign in, sign out, and the person's own page: pseudonym, API tokens, theme."""

from __future__ import annotations

from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods
from knox.models import AuthToken

from frontend.decorators import signed_in
from frontend.http import SignedInRequest, say

# More live tokens than anyone needs; a script that leaks them is stopped here.
MOST_TOKENS = 20

sign_in = LoginView.as_view(template_name="account/login.html", redirect_authenticated_user=True)
sign_out = LogoutView.as_view()


@signed_in
@never_cache
@require_http_methods(["GET", "POST"])
def profile(request: SignedInRequest) -> HttpResponse:
    """Return the profile; POST makes a token (shown in this one answer and never again) or revokes one."""
    made = None
    status = 200
    error = ""
    tokens = AuthToken.objects.filter(user=request.user).order_by("-created")
    if request.method == "POST" and request.POST.get("action") == "revoke":
        revoked, _by_model = tokens.filter(digest=request.POST.get("digest", "")).delete()
        say(request, _("The token was revoked.") if revoked else _("That token had been revoked already."))
        return redirect("profile")
    if request.method == "POST":
        if tokens.count() >= MOST_TOKENS:
            text = ngettext(
                "You have {n} token. Revoke one that is not in use before making another.",
                "You have {n} tokens. Revoke one that is not in use before making another.",
                MOST_TOKENS,
            )
            error, status = text.format(n=MOST_TOKENS), 422
        else:
            _token, made = AuthToken.objects.create(user=request.user)
    context = {"tokens": tokens, "made": made, "error": error, "campaigns": _roles(request)}
    return render(request, "account/profile.html", context, status=status)


def _roles(request: SignedInRequest) -> list[tuple[str, list[str]]]:
    """Return each campaign's name with the person's roles in it."""
    roles: dict[str, list[str]] = {}
    for membership in request.user.memberships.select_related("campaign").order_by("campaign__name", "role"):
        roles.setdefault(membership.campaign.name, []).append(membership.get_role_display())
    return list(roles.items())
