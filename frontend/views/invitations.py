"""Invitations: made and revoked by a lead, taken by whoever has the link."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth import login
from django.core.mail import send_mail
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from annotation.access import Action
from annotation.errors import AnnotationError, Invalid
from annotation.models import Campaign, Invitation, User
from annotation.services import invitations
from frontend.decorators import campaign_page
from frontend.forms.invitations import InvitationForm, JoinForm
from frontend.http import SignedInRequest, complain, say
from frontend.lead_pages import campaign_page_of

SHOWN = 50


@campaign_page(Action.PEOPLE)
@never_cache
@require_http_methods(["GET", "POST"])
def campaign_invitations(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return the campaign's invitations; POST makes one (its link is in this one answer) or revokes one."""
    action = request.POST.get("action") if request.method == "POST" else None
    if action == "revoke":
        number = request.POST.get("invitation", "")
        known = number.isascii() and number.isdecimal() and len(number) < 19
        if known and invitations.revoke(campaign=campaign, invitation_id=int(number), actor=request.user):
            say(request, _("The invitation was revoked."))
        return redirect("campaign-invitations", campaign.pk)
    form = InvitationForm(request.POST if action == "make" else None, can_send=settings.ATTUNE_SENDS_MAIL)
    link = ""
    if action == "make" and form.is_valid():
        made = invitations.invite(campaign=campaign, actor=request.user, **form.cleaned_data)
        link = request.build_absolute_uri(reverse("invitation", args=[made.secret]))
        if made.invitation.email:
            _send(request, made.invitation, link)
        form = InvitationForm(can_send=settings.ATTUNE_SENDS_MAIL)
    context = {
        "invitations": Invitation.objects.filter(campaign=campaign).order_by("-id")[:SHOWN],
        "form": form,
        "link": link,
        "lead": True,
    }
    status = 422 if form.errors else 200
    template = "campaigns/invitations.html"
    return campaign_page_of(request, campaign, template, context, tab="campaign-people", status=status)


def _send(request: HttpRequest, invitation: Invitation, link: str) -> None:
    subject = _("Invitation to {campaign}").format(campaign=" ".join(invitation.campaign.name.split()))
    body = _("You are invited to judge answers in {campaign}. Open this link:\n\n{link}")
    try:
        send_mail(subject, body.format(campaign=invitation.campaign.name, link=link), None, [invitation.email])
    except OSError:
        complain(request, Invalid(_("The e-mail could not be sent; hand the link over yourself.")))
    else:
        say(request, _("The link was sent to {email}.").format(email=invitation.email))


@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "POST"])
def join(request: HttpRequest, secret: str) -> HttpResponse:
    """Return what the link is for; POST takes it, with the account one is signed in with or a new one.

    404 for a link that never was, has ended or is used up: nobody learns which.
    """
    invitation = invitations.find(secret)
    if invitation is None:
        raise Http404
    signed_in = isinstance(request.user, User)
    form = JoinForm(request.POST if request.method == "POST" and not signed_in else None)
    if request.method == "POST":
        try:
            if isinstance(request.user, User):
                invitations.accept(secret=secret, user=request.user)
                return redirect("home")
            if form.is_valid():
                user = invitations.accept_with_new_account(secret=secret, **form.cleaned_data)
                login(request, user, backend=settings.AUTHENTICATION_BACKENDS[0])
                return redirect("home")
        except AnnotationError as error:
            errors = error.errors if isinstance(error, Invalid) and error.errors else {"": [str(error)]}
            for name, texts in errors.items():
                for text in texts:
                    form.add_error(name or None, text)
    context = {"invitation": invitation, "form": form, "here": request.path}
    return render(request, "account/join.html", context, status=422 if form.errors else 200)
