"""Setting up a campaign: the form of a new one, from a template, a copy or a file; and its settings."""

from __future__ import annotations

import json
from dataclasses import dataclass
from io import BytesIO
from typing import Any, cast

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotation.access import Action
from annotation.campaign_templates import templates
from annotation.errors import AnnotationError, Invalid
from annotation.feedback import KINDS, kind
from annotation.importing import uploads
from annotation.importing.handed_on import gold_count, gold_rows
from annotation.models import Campaign
from annotation.permissions import campaign_for, may_create, turn_away
from annotation.reach import out_of_reach
from annotation.services import batches, campaigns, overlap
from annotation.services.settings import settings_from, settings_of, whole_of
from frontend.decorators import campaign_page, signed_in
from frontend.forms.campaigns import CampaignForm, initial_from
from frontend.http import SignedInRequest, complain, page, say, wants_fragment
from frontend.lead_pages import campaign_page_of, sent
from frontend.views.campaign_preview import preview_context
from frontend.views.campaign_templates import choose

MAX_SETTINGS = 32_000_000  # gold may have images in it
GOLD_NAME = "gold.json"
# What the query of a new campaign can name: its form is filled from it.
BEGINNINGS = {"template", "kind", "like"}


@signed_in
@require_http_methods(["GET", "POST"])
def campaign_new(request: SignedInRequest) -> HttpResponse:
    """Return what a campaign may begin with, or the form of what the query names to begin with.

    POST creates a draft campaign with this person as its lead.
    """
    if not may_create(request.user):
        turn_away(request.user, _("Only leads and staff may start a campaign."))
    if request.method == "GET" and (wants_fragment(request) or not BEGINNINGS & request.GET.keys()):
        return choose(request)
    start = _start(request)
    # One that does not exist is passed over: the form of another kind would lose what was typed into this one's.
    named = (request.POST.get("kind"), start.settings.get("kind"), request.GET.get("kind"))
    form = CampaignForm(
        sent(request),
        kind_name=next((name for name in named if name in KINDS), "pairwise"),
        options=start.settings.get("options"),
        initial=initial_from(start.settings, name=start.name),
    )
    if request.method == "POST" and form.is_valid():
        values = _values(form)
        try:
            began_as = request.POST.get("began_as", "")[:200]
            campaign = campaigns.create(
                actor=request.user, kind=form.kind.name, began_as=began_as, gold=_gold_rows(request), **values
            )
        except AnnotationError as error:
            _take_errors(form, error)
        else:
            text = _("{campaign} is there, as a draft. Bring in what is to be judged.")
            say(request, text.format(campaign=campaign.name))
            return redirect("campaign-import", campaign.pk)
    status = 422 if form.errors else 200
    began_as = request.POST.get("began_as", start.began_as)
    return _new_page(request, form, began_as=began_as, gold=_gold_offered(request, start), status=status)


@signed_in
@require_POST
def campaign_from_file(request: SignedInRequest) -> HttpResponse:
    """Return the form of a new campaign, filled from a file of settings; nothing is stored before it is sent."""
    if not may_create(request.user):
        turn_away(request.user, _("Only leads and staff may start a campaign."))
    file = request.FILES.get("settings")
    try:
        if file is None:
            raise Invalid(_("Choose a file of settings first."))
        if file.size is None or file.size > MAX_SETTINGS:
            raise Invalid(_("This file is too large to be settings of a campaign."))
        settings = settings_from(file.read())
        gold = settings.get("gold") or []
        kind(settings.get("kind", "pairwise")).clean_options(settings.get("options", {}))
    except Invalid as error:
        complain(request, error)
        return redirect("campaign-new")
    form = CampaignForm(
        None,
        kind_name=settings.get("kind", "pairwise"),
        options=settings.get("options"),
        initial=initial_from(settings),
    )
    token = ""
    if gold:
        kept = BytesIO(json.dumps(gold).encode())
        token = uploads.keep(campaign=None, user=request.user, file=kept, name=GOLD_NAME)
    return _new_page(request, form, began_as=f"file {file.name}"[:200], gold=GoldOffer(len(gold), token=token))


@campaign_page(Action.READ)
@require_GET
def campaign_settings_file(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return the campaign's settings and gold as a file that makes another one."""
    text = json.dumps(whole_of(campaign), ensure_ascii=False, indent=2) + "\n"
    response = HttpResponse(text, content_type="application/json")
    response.headers["Content-Disposition"] = f'attachment; filename="campaign-{campaign.pk}.json"'
    return response


@dataclass(frozen=True)
class Start:
    """What the form of a new campaign is filled with."""

    settings: dict[str, Any]
    name: str = ""
    began_as: str = ""
    like: Campaign | None = None


@dataclass(frozen=True)
class GoldOffer:
    """Items with a right answer that may come along: out of a file that is kept, or of another campaign."""

    count: int = 0
    token: str = ""
    of: int | None = None
    wanted: bool = True


def _gold_offered(request: SignedInRequest, start: Start) -> GoldOffer:
    """Return what the form offers to take along; sent again, what was offered before."""
    if request.method == "POST":
        count = request.POST.get("gold_count", "")
        of = request.POST.get("gold_of", "")
        return GoldOffer(
            count=int(count) if count.isdecimal() and len(count) < 5 else 0,
            token=request.POST.get("gold_token", "")[:40],
            of=int(of) if of.isdecimal() and len(of) < 19 else None,
            wanted="with_gold" in request.POST,
        )
    return GoldOffer(gold_count(start.like), of=start.like.pk) if start.like else GoldOffer()


def _gold_rows(request: SignedInRequest) -> list[Any]:
    """Return the items with a right answer that the person who sent the form wants to take along."""
    if "with_gold" not in request.POST:
        return []
    offer = _gold_offered(request, Start({}))
    if offer.of is not None:
        return list(gold_rows(campaign_for(request.user, offer.of, Action.READ)))
    path = uploads.find(campaign=None, user=request.user, token=offer.token)
    file = uploads.read(path) if path else None
    if file is None:
        raise Invalid(_("The file is no longer here: a day has passed. Choose it again, or go on without its gold."))
    with file:
        return cast(list[Any], json.load(file))


def _start(request: SignedInRequest) -> Start:
    """Return the settings of the template or of the campaign that the query names."""
    template = templates().get(request.GET.get("template", ""))
    if template is not None:
        return Start(template.settings, began_as=template.label)
    like = request.GET.get("like", "")
    if like.isdecimal():
        campaign = campaign_for(request.user, int(like), Action.READ)
        name = _("Copy of {campaign}").format(campaign=campaign.name)[:120]
        return Start(settings_of(campaign), name, f"campaign {campaign.pk}", like=campaign)
    return Start({})


def _new_page(
    request: SignedInRequest, form: CampaignForm, *, began_as: str, gold: GoldOffer, status: int = 200
) -> HttpResponse:
    context = {
        "form": form,
        "gold": gold,
        "kinds": KINDS.values(),
        "began_as": began_as,
        **preview_context(form),
    }
    return page(request, "campaigns/new.html", context, status=status)


@campaign_page(Action.CONFIGURE)
@require_http_methods(["GET", "POST"])
def campaign_edit(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return the form with what is set now; POST changes it. Another guideline text becomes a new version."""
    settings = settings_of(campaign)
    form = CampaignForm(
        sent(request),
        kind_name=campaign.kind,
        options=campaign.options,
        initial=initial_from(settings, name=campaign.name),
    )
    if request.method == "POST" and form.is_valid():
        values = _values(form)
        text = values.pop("guideline")
        try:
            campaigns.update(campaign=campaign, actor=request.user, **values)
            if text != settings["guideline"].replace("\r\n", "\n").strip():
                campaigns.write_guideline(campaign=campaign, text=text, actor=request.user)
        except AnnotationError as error:
            _take_errors(form, error)
            campaign.refresh_from_db()
        else:
            say(request, _("Saved. People see it with their next item."))
            _warn(request, campaign)
            return redirect("campaign-edit", campaign.pk)
    context = {"form": form, "lead": True, "batches": batches.batches(campaign), **preview_context(form)}
    status = 422 if form.errors else 200
    return campaign_page_of(request, campaign, "campaigns/edit.html", context, tab="campaign-edit", status=status)


@campaign_page(Action.CONFIGURE)
@require_POST
def campaign_overlap(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Have another number of people judge the items that are here already, or those of one batch."""
    typed = request.POST.get("wanted", "").strip()
    try:
        # Whatever is no number is out of the range as well.
        wanted = int(typed) if typed.isascii() and typed.isdecimal() and len(typed) < 4 else 0
        changed = overlap.change(
            campaign=campaign,
            wanted=wanted if typed else None,
            batch=request.POST.get("batch", ""),
            actor=request.user,
        )
    except AnnotationError as error:
        complain(request, error)
    else:
        text = ngettext("{n} item was changed.", "{n} items were changed.", changed)
        say(request, text.format(n=changed))
        _warn(request, campaign)
    return redirect("campaign-edit", campaign.pk)


def _warn(request: SignedInRequest, campaign: Campaign) -> None:
    """Say why items wait, or will, where they want more people than may judge here."""
    campaign.refresh_from_db()
    for one in out_of_reach(campaign):
        if not one.needs:
            say(request, one.reason, level=messages.WARNING)


def _values(form: CampaignForm) -> dict[str, Any]:
    cleaned = form.cleaned_data
    return {
        "name": cleaned["name"].strip(),
        "description": cleaned["description"].replace("\r\n", "\n").strip(),
        "options": cleaned["options"],
        "overlap": cleaned["overlap"],
        "wellbeing": cleaned["wellbeing"] or Campaign.Wellbeing.NONE,
        "support": cleaned["support"].replace("\r\n", "\n").strip(),
        "daily_limit": cleaned["daily_limit"] or 0,
        "cohort_percent": cleaned["cohort_percent"] or 0,
        "cohort_overlap": cleaned["cohort_overlap"] or 3,
        "overlap_most": cleaned["overlap_most"] or 0,
        "reserve": cleaned["reserve"] or 0,
        "gold_percent": cleaned["gold_percent"] or 0,
        "check_warn": cleaned["check_warn"] or 0,
        "check_pause": cleaned["check_pause"] or 0,
        "test_tries": cleaned["test_tries"] or 0,
        "test_items": cleaned["test_items"] or 10,
        "test_percent": cleaned["test_percent"] or 80,
        "batch_limit": cleaned["batch_limit"] or 0,
        "batch_share": cleaned["batch_share"] or 0,
        "weekly_limit": cleaned["weekly_limit"] or 0,
        "rest_after": cleaned["rest_after"] or 0,
        "about": cleaned["about"],
        "requires": cleaned["requires"],
        "lease_seconds": cleaned["lease_minutes"] * 60,
        "guideline": cleaned["guideline"].replace("\r\n", "\n").strip(),
    }


def _take_errors(form: CampaignForm, error: AnnotationError) -> None:
    errors = error.errors if isinstance(error, Invalid) and error.errors else {"": [str(error)]}
    names = {"lease_seconds": "lease_minutes", "options": None}
    for name, texts in errors.items():
        field = names.get(name, name if name in form.fields else f"{form.OPTION}{name}")
        for text in texts:
            form.add_error(field if field in form.fields else None, text)
