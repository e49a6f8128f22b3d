"""A base policy whose name was wrong, such as one on the hub that there is not: corrected while nothing came of it.

Another policy put into use would stand beside it in the history as if the two had been compared, with a reason for
what was a slip. Once a run, a chat or a gate has had it, it is what they had, and stays.
"""

from __future__ import annotations

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from annotation.models import Campaign, User
from training.errors import Invalid, WrongState
from training.models import GateReport, Loop, ModelVersion, Run
from training.services import prompts, seeing, versions


def correctable(campaign: Campaign) -> ModelVersion | None:
    """Return the campaign's policy in use where its name may still be corrected; None once something came of it."""
    version = versions.current(campaign, ModelVersion.Kind.POLICY)
    if version is None or version.parent_id is not None or version.recipe:
        return None
    came_of_it = (
        _runs(version).filter(state=Run.State.SUCCEEDED),
        ModelVersion.objects.filter(parent=version),
        GateReport.objects.filter(Q(candidate=version) | Q(parent=version)),
        version.samples.all(),
        version.chats.all(),
    )
    return None if any(found.exists() for found in came_of_it) else version


def correct(*, loop: Loop, policy: str, actor: User | None) -> tuple[str, str] | None:
    """Give the policy in use another path, and return the one before and that; None where it has it already.

    Within a transaction; who calls it writes the event, after which a round that stalled orders its run anew.
    """
    serving = versions.current(loop.campaign, ModelVersion.Kind.POLICY)
    if serving is None or versions.is_at(serving, policy):
        return None
    version = correctable(loop.campaign)
    if version is None:
        message = _("Something came of {policy} already, so it stays as it is. Put another policy into use instead.")
        raise WrongState(message.format(policy=serving.label))
    version = ModelVersion.objects.select_for_update().get(pk=version.pk)
    if _runs(version).exclude(state__in=Run.FINAL).exists():
        message = _("A run of {policy} is under way. Wait until it has ended, or cancel it; then correct the name.")
        raise WrongState(message.format(policy=version.label))
    before = version.path
    try:
        version.path = versions.path_from_outside(campaign=loop.campaign, path=policy, actor=actor)
    except Invalid as error:
        raise Invalid(error.args[0], {"policy": error.errors.get("path", [str(error)])}) from None
    if why := seeing.objection(version, prompts.check(loop.prompts_path, loop.campaign)):
        raise Invalid(why, {"policy": [str(why)]})
    version.weights = ""  # of what lay there before, if anything did
    version.save(update_fields=["path", "weights"])
    return before, version.path


def _runs(version: ModelVersion) -> QuerySet[Run]:
    return Run.objects.filter(Q(parent=version) | Q(inputs__model=version.path), campaign=version.campaign_id)
