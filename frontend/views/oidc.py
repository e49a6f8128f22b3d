"""Sign in at an identity provider by OpenID Connect; off unless the environment names one.

Authlib does the protocol: discovery, state, nonce, PKCE, and the check of the signed identity. It is loaded by the
first person who signs in so, and by nobody where no provider is named.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.conf import settings
from django.contrib.auth import login
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, resolve_url
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from annotation.errors import Invalid
from annotation.models import User
from annotation.services import identities
from frontend.http import complain, say

TIMEOUT_SECONDS = 10
NEXT = "oidc-next"


@lru_cache(maxsize=4)
def _client(issuer: str, client_id: str, client_secret: str, scopes: str) -> Any:
    from authlib.integrations.django_client import OAuth

    oauth = OAuth()
    oauth.register(
        name="oidc",
        client_id=client_id,
        client_secret=client_secret,
        server_metadata_url=f"{issuer.rstrip('/')}/.well-known/openid-configuration",
        client_kwargs={"scope": scopes, "code_challenge_method": "S256", "default_timeout": TIMEOUT_SECONDS},
    )
    return oauth.oidc


def _provider() -> Any:
    known = settings.ATTUNE_OIDC
    if not known["issuer"]:
        raise Http404
    return _client(known["issuer"], known["client_id"], known["client_secret"], known["scopes"])


@never_cache
@require_GET
def start(request: HttpRequest) -> HttpResponseBase:
    """Send the person to the provider; who is signed in already connects their account to it."""
    provider = _provider()
    request.session[NEXT] = request.GET.get("next", "")
    try:
        return provider.authorize_redirect(request, request.build_absolute_uri(reverse("oidc-callback")))
    except OSError:  # errors of requests are some
        complain(request, Invalid(_("The identity provider does not answer; try again, or sign in with a password.")))
        return redirect("login")


@never_cache
@require_GET
def callback(request: HttpRequest) -> HttpResponseBase:
    """Take what the provider says, once its signature, its issuer, its audience and the nonce are right."""
    provider = _provider()
    from authlib.common.errors import AuthlibBaseError
    from joserfc.errors import JoseError

    signed_in = request.user if isinstance(request.user, User) else None
    try:
        claims = provider.authorize_access_token(request).get("userinfo") or {}
        if not claims.get("sub"):
            raise ValueError("no identity")
        user = identities.account_for(claims=claims, user=signed_in, may_create=settings.ATTUNE_OIDC["creates"])
    except Invalid as error:
        complain(request, error)
        return redirect("profile" if signed_in else "login")
    except (AuthlibBaseError, JoseError, OSError, ValueError, KeyError, RuntimeError):
        complain(request, Invalid(_("Signing in there did not work; try again.")))
        return redirect("profile" if signed_in else "login")
    wanted = request.session.pop(NEXT, "")
    if signed_in is not None:
        say(request, _("Your account is connected."))
        return redirect("profile")
    login(request, user, backend=settings.AUTHENTICATION_BACKENDS[0])
    safe = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    return HttpResponseRedirect(wanted if safe else resolve_url(settings.LOGIN_REDIRECT_URL))
