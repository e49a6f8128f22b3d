"""A lost password: ask for a link by e-mail, follow it, choose another one. Django's own views, one step each."""

from __future__ import annotations

import logging
from typing import Any

from django.contrib.auth.forms import PasswordResetForm
from django.contrib.auth.views import PasswordResetConfirmView, PasswordResetView
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse_lazy
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from kombu.exceptions import OperationalError

from annotation.attempts import address_of
from annotation.models import User
from annotation.services import events, passwords
from annotation.tasks import send_password_links
from frontend.http import say

log = logging.getLogger(__name__)


class Ask(PasswordResetView):
    template_name = "account/reset.html"

    def form_valid(self, form: PasswordResetForm) -> HttpResponse:
        """Hand the request on and say the same to everybody."""
        email = form.cleaned_data["email"]
        if passwords.may_ask(email, address=address_of(self.request)):
            asked = (email, self.request.get_host(), self.request.is_secure(), get_language() or "en")
            try:
                send_password_links.delay(*asked)
            except OperationalError as error:  # who asks is told the same, and may ask again
                log.error("The broker cannot be reached (%s); no link for a lost password is sent.", error)
        return render(self.request, "account/reset_sent.html", {"email": email})


class Choose(PasswordResetConfirmView):
    """Signs nobody in: whoever has a second factor is asked for it as ever, and all sessions there were are over."""

    template_name = "account/reset_choose.html"
    success_url = reverse_lazy("login")

    def form_valid(self, form: Any) -> HttpResponse:
        user: User = form.user
        response = super().form_valid(form)
        events.record(campaign=None, actor=user, action="account.password_reset", target=user.username)
        say(self.request, _("The password is changed. Sign in with it."))
        return response


ask = Ask.as_view()
choose = Choose.as_view()
