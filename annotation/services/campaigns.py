"""Setting up a campaign: its options, its guideline, its people, and whether it hands out items."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from annotation.errors import CampaignClosed, Invalid
from annotation.feedback import kind as feedback_kind
from annotation.models import Assignment, Campaign, Guideline, Membership, Role, User
from annotation.routing import read_tags
from annotation.services import events, second_look
from annotation.services.queue import release
from annotation.storable import unstorable

MAX_GUIDELINE = 200_000
SETTINGS_FORMAT = 1


@transaction.atomic
def create(
    *,
    name: str,
    actor: User,
    kind: str = "pairwise",
    description: str = "",
    options: dict[str, Any] | None = None,
    overlap: int = 1,
    lease_seconds: int = 1800,
    wellbeing: str = Campaign.Wellbeing.NONE,
    daily_limit: int = 0,
    cohort_percent: int = 0,
    cohort_overlap: int = 3,
    batch_limit: int = 0,
    batch_share: int = 0,
    weekly_limit: int = 0,
    rest_after: int = 0,
    requires: Sequence[str] = (),
    about: Sequence[str] = (),
    guideline: str = "",
    began_as: str = "",
) -> Campaign:
    """Return a new campaign in DRAFT, with the first version of its guideline and `actor` as its lead.

    `began_as` says in its events what it was made from: a built-in template with its version, or another campaign.
    """
    campaign = Campaign(
        name=name.strip(),
        kind=kind,
        description=description,
        options=feedback_kind(kind).clean_options(options or {}),
        overlap=overlap,
        lease_seconds=lease_seconds,
        wellbeing=wellbeing,
        daily_limit=daily_limit,
        cohort_percent=cohort_percent,
        cohort_overlap=cohort_overlap,
        batch_limit=batch_limit,
        batch_share=batch_share,
        weekly_limit=weekly_limit,
        rest_after=rest_after,
        requires=_tags("requires", requires),
        about=_tags("about", about),
        created_by=actor,
    )
    _check(campaign)
    second_look.check(campaign.options, own_name=campaign.name, actor=actor)
    _check_guideline(guideline)
    campaign.save()
    Guideline.objects.create(campaign=campaign, version=1, text=guideline, created_by=actor)
    Membership.objects.create(campaign=campaign, user=actor, role=Role.LEAD)
    detail = {"began_as": began_as} if began_as else {}
    events.record(campaign=campaign, actor=actor, action="campaign.created", target=campaign.name, detail=detail)
    return campaign


def settings_of(campaign: Campaign) -> dict[str, Any]:
    """Return a campaign's settings as `settings_from` reads them: all but its name, people, items and answers."""
    guideline = campaign.guidelines.filter(version=campaign.guideline_version).first()
    return {
        "attune_campaign": SETTINGS_FORMAT,
        "kind": campaign.kind,
        "description": campaign.description,
        "options": campaign.options,
        "overlap": campaign.overlap,
        "lease_seconds": campaign.lease_seconds,
        "wellbeing": campaign.wellbeing,
        "daily_limit": campaign.daily_limit,
        "cohort_percent": campaign.cohort_percent,
        "cohort_overlap": campaign.cohort_overlap,
        "batch_limit": campaign.batch_limit,
        "batch_share": campaign.batch_share,
        "weekly_limit": campaign.weekly_limit,
        "rest_after": campaign.rest_after,
        "requires": campaign.requires,
        "about": campaign.about,
        "guideline": guideline.text if guideline else "",
    }


def settings_from(text: str | bytes) -> dict[str, Any]:
    """Return what `create` takes, without a name, out of a file that `settings_of` made; raises `Invalid`.

    Only the file's form is checked here; what its values may be, `create` says.
    """
    wrong = f"This is no file of campaign settings. Such a file is JSON with “attune_campaign”: {SETTINGS_FORMAT}."
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        raise Invalid(wrong) from None
    if not isinstance(read, dict) or "attune_campaign" not in read:
        raise Invalid(wrong)
    if read.pop("attune_campaign") != SETTINGS_FORMAT:
        raise Invalid("These settings were written by a later version of Attune; update this one first.")
    shapes: dict[str, type] = {
        **dict.fromkeys(("kind", "description", "wellbeing", "guideline"), str),
        **dict.fromkeys(("overlap", "lease_seconds", "daily_limit"), int),
        **dict.fromkeys(("cohort_percent", "cohort_overlap", "batch_limit", "batch_share"), int),
        **dict.fromkeys(("weekly_limit", "rest_after"), int),
        **dict.fromkeys(("requires", "about"), list),
        "options": dict,
    }
    unknown = sorted(set(read) - set(shapes))
    if unknown:
        raise Invalid(f"The file has settings that this version does not know: {', '.join(unknown)}.")
    for name, shape in shapes.items():
        if name in read and (not isinstance(read[name], shape) or isinstance(read[name], bool)):
            raise Invalid(f"The setting {name} in the file has the wrong form.")
    if reason := unstorable(read):
        raise Invalid(f"The file cannot be read. {reason}")
    feedback_kind(read.get("kind", "pairwise"))
    return read


@transaction.atomic
def update(
    *,
    campaign: Campaign,
    actor: User,
    name: str | None = None,
    description: str | None = None,
    options: dict[str, Any] | None = None,
    overlap: int | None = None,
    lease_seconds: int | None = None,
    wellbeing: str | None = None,
    daily_limit: int | None = None,
    cohort_percent: int | None = None,
    cohort_overlap: int | None = None,
    batch_limit: int | None = None,
    batch_share: int | None = None,
    weekly_limit: int | None = None,
    rest_after: int | None = None,
    requires: Sequence[str] | None = None,
    about: Sequence[str] | None = None,
) -> Campaign:
    """Change what is given and return the campaign. What is drawn or read at import counts from now on."""
    locked = _lock(campaign)
    given: dict[str, Any] = {
        "name": None if name is None else name.strip(),
        "description": description,
        "options": None if options is None else feedback_kind(locked.kind).clean_options(options),
        "overlap": overlap,
        "lease_seconds": lease_seconds,
        "wellbeing": wellbeing,
        "daily_limit": daily_limit,
        "cohort_percent": cohort_percent,
        "cohort_overlap": cohort_overlap,
        "batch_limit": batch_limit,
        "batch_share": batch_share,
        "weekly_limit": weekly_limit,
        "rest_after": rest_after,
        "requires": None if requires is None else _tags("requires", requires),
        "about": None if about is None else _tags("about", about),
    }
    before = {field: getattr(locked, field) for field in given}
    asked = feedback_kind(locked.kind)
    fixed = {name: _option(locked, name) for name in asked.fixed_options}
    for field, value in given.items():
        if value is not None:
            setattr(locked, field, value)
    turned = [name for name, value in fixed.items() if _option(locked, name) != value]
    if turned and locked.tasks.exists():
        reason = "This campaign has items, which were made for what is asked now; start another campaign."
        raise Invalid(reason, {name: [reason] for name in turned})
    changed = {field: value for field, value in before.items() if getattr(locked, field) != value}
    if changed:
        _check(locked)
        if "options" in changed:
            second_look.check(locked.options, own_name=locked.name, actor=actor)
        locked.save(update_fields=list(changed))
        detail = {field: {"from": value, "to": getattr(locked, field)} for field, value in changed.items()}
        events.record(campaign=locked, actor=actor, action="campaign.changed", detail=detail)
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
def write_guideline(*, campaign: Campaign, text: str, actor: User) -> Guideline:
    """Return the guideline as it now stands: a new version, unless the text is the same as before."""
    _check_guideline(text)
    locked = _lock(campaign)
    current = locked.guidelines.filter(version=locked.guideline_version).first()
    if current is not None and current.text == text:
        return current
    version = locked.guideline_version + 1
    guideline = Guideline.objects.create(campaign=locked, version=version, text=text, created_by=actor)
    locked.guideline_version = version
    locked.save(update_fields=["guideline_version"])
    campaign.guideline_version = version
    events.record(campaign=locked, actor=actor, action="guideline.written", target=f"version {version}")
    return guideline


@transaction.atomic
def add_member(*, campaign: Campaign, username: str, role: Role | str, actor: User) -> Membership:
    """Return the membership; adding a person twice in one role changes nothing."""
    if role not in Role.values:
        message = f"Give one of these roles: {', '.join(Role.values)}."
        raise Invalid(message, {"role": [message]})
    user = None if unstorable(username) else User.objects.filter(username=username).first()
    if user is None:
        message = f"There is no user called {username!r}; check the spelling or ask an administrator to add them."
        raise Invalid(message, {"username": [message]})
    membership, created = Membership.objects.get_or_create(campaign=campaign, user=user, role=Role(role))
    if created:
        events.record(
            campaign=campaign, actor=actor, action="member.added", target=user.username, detail={"role": str(role)}
        )
    return membership


def agree(*, campaign: Campaign, user: User) -> None:
    """Keep that this person was told what they may have to read here, and wants to judge all the same."""
    unasked = Membership.objects.filter(campaign=campaign, user=user, agreed_at=None)
    unasked.update(agreed_at=timezone.now())
    campaign.agreed = True


@transaction.atomic
def leave(*, campaign: Campaign, user: User) -> None:
    """Take an annotator out at their own wish; nobody asks why. Their judgements stay, what they hold goes back.

    Raises `Invalid` for somebody who does not judge here as an annotator.
    """
    membership = Membership.objects.filter(campaign=campaign, user=user, role=Role.ANNOTATOR).first()
    if membership is None:
        raise Invalid("You are no annotator of this campaign, so there is nothing to leave.")
    hand_back(campaign=campaign, user=user)
    membership.delete()
    events.record(campaign=campaign, actor=user, action="member.left", target=user.username)


@transaction.atomic
def hand_back(*, campaign: Campaign, user: User) -> int:
    """Give back, unjudged, all items this person holds here, and return how many; drafts are kept."""
    held = campaign.assignments.filter(user=user, state=Assignment.State.OPEN)
    returned = list(held.order_by("-task__priority", "task_id"))  # the order of `queue.QUEUE_ORDER`
    for assignment in returned:
        release(assignment=assignment)
    return len(returned)


@transaction.atomic
def remove_member(*, campaign: Campaign, username: str, actor: User, role: Role | str | None = None) -> None:
    """Take a role from a person, or all of them. Their judgements stay; what they hold goes back to the queue."""
    locked = _lock(campaign)  # orders this against another removal, so that one lead always stays
    held = Membership.objects.filter(campaign=locked, user__username=username).select_related("user")
    known = not unstorable(username)
    leaving = [membership for membership in held if role is None or membership.role == role] if known else []
    if not leaving:
        message = f"{username!r} has no such role in this campaign."
        raise Invalid(message, {"username": [message]})
    others = locked.memberships.filter(role=Role.LEAD).exclude(user=leaving[0].user)
    if any(membership.role == Role.LEAD for membership in leaving) and not others.exists():
        message = "This is the campaign's only lead; make somebody else a lead first."
        raise Invalid(message, {"username": [message]})
    user = leaving[0].user
    for membership in leaving:
        events.record(
            campaign=locked,
            actor=actor,
            action="member.removed",
            target=user.username,
            detail={"role": membership.role},
        )
        membership.delete()
    if not locked.memberships.filter(user=user, role__in=[Role.ANNOTATOR, Role.LEAD]).exists():
        hand_back(campaign=locked, user=user)


@transaction.atomic
def _move(campaign: Campaign, actor: User, state: Campaign.State, action: str) -> Campaign:
    """Return the campaign in `state`; a campaign already there is left alone, a closed one stays closed."""
    locked = _lock(campaign)
    if locked.state != state:
        if locked.state == Campaign.State.CLOSED:
            raise CampaignClosed("This campaign is closed for good; create a new one instead.")
        if state == Campaign.State.PAUSED and locked.state == Campaign.State.DRAFT:
            raise Invalid("This campaign was not opened yet, so there is nothing to pause.")
        locked.state = state
        locked.save(update_fields=["state"])
        events.record(campaign=locked, actor=actor, action=action, target=locked.name)
    campaign.state = state
    return locked


def _lock(campaign: Campaign) -> Campaign:
    return Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk)


def _check(campaign: Campaign) -> None:
    """Raise `Invalid` with an error for each field that does not fit."""
    texts = {field: unstorable(getattr(campaign, field)) for field in ("name", "description")}
    errors = {field: [reason] for field, reason in texts.items() if reason}
    try:
        # Those are not asked about again, since asking whether a name is taken sends it to the database.
        # created_by exists, and a query for it would only cost.
        campaign.full_clean(exclude=["created_by", *errors], validate_constraints=False)
    except ValidationError as error:
        errors |= {field: list(messages) for field, messages in error.message_dict.items()}
    if errors:
        raise Invalid("Some settings of the campaign do not fit; see errors.", errors)


def _tags(field: str, value: Sequence[str]) -> list[str]:
    try:
        return read_tags(value)
    except Invalid as error:
        raise Invalid(str(error), {field: [str(error)]}) from None


def _check_guideline(text: str) -> None:
    reason = unstorable(text)
    if not reason and len(text) > MAX_GUIDELINE:
        reason = f"The guideline has {len(text)} characters; at most {MAX_GUIDELINE} are kept."
    if reason:
        raise Invalid(reason, {"guideline": [reason]})
