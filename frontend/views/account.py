"""Sign in, sign out, and the person's own page: pseudonym, API tokens, theme."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView, PasswordChangeView
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from annotation import attempts
from annotation.errors import Invalid
from annotation.models import TokenGrant, User
from annotation.services import passwords, profile_text, second_factor, tokens
from frontend.decorators import signed_in
from frontend.forms.texts import LinesField
from frontend.forms.tokens import TokenForm
from frontend.http import SignedInRequest, say
from frontend.views.second_factor import ask_for_it
from training.services import profiles


def provider_name() -> str:
    """Return what people know their identity provider as; nothing when there is none."""
    return settings.ATTUNE_OIDC["name"] if settings.ATTUNE_OIDC["issuer"] else ""


class SignInForm(AuthenticationForm):
    """Says when the door is locked, which Django's own form would call a wrong password."""

    def clean(self) -> dict[str, Any]:
        if attempts.is_locked(self.cleaned_data.get("username", ""), self.request):
            raise ValidationError(attempts.locked_message(), code="locked")
        return super().clean()


class EmailForm(forms.Form):
    """Where a link for a lost password goes. Asks for the password, as whoever has the address can set another one."""

    email = forms.EmailField(label=gettext_lazy("E-mail address"), required=False, max_length=254)
    current = forms.CharField(
        label=gettext_lazy("Your password"), widget=forms.PasswordInput({"autocomplete": "current-password"})
    )

    def __init__(self, user: User, data: Any = None) -> None:
        super().__init__(data, initial={"email": user.email}, prefix="email")
        self._user = user

    def clean_current(self) -> str:
        if not self._user.check_password(self.cleaned_data["current"]):
            raise ValidationError(_("That is not your password."))
        return ""


class ProfileTextForm(forms.Form):
    """What the person likes in answers, in their own words."""

    text = LinesField(
        label=gettext_lazy("In your own words"),
        required=False,
        max_length=profile_text.MOST,
        widget=forms.Textarea({"rows": 4}),
    )


class SignIn(LoginView):
    template_name = "account/login.html"
    redirect_authenticated_user = True
    authentication_form = SignInForm

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        user = form.get_user()
        if second_factor.is_on(user):
            return ask_for_it(self.request, user, self.get_success_url())
        return super().form_valid(form)

    def get_context_data(self, **more: Any) -> dict[str, Any]:
        return super().get_context_data(**more, oidc=provider_name())


sign_in = SignIn.as_view()
sign_out = LogoutView.as_view()
# Ends the person's other sessions; the one it is changed in goes on.
change_password = signed_in(
    PasswordChangeView.as_view(template_name="account/password.html", success_url=reverse_lazy("profile"))
)


@signed_in
@never_cache
@require_http_methods(["GET", "POST"])
def profile(request: SignedInRequest) -> HttpResponse:
    """Return the profile; POST makes a token (shown in this one answer and never again) or revokes one."""
    made = None
    action = request.POST.get("action") if request.method == "POST" else None
    if action == "revoke":
        grant = request.POST.get("grant", "")
        revoked = _is_id(grant) and tokens.revoke(user=request.user, grant_id=int(grant))
        say(request, _("The token was revoked.") if revoked else _("That token had been revoked already."))
        return redirect("profile")
    email_form = EmailForm(request.user, request.POST if action == "email" else None)
    if action == "email" and email_form.is_valid():
        passwords.set_email(user=request.user, email=email_form.cleaned_data["email"])
        say(request, _("Your e-mail address was changed."))
        return redirect("profile")
    text_form = ProfileTextForm(
        request.POST if action == "text" else None, initial={"text": request.user.profile_text}, prefix="profile"
    )
    if action == "text" and text_form.is_valid():
        try:
            profile_text.set_text(user=request.user, text=text_form.cleaned_data["text"])
        except Invalid as error:
            text_form.add_error("text", str(error))
        else:
            say(request, _("What you say of the answers you like was saved."))
            return redirect("profile")
    form = TokenForm(request.POST if action == "make" else None)
    if action == "make" and form.is_valid():
        try:
            made = tokens.make(user=request.user, **form.cleaned_data)
        except Invalid as error:
            form.add_error(None, str(error))
        else:
            form = TokenForm()
    grants = TokenGrant.objects.filter(token__user=request.user).select_related("token").order_by("-id")
    context = {
        "grants": grants,
        "made": made,
        "token_form": form,
        "email_form": email_form,
        "text_form": text_form,
        "read_in": profiles.asking(request.user),
        "campaigns": _roles(request),
        "oidc": provider_name(),
        "identities": request.user.identities.count() if provider_name() else 0,
    }
    refused = form.errors or email_form.errors or text_form.errors
    return render(request, "account/profile.html", context, status=422 if refused else 200)


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 19


def _roles(request: SignedInRequest) -> list[tuple[str, list[str]]]:
    """Return each campaign's name with the person's roles in it."""
    roles: dict[str, list[str]] = {}
    for membership in request.user.memberships.select_related("campaign").order_by("campaign__name", "role"):
        roles.setdefault(membership.campaign.name, []).append(membership.get_role_display())
    return list(roles.items())
