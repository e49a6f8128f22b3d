"""Which version is in use: promoting one, and rolling back to one that was in use before."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import translation
from django.utils.translation import gettext as _

from annotation.access import Action
from annotation.models import Campaign, User
from annotation.permissions import may
from annotation.services import events
from training.errors import GateClosed, WrongState
from training.models import GateReport, Loop, ModelVersion
from training.services import ending, safety_tests


@transaction.atomic
def promote(*, version: ModelVersion, actor: User | None, reason: str = "") -> ModelVersion:
    """Return `version`, now the one in use; the one before it is retired in the same transaction.

    A gate that is open and compares with that one closes undecided, see `ending.close_stale`.

    A policy needs a stored report that it passed the gate against the policy in use. Without one a lead may promote
    it by giving a `reason`, which is written to the audit trail; else GateClosed. `actor` None is the loop itself.
    """
    version = _lock(version)
    if version.state == ModelVersion.State.PROMOTED:
        return version
    _refuse_all_but_leads(actor, version.campaign)
    serving = _serving(version)
    objection = _objection(version, serving)
    if objection and not (actor is not None and reason.strip()):
        raise GateClosed(" ".join([objection, _("A lead may promote it all the same by giving a reason.")]))
    with translation.override(None):  # an event says the same in every language
        in_english = _objection(version, serving) if objection else ""
    _replace(serving, version)
    events.record(
        campaign=version.campaign,
        actor=actor,
        action=f"{version.kind}.promoted_over_the_gate" if objection else f"{version.kind}.promoted",
        target=version.label,
        detail={
            "reason": reason.strip(),
            "objection": in_english,
        },
        changes={"in use": (serving.label if serving else None, version.label)},
    )
    if version.kind == ModelVersion.Kind.POLICY:
        ending.close_stale(campaign=version.campaign, serving=version, actor=actor)
    return version


@transaction.atomic
def roll_back(*, version: ModelVersion, actor: User | None, reason: str = "") -> ModelVersion:
    """Return `version`, which was in use once, now in use again; the one in use is retired and can be returned to.

    Not where a test for lost safety speaks against it, or is lacking where the loop asks for one: it may have been
    found out since. Then a lead needs a `reason`, which is written to the audit trail; else GateClosed.
    """
    version = _lock(version)
    _refuse_all_but_leads(actor, version.campaign)
    if version.state != ModelVersion.State.RETIRED:
        told = _(
            "{version} is at “{state}”; only a version that was in use before, and is retired, can be rolled back to."
        )
        raise WrongState(told.format(version=version.label, state=version.get_state_display()))
    serving = _serving(version)
    objection = roll_back_objection(version, serving)
    if objection and not (actor is not None and reason.strip()):
        raise GateClosed(" ".join([objection, _("A lead may roll back to it all the same by giving a reason.")]))
    with translation.override(None):
        in_english = roll_back_objection(version, serving) if objection else ""
    _replace(serving, version)
    events.record(
        campaign=version.campaign,
        actor=actor,
        action=f"{version.kind}.rolled_back_over_the_gate" if objection else f"{version.kind}.rolled_back",
        target=version.label,
        detail={"reason": reason.strip(), "objection": in_english} if objection else {},
        changes={"in use": (serving.label if serving else None, version.label)},
    )
    if version.kind == ModelVersion.Kind.POLICY:
        ending.close_stale(campaign=version.campaign, serving=version, actor=actor)
    return version


def _lock(version: ModelVersion) -> ModelVersion:
    """Return the version as it is now. The campaign's row is locked: one promotion at a time.

    A policy's loop is locked before it, in the order in which a gate that closes takes them, see `ending.close_stale`.
    """
    if version.kind == ModelVersion.Kind.POLICY:
        Loop.objects.select_for_update().filter(campaign=version.campaign_id).first()
    Campaign.objects.select_for_update().get(pk=version.campaign_id)
    return ModelVersion.objects.select_related("campaign").get(pk=version.pk)


def _serving(version: ModelVersion) -> ModelVersion | None:
    return ModelVersion.objects.filter(
        campaign=version.campaign, kind=version.kind, state=ModelVersion.State.PROMOTED
    ).first()


def _replace(serving: ModelVersion | None, version: ModelVersion) -> None:
    if serving is not None:
        serving.state = ModelVersion.State.RETIRED
        serving.save(update_fields=["state"])
    version.state = ModelVersion.State.PROMOTED
    version.save(update_fields=["state"])


def roll_back_objection(version: ModelVersion, serving: ModelVersion | None) -> str:
    """Return what tests for lost safety, or their want, say against going back to `version`, or an empty string."""
    if version.kind != ModelVersion.Kind.POLICY:
        return ""
    return lost_safety(version) or safety_tests.objection(version, serving)


def _objection(version: ModelVersion, serving: ModelVersion | None) -> str:
    """Return why the gate does not let `version` pass, or an empty string."""
    if version.kind != ModelVersion.Kind.POLICY:
        return ""
    if unsafe := roll_back_objection(version, serving):
        return unsafe
    report = GateReport.objects.select_related("parent").filter(candidate=version).first()
    if report is None:
        told = _("{version} has no gate report: nobody has compared it with the policy in use.")
        return told.format(version=version.label)
    if report.verdict != GateReport.Verdict.PASS:
        return _("{version} did not pass its gate.").format(version=version.label)
    if serving is not None and report.parent_id != serving.pk:
        told = _("{version} was compared with {parent}, but {serving} is in use now.")
        return told.format(version=version.label, parent=report.parent.label, serving=serving.label)
    return ""


def lost_safety(version: ModelVersion) -> str:
    """Return what tests for lost safety say against `version`; empty where they passed, or there are none."""
    failed = safety_tests.failed(version)
    if failed is None:
        return ""
    found = failed.result["metrics"]
    told = _(
        "{version} failed the test for lost safety: {safe} of its answers to harmful prompts are safe, {before} "
        "before; {answered} of the other prompts are answered, {others} before."
    )
    shares = {"safe": "safe", "before": "current_safe", "answered": "answered", "others": "current_answered"}
    named = {name: f"{found[figure]['estimate']:.0%}" for name, figure in shares.items()}
    return told.format(version=version.label, **named)


def _refuse_all_but_leads(actor: User | None, campaign: Campaign) -> None:
    if actor is not None and not may(actor, campaign, Action.STEER):
        raise PermissionDenied(_("Only a lead of the campaign decides which version is in use."))
