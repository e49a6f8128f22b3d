"""Setting up a campaign: its options, its guideline, and whether it hands out items."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Unpack

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from annotation.errors import CampaignClosed, Invalid
from annotation.feedback import kind as feedback_kind
from annotation.models import Campaign, Guideline, Membership, Role, User
from annotation.services import blocks, events, intake, second_look, settings
from annotation.services import gold as golds
from annotation.services.settings import Settings
from annotation.storable import unstorable

MAX_GUIDELINE = 200_000


@transaction.atomic
def create(
    *,
    name: str,
    actor: User,
    kind: str = "pairwise",
    guideline: str = "",
    began_as: str = "",
    gold: Sequence[Any] = (),
    **given: Unpack[Settings],
) -> Campaign:
    """Return a new campaign in DRAFT, with the first version of its guideline and `actor` as its lead.

    `began_as` says in its events what it was made from: a built-in template with its version, or another campaign.
    `gold` are rows of items with a right answer, as another campaign hands them on; one that does not fit raises
    `Invalid`, and then there is no campaign.
    """
    given["options"] = given.get("options") or {}
    campaign = Campaign(name=name.strip(), kind=kind, created_by=actor, **settings.cleaned(kind, given))
    _check(campaign)
    second_look.check(campaign.options, own_name=campaign.name, actor=actor)
    _check_guideline(guideline)
    campaign.save()
    Guideline.objects.create(campaign=campaign, version=1, text=guideline, created_by=actor)
    Membership.objects.create(campaign=campaign, user=actor, role=Role.LEAD)
    detail = {"began_as": began_as} if began_as else {}
    events.record(campaign=campaign, actor=actor, action="campaign.created", target=campaign.name, detail=detail)
    _import_gold(campaign, gold, actor)
    return campaign


def _import_gold(campaign: Campaign, rows: Sequence[Any], actor: User) -> None:
    if not rows:
        return
    lines = (json.dumps(row, ensure_ascii=False) for row in rows)
    report = intake.import_lines(campaign=campaign, lines=lines, actor=actor)
    if report.errors:
        first = report.errors[0]
        message = _("Item {n} of the gold does not fit. {reason}").format(n=first.line, reason=first.reason)
        raise Invalid(message, {"gold": [message]})


@transaction.atomic
def update(*, campaign: Campaign, actor: User, name: str | None = None, **given: Unpack[Settings]) -> Campaign:
    """Change what is given and return the campaign. What is drawn or read at import counts from now on."""
    locked = lock(campaign)
    wanted = settings.cleaned(locked.kind, given)
    if name is not None:
        wanted["name"] = name.strip()
    before = {field: getattr(locked, field) for field in wanted}
    fixed = {name: _option(locked, name) for name in feedback_kind(locked.kind).fixed_options}
    for field, value in wanted.items():
        setattr(locked, field, value)
    turned = [name for name, value in fixed.items() if _option(locked, name) != value]
    if turned and locked.tasks.exists():
        reason = _("This campaign has items, which were made for what is asked now; start another campaign.")
        raise Invalid(reason, {name: [reason] for name in turned})
    changed = {field: value for field, value in before.items() if getattr(locked, field) != value}
    if changed:
        _check(locked)
        if "options" in changed:
            second_look.check(locked.options, own_name=locked.name, actor=actor)
        locked.save(update_fields=list(changed))
        if "gold_percent" in changed:
            golds.arrange(campaign=locked)
        changes = {field: (value, getattr(locked, field)) for field, value in changed.items()}
        if "options" in changed:
            blocks.mark_campaign(locked)
        events.record(campaign=locked, actor=actor, action="campaign.changed", changes=changes)
    return locked


def _option(campaign: Campaign, name: str) -> Any:
    """Return the value of an option; what is usual where the campaign was made before there was such an option."""
    return campaign.options.get(name, feedback_kind(campaign.kind).defaults[name])


def open_campaign(*, campaign: Campaign, actor: User) -> Campaign:
    """Hand out items from now on."""
    return _move(campaign, actor, Campaign.State.OPEN, "campaign.opened")


def pause_campaign(*, campaign: Campaign, actor: User) -> Campaign:
    """Hand out nothing new; what people have on screen they may still submit."""
    return _move(campaign, actor, Campaign.State.PAUSED, "campaign.paused")


def close_campaign(*, campaign: Campaign, actor: User) -> Campaign:
    """End the campaign for good: nothing is handed out, submitted or imported any more."""
    return _move(campaign, actor, Campaign.State.CLOSED, "campaign.closed")


@transaction.atomic
def delete_campaign(*, campaign: Campaign, actor: User) -> None:
    """Take a campaign out of everybody's sight; nothing is erased, and `restore_campaign` brings it back as it was.

    Data sets, runs and models made of it refer to it, so that it can be gone from sight only; what one person said is
    erased by `services.erasure`. Raises `Invalid` while people may be at work on it.
    """
    locked = lock(campaign)
    if locked.state not in (Campaign.State.DRAFT, Campaign.State.CLOSED):
        raise Invalid(_("People may be at work on this campaign. Close it first; then it can be deleted."))
    if locked.deleted_at is None:
        locked.deleted_at = timezone.now()
        locked.save(update_fields=["deleted_at"])
        locked.invitations.filter(revoked_at=None).update(revoked_at=locked.deleted_at)
        events.record(campaign=locked, actor=actor, action="campaign.deleted", target=locked.name)


@transaction.atomic
def restore_campaign(*, campaign: Campaign, actor: User) -> Campaign:
    """Return the campaign, which is there again as it was; links that invited into it have ended."""
    locked = lock(campaign)
    if locked.deleted_at is not None:
        locked.deleted_at = None
        locked.save(update_fields=["deleted_at"])
        events.record(campaign=locked, actor=actor, action="campaign.restored", target=locked.name)
    return locked


@transaction.atomic
def write_guideline(*, campaign: Campaign, text: str, actor: User) -> Guideline:
    """Return the guideline as it now stands: a new version, unless the text is the same as before."""
    _check_guideline(text)
    locked = lock(campaign)
    current = locked.guidelines.filter(version=locked.guideline_version).first()
    if current is not None and current.text == text:
        return current
    version = locked.guideline_version + 1
    guideline = Guideline.objects.create(campaign=locked, version=version, text=text, created_by=actor)
    locked.guideline_version = version
    locked.save(update_fields=["guideline_version"])
    campaign.guideline_version = version
    changes = {"version": (version - 1, version)}  # both texts are kept under their numbers
    events.record(
        campaign=locked, actor=actor, action="guideline.written", target=f"version {version}", changes=changes
    )
    return guideline


@transaction.atomic
def _move(campaign: Campaign, actor: User, state: Campaign.State, action: str) -> Campaign:
    """Return the campaign in `state`; a campaign already there is left alone, a closed one stays closed."""
    locked = lock(campaign)
    if locked.state != state:
        if locked.state == Campaign.State.CLOSED:
            raise CampaignClosed(_("This campaign is closed for good; create a new one instead."))
        if state == Campaign.State.PAUSED and locked.state == Campaign.State.DRAFT:
            raise Invalid(_("This campaign was not opened yet, so there is nothing to pause."))
        changes = {"state": (locked.state, str(state))}
        locked.state = state
        locked.save(update_fields=["state"])
        events.record(campaign=locked, actor=actor, action=action, target=locked.name, changes=changes)
    campaign.state = state
    return locked


def lock(campaign: Campaign) -> Campaign:
    """Return the campaign as it is now, and let nobody else change it until the transaction ends."""
    return Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk)


def _check(campaign: Campaign) -> None:
    """Raise `Invalid` with an error for each field that does not fit."""
    texts = {field: unstorable(getattr(campaign, field)) for field in ("name", "description", "support")}
    errors = {field: [reason] for field, reason in texts.items() if reason}
    try:
        # Those are not asked about again, since asking whether a name is taken sends it to the database.
        # created_by exists, and a query for it would only cost.
        campaign.full_clean(exclude=["created_by", *errors], validate_constraints=False)
    except ValidationError as error:
        errors |= {field: list(messages) for field, messages in error.message_dict.items()}
    if errors:
        raise Invalid(_("Some settings of the campaign do not fit; see errors."), errors)


def _check_guideline(text: str) -> None:
    reason = unstorable(text)
    if not reason and len(text) > MAX_GUIDELINE:
        told = _("The guideline has {n} characters; at most {most} are kept.")
        reason = told.format(n=len(text), most=MAX_GUIDELINE)
    if reason:
        raise Invalid(reason, {"guideline": [reason]})
