"""A person's own data: what there is, what it went into, all of it as a file, and erasing it."""

from __future__ import annotations

import tempfile
from typing import Any

from django.contrib.auth import logout
from django.http import FileResponse, Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from annotation import personal_data
from annotation.errors import AnnotationError
from annotation.models import User
from annotation.services import erasure
from frontend.decorators import signed_in
from frontend.http import SignedInRequest, say
from training.services import withdrawals

# What a person calls the rows of a table; one that an app brings later goes by its own name.
TABLES = {
    "account": _("Your account"),
    "annotation.assignment.user": _("Items you were given"),
    "annotation.campaign.created_by": _("Campaigns you made"),
    "annotation.event.actor": _("What you changed"),
    "annotation.feedback.user": _("Your judgements"),
    "annotation.identity.user": _("Accounts elsewhere that you sign in with"),
    "annotation.membership.user": _("Your places in campaigns"),
    "annotation.trial.user": _("Your practice and tests"),
    "admin.logentry.user": _("What you did as an administrator"),
    "knox.authtoken.user": _("Your tokens"),
    "otp_static.staticdevice.user": _("Your recovery codes"),
    "otp_totp.totpdevice.user": _("Your second factor"),
    "training.chat.user": _("Your chats"),
}


def _person(request: SignedInRequest, pseudonym: str) -> User:
    """Return whose data it is: one's own, or for an admin anybody's; Http404 for everybody else's."""
    if pseudonym in ("", request.user.pseudonym):
        return request.user
    found = User.objects.filter(pseudonym=pseudonym).first() if request.user.is_superuser else None
    if found is None:
        raise Http404(gettext("There is no such person."))
    return found


@signed_in
@never_cache
@require_http_methods(["GET", "POST"])
def personal(request: SignedInRequest, pseudonym: str = "") -> HttpResponse:
    """Return what is stored about a person and where it went; POST erases it, with the username typed to confirm."""
    person = _person(request, pseudonym)
    error = ""
    if request.method == "POST":
        own = person.pk == request.user.pk
        try:
            erasure.erase(person=person, actor=request.user, confirmation=request.POST.get("confirmation", ""))
        except AnnotationError as refused:
            error = str(refused)
        else:
            if own:
                logout(request)
            say(request, gettext("The data was erased."))
            return redirect("login" if own else "home")
    uses = withdrawals.uses(person.pseudonym)
    context: dict[str, Any] = {
        "person": person,
        "own": person.pk == request.user.pk,
        "tables": [(rows.name, TABLES.get(rows.name, ""), rows.found.count()) for rows in personal_data.of(person)],
        "uses": uses,
        "error": error,
    }
    return render(request, "account/personal.html", context, status=422 if error else 200)


@signed_in
@never_cache
@require_GET
def personal_file(request: SignedInRequest, pseudonym: str = "") -> HttpResponseBase:
    """Return all that is stored about a person as a ZIP archive of JSON Lines."""
    person = _person(request, pseudonym)
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the response
    personal_data.pack(person, file)
    file.seek(0)
    return FileResponse(file, as_attachment=True, filename=f"{person.pseudonym}.zip", content_type="application/zip")
