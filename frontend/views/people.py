"""Who works in a campaign: adding, removing, what they can do, and making an account for somebody who has none."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from annotation import routing
from annotation.access import Action
from annotation.errors import AnnotationError, Invalid
from annotation.models import Campaign, Membership, Role
from annotation.services import members, people
from frontend.decorators import campaign_page
from frontend.forms.campaigns import MemberForm, NewPersonForm
from frontend.http import SignedInRequest, complain, say
from frontend.lead_pages import campaign_page_of

# What each role may do, in the words of the table's second column.
MAY = {
    Role.ANNOTATOR: _("judges items"),
    Role.REVIEWER: _("sees all judgements of an item, and decides"),
    Role.LEAD: _("everything, and judges too"),
    Role.ENGINEER: _("imports, exports, starts runs"),
    Role.RED_TEAM: _("attacks policies to measure them"),
}


@campaign_page(Action.PEOPLE)
@never_cache
@require_http_methods(["GET", "POST"])
def campaign_people(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return the people of the campaign; POST adds, changes or removes one, or makes an account."""
    action = request.POST.get("action") if request.method == "POST" else None
    member = MemberForm(request.POST if action == "add" else None)
    person = NewPersonForm(request.POST if action == "create" else None, prefix="new")
    if action == "add" and member.is_valid():
        try:
            added = members.add(campaign=campaign, actor=request.user, **member.cleaned_data)
        except AnnotationError as error:
            _take_errors(member, error)
        else:
            text = gettext("{username} was added. Role: {role}.")
            say(request, text.format(username=added.user.username, role=added.get_role_display()))
            return redirect("campaign-people", campaign.pk)
    elif action == "remove":
        _remove(request, campaign)
        return redirect("campaign-people", campaign.pk)
    elif action == "skills":
        _set_skills(request, campaign)
        return redirect("campaign-people", campaign.pk)
    elif action in ("hold-back", "let-go-on"):
        _hold_back(request, campaign, held_back=action == "hold-back")
        return redirect("campaign-people", campaign.pk)
    elif action == "create" and person.is_valid():
        try:
            account = people.create_annotator(
                campaign=campaign, username=person.cleaned_data["username"], actor=request.user
            )
        except AnnotationError as error:
            _take_errors(person, error)
        else:
            # No redirect: the password is in this one answer and nowhere else.
            return _people_page(request, campaign, MemberForm(), NewPersonForm(prefix="new"), account=account)
    status = 422 if member.errors or person.errors else 200
    return _people_page(request, campaign, member, person, status=status)


def _people_page(
    request: SignedInRequest,
    campaign: Campaign,
    member: MemberForm,
    person: NewPersonForm,
    *,
    account: people.NewAccount | None = None,
    status: int = 200,
) -> HttpResponse:
    members = Membership.objects.filter(campaign=campaign).select_related("user").order_by("user__username", "role")
    context: dict[str, Any] = {
        "members": [(one, MAY[Role(one.role)]) for one in members],
        "skills": routing.names(campaign.tags, -1, routing.NEEDS),
        "member": member,
        "person": person,
        "account": account,
        "lead": True,
    }
    return campaign_page_of(request, campaign, "campaigns/people.html", context, tab="campaign-people", status=status)


def _remove(request: SignedInRequest, campaign: Campaign) -> None:
    username, role = request.POST.get("username", ""), request.POST.get("role", "")
    try:
        members.remove(campaign=campaign, username=username, role=role or None, actor=request.user)
    except AnnotationError as error:
        complain(request, error)
    else:
        text = gettext("{username} was removed. Their judgements stay, and what they held went back to the queue.")
        say(request, text.format(username=username))


def _hold_back(request: SignedInRequest, campaign: Campaign, *, held_back: bool) -> None:
    username = request.POST.get("username", "")
    try:
        members.hold_back(campaign=campaign, username=username, held_back=held_back, actor=request.user)
    except AnnotationError as error:
        complain(request, error)
    else:
        text = gettext("{username} may judge again.")
        if held_back:
            text = gettext("{username} is given nothing more for now. What they held went back to the queue.")
        say(request, text.format(username=username))


def _set_skills(request: SignedInRequest, campaign: Campaign) -> None:
    username, typed = request.POST.get("username", ""), request.POST.get("skills", "")
    try:
        skills = people.set_skills(campaign=campaign, username=username, skills=typed, actor=request.user)
    except AnnotationError as error:
        complain(request, error)
    else:
        text = (
            gettext("{username} can do: {skills}.") if skills else gettext("{username} gets items that need no skill.")
        )
        say(request, text.format(username=username, skills=", ".join(skills)))


def _take_errors(form: MemberForm | NewPersonForm, error: AnnotationError) -> None:
    errors = error.errors if isinstance(error, Invalid) and error.errors else {"": [str(error)]}
    for name, texts in errors.items():
        for text in texts:
            form.add_error(name if name in form.fields else None, text)
