"""A model to carry away: its folder as a ZIP archive, and an adapter put into the weights of its base for that."""

from __future__ import annotations

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from annotation.access import Action
from frontend.decorators import signed_in
from frontend.http import SignedInRequest, complain, say
from training.api.folders import archive_of
from training.errors import TrainingError
from training.permissions import version_for
from training.services import model_folders


@signed_in
@require_GET
def download(request: SignedInRequest, version_id: int) -> HttpResponseBase:
    """Return the model with its card as a ZIP archive; ``?merged=1`` with its adapter in its weights.

    A policy that nobody attacked only with ``?confirmed=1``.
    """
    version = version_for(request.user, version_id, Action.EXPORT)
    merged = request.GET.get("merged") == "1"
    confirmed = request.GET.get("confirmed") == "1"
    try:
        return archive_of(version, merged=merged, actor=request.user, confirmed=confirmed)
    except TrainingError as error:
        complain(request, error)
        return redirect("model", version.pk)


@signed_in
@require_POST
def merge(request: SignedInRequest, version_id: int) -> HttpResponse:
    """Have a worker merge the adapter; the page offers the archive once it has."""
    version = version_for(request.user, version_id, Action.EXPORT)
    try:
        model_folders.order_merge(version=version)
    except TrainingError as error:
        complain(request, error)
    else:
        say(
            request,
            _("A worker merges the weights of {version} now. Look again in a minute.").format(version=version.label),
        )
    return redirect(f"{reverse('model', args=[version.pk])}#take-away")
