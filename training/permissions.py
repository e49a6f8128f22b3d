"""The gates to rows of training: each is reached through its campaign. Annotators reach their own chats only.

Who judges must not learn which answer is whose, so runs, versions and rounds are for leads and engineers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.utils.translation import gettext as _

from annotation.access import Action
from annotation.models import Campaign, Role, User
from annotation.permissions import LARGEST_ID, campaign_for
from training.models import Chat, Loop, ModelVersion, Round, Run, Snapshot, Suite

Person = User | AnonymousUser


def training_of(user: Person, campaign_id: int, *needs: Action | Role) -> Campaign:
    """Return the campaign if `user` may see its training, or do one of `needs` there."""
    return campaign_for(user, _possible(campaign_id), *(needs or (Action.READ,)))


def run_for(user: Person, run_id: int, *needs: Action | Role) -> Run:
    """Return the run if `user` may see it, or do one of `needs` in its campaign; Http404 for strangers."""
    found = Run.objects.filter(pk=_possible(run_id))
    run = found.select_related("campaign", "parent", "snapshot", "output", "round", "created_by").first()
    return _through_campaign(user, run, _("There is no such run."), needs)


def version_for(user: Person, version_id: int, *needs: Action | Role) -> ModelVersion:
    found = ModelVersion.objects.filter(pk=_possible(version_id))
    version = found.select_related("campaign", "parent", "snapshot", "gate_report__parent").first()
    return _through_campaign(user, version, _("There is no such model version."), needs)


def snapshot_for(user: Person, snapshot_id: int, *needs: Action | Role) -> Snapshot:
    found = Snapshot.objects.filter(pk=_possible(snapshot_id)).select_related("campaign", "created_by").first()
    return _through_campaign(user, found, "snapshot", needs)


def suite_for(user: Person, suite_id: int, *needs: Action | Role) -> Suite:
    found = Suite.objects.filter(pk=_possible(suite_id)).select_related("campaign").first()
    return _through_campaign(user, found, _("There is no such suite."), needs)


def suites_for(user: Person, names: Iterable[str]) -> None:
    """Let nobody read of a snapshot, as an evaluation suite, that they may not export; Http404."""
    for name in names:
        number = name.removeprefix("snapshot:")
        if number != name and number.isdecimal():
            snapshot_for(user, int(number), Action.EXPORT)


def loop_for(user: Person, campaign_id: int, *needs: Action | Role) -> Loop:
    """Return the loop of a campaign; Http404 when it has none."""
    campaign = training_of(user, campaign_id, *needs)
    loop = Loop.objects.filter(campaign=campaign).select_related("campaign").first()
    if loop is None:
        raise Http404(_("This campaign has no loop."))
    return loop


def round_for(user: Person, round_id: int, *needs: Action | Role) -> Round:
    found = Round.objects.filter(pk=_possible(round_id))
    round = found.select_related("loop__campaign", "policy", "candidate__gate_report", "snapshot").first()
    if round is None:
        raise Http404(_("There is no such round."))
    try:
        training_of(user, round.loop.campaign_id, *needs)
    except Http404:
        raise Http404(_("There is no such round.")) from None
    return round


def chat_for(user: Person, chat_id: int) -> Chat:
    """Return a chat of `user` where they still judge, or any where they may see the training; else Http404."""
    held = Chat.objects.filter(pk=_possible(chat_id), purpose=Chat.Purpose.WORK)
    chat = held.select_related("campaign", "policy", "user").first()
    missing = _("There is no such chat.")
    if chat is None:
        raise Http404(missing)
    try:
        own = (Action.JUDGE,) if chat.user_id == user.pk else ()
        campaign_for(user, chat.campaign_id, Action.READ, *own)
    except (Http404, PermissionDenied):
        # A colleague's chat is no more known to an annotator than a stranger's.
        raise Http404(missing) from None
    return chat


def own_chat_for(user: Person, chat_id: int) -> Chat:
    """Return this person's own chat, to hold; PermissionDenied for one that they may only read."""
    chat = chat_for(user, chat_id)
    if chat.user_id != user.pk:
        raise PermissionDenied(_("This chat is somebody else's; you may read it."))
    chat.campaign = campaign_for(user, chat.campaign_id, Action.JUDGE)
    return chat


Row = TypeVar("Row", Run, ModelVersion, Snapshot, Suite)


def _through_campaign(user: Person, row: Row | None, missing: str, needs: tuple[Action | Role, ...]) -> Row:
    if row is None:
        raise Http404(missing)
    try:
        training_of(user, row.campaign_id, *needs)
    except Http404:
        raise Http404(missing) from None
    return row


def _possible(row_id: int) -> int:
    """Return `row_id`; Http404 for a number that no row can have, which SQLite would stumble over."""
    if not 0 <= row_id <= LARGEST_ID:
        raise Http404(_("There is no such thing."))
    return row_id
