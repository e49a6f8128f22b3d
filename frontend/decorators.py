"""Doors in front of views: signed in, and allowed in the campaign the address names."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django.utils.translation import gettext as _

from annotation.access import Action
from annotation.models import Role
from annotation.permissions import campaign_for
from frontend import unsent
from frontend.http import came_from, wants_fragment

View = Callable[..., HttpResponseBase]


def signed_in(view: View) -> View:
    """Return `view` for people who are signed in; others are sent to the sign-in page and back.

    A script gets 401 instead of a redirect: following one would put the sign-in page where a fragment belongs.
    """

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated:
            return view(request, *args, **kwargs)
        if wants_fragment(request):
            response = HttpResponse(_("You have been signed out. Sign in again to go on."), status=401)
            response.headers["Cache-Control"] = "no-store"
            return response
        if texts := unsent.typed(request):
            return unsent.signed_out(request, texts)
        # What takes a POST alone is no address to come back to.
        back = request.get_full_path() if request.method == "GET" else came_from(request) or request.path
        return redirect_to_login(back, resolve_url("login"))

    return guarded


def campaign_page(*needs: Action | Role) -> Callable[[View], View]:
    """Return a decorator: sign in, then exchange `campaign_id` of the address for a `campaign` through the gate.

    Strangers get 404; members who may do none of `needs` (any role will do when none is given) get 403. Whoever typed
    something there, or where something else is gone by now, gets it back with the same status.
    """

    def decorate(view: View) -> View:
        @signed_in
        @wraps(view)
        def guarded(request: HttpRequest, campaign_id: int, *args: Any, **kwargs: Any) -> HttpResponseBase:
            try:
                return view(request, campaign_for(request.user, campaign_id, *needs), *args, **kwargs)
            except (Http404, PermissionDenied) as error:
                if not (texts := unsent.typed(request)):
                    raise
                return unsent.refused(request, texts, str(error), status=404 if isinstance(error, Http404) else 403)

        return guarded

    return decorate
