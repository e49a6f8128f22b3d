"""The documents of a campaign that its guard quotes: who owns them, their versions, and what the guard in use has."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from annotation.access import Action
from annotation.models import Campaign
from annotation.permissions import campaign_for, may
from annotation.storable import unstorable
from frontend.decorators import campaign_page
from frontend.http import SignedInRequest, say
from frontend.lead_pages import campaign_page_of
from training.errors import Invalid
from training.models import KnowledgeDocument
from training.services import knowledge

MOST_VERSIONS = 20  # on the page, and an older one that is asked for; REST has them all


@campaign_page(Action.READ)
@require_http_methods(["GET", "POST"])
def documents(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return the page, with one document opened by ``?document=NAME``, and one of its versions by ``&version=NUMBER``.

    POST does what its button says.

    The buttons are save, remove, use (have the guard in use answer from what is here) and take (the guard's own).
    """
    errors: list[str] = []
    if request.method == "POST":
        campaign_for(request.user, campaign.pk, Action.STEER)
        try:
            return _done(request, campaign)
        except Invalid as error:
            errors = [text for texts in error.errors.values() for text in texts] or [str(error)]
    name = request.POST.get("document", request.GET.get("document", "")).strip()
    known = name and not unstorable(name)
    history = knowledge.history(campaign, name)
    versions = list(history[:MOST_VERSIONS]) if known else []
    if name and not versions and not errors:
        raise Http404(gettext("There is no document called {name}.").format(name=name))
    given = request.GET.get("version", "")
    asked = int(given) if _is_number(given) else 0
    if versions and asked and asked not in {one.number for one in versions}:
        older = history.filter(number=asked).first() if asked < versions[-1].number else None
        if older is None:
            raise Http404(gettext("{name} has no version {number}.").format(name=name, number=asked))
        versions.append(older)
    newest = versions[0] if versions else None
    owners = {str(one.pk): one.username for one in knowledge.owners(campaign)}
    # Who has left the campaign owns it until somebody else does, and is not replaced by the first of the list.
    kept = newest.owner if newest is not None and newest.owner is not None else request.user
    sent = {field: request.POST.get(field, "") for field in ("text", "note", "owner")} if errors else {}
    context = {
        "documents": knowledge.documents(campaign).defer("text"),
        "standing": knowledge.standing(campaign),
        "any": KnowledgeDocument.objects.filter(campaign=campaign).exists(),
        "name": name,
        "newest": newest,
        "versions": versions,
        "asked": asked,
        "seen": newest.number if newest is not None and not newest.removed else 0,
        "text": sent.get("text", newest.text if newest is not None else ""),
        "note": sent.get("note", ""),
        "owner": sent.get("owner", str(kept.pk)),
        "owners": list({**owners, str(kept.pk): kept.username}.items()),
        "removed": knowledge.removed(campaign),
        "older": newest.number - len(versions) if newest is not None else 0,
        "errors": errors,
        "may_edit": may(request.user, campaign, Action.STEER),
    }
    status = 422 if errors else 200
    return campaign_page_of(request, campaign, "guards/knowledge.html", context, tab="models", status=status)


def _done(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Do what was asked, tell of it and go back to the page; Invalid where it does not fit."""
    sent, actor = request.POST, request.user
    action, name = sent.get("action", "save"), sent.get("document", "")
    seen, note = sent.get("seen", "0"), sent.get("note", "")
    if action == "take":
        taken = knowledge.take_over(campaign=campaign, actor=actor)
        say(request, gettext("Documents that are here now: {n}.").format(n=len(taken)))
    elif action == "use":
        version = knowledge.put_to_use(campaign=campaign, actor=actor)
        say(request, gettext("{version} is in use and answers from these documents.").format(version=version.label))
    else:
        known: dict[str, Any] = {"campaign": campaign, "actor": actor, "name": name, "note": note}
        known["seen"] = int(seen) if seen.isdecimal() and len(seen) < 9 else 0
        if action == "remove":
            made = knowledge.remove(**known)
            say(request, gettext("{document} is removed. Its versions stay here.").format(document=made.name))
        else:
            owner = sent.get("owner", "")
            chosen = knowledge.owners(campaign).filter(pk=int(owner)).first() if _is_number(owner) else None
            made = knowledge.write(**known, text=sent.get("text", ""), owner=chosen)
            say(request, gettext("{document} is saved.").format(document=made))
        return redirect(f"{reverse('knowledge', args=[campaign.pk])}?{urlencode({'document': made.name})}")
    return redirect("knowledge", campaign.pk)


def _is_number(given: str) -> bool:
    return given.isascii() and given.isdecimal() and len(given) < 18
