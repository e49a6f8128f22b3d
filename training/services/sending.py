"""Sending a policy to the gate that no round made: one from outside, one that was merged, or one of a run by hand.

It goes through the gate of the campaign's loop, with its prompts, limits and people, as a round that has nothing before
its gate. A loop has one round at a time, so such a gate and a candidate of the loop's own never compare themselves with
a policy that the other one replaces meanwhile; what is sent while one is open waits (`training.services.gate_orders`).
"""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from annotation.models import Feedback, User
from annotation.services import events
from training.errors import GateClosed, WrongState
from training.models import GateReport, Loop, ModelVersion, Round
from training.services import gates, messages, prompts, seeing, versions, weights


def objection(version: ModelVersion) -> str:
    """Return why no gate can decide on a version, or an empty string. Few statements, and no file is read."""
    policy = versions.current(version.campaign, ModelVersion.Kind.POLICY)
    loop = Loop.objects.filter(campaign=version.campaign_id).first()
    if version.kind != ModelVersion.Kind.POLICY:
        return _("Only policies go through a gate; {version} is none.").format(version=version.label)
    if version.state == ModelVersion.State.PROMOTED:
        return _("{version} is the policy in use.").format(version=version.label)
    if version.state == ModelVersion.State.RETIRED:
        return _("{version} was in use before: roll back to it.").format(version=version.label)
    if loop is None:
        return _(
            "This campaign has no loop, whose prompts, limits and people a gate goes by. Set one up; no round of it "
            "has to run."
        )
    if loop.state == Loop.State.STOPPED:
        return _("This loop was stopped for good.")
    if policy is None:
        return _("There is no policy in use to compare it with.")
    # Who registers a folder anew does not draw anew.
    if policy.path == version.path or (version.weights and version.weights == policy.weights):
        return _("{version} is the same folder as {policy}, which is in use, or a copy of it.").format(
            version=version.label, policy=policy.label
        )
    of_same = GateReport.objects.filter(weights.same(version, "candidate__"), candidate__campaign=version.campaign_id)
    if (report := of_same.select_related("candidate").first()) is not None:
        return _("A gate has decided on {version} already, and nobody draws twice.").format(
            version=report.candidate.label
        )
    return ""


def check(*, loop: Loop, version: ModelVersion, reason: str) -> None:
    """Raise GateClosed where a gate takes a `reason` to be held again, and WrongState where no prompt can be shown."""
    if (earlier := broken_off(version)) and not reason.strip():
        text = _(
            "The gate of {version} was cancelled in round {number} after people had judged. It may be sent again for a "
            "reason, which stays in its report."
        )
        raise GateClosed(text.format(version=version.label, number=earlier[-1]))
    if blind := seeing.objection(version, prompts.check(loop.prompts_path, loop.campaign)):
        raise WrongState(blind)


def broken_off(version: ModelVersion) -> list[int]:
    """Return the numbers of the rounds in which a gate on this version was cancelled after somebody had judged."""
    found = []
    earlier = Round.objects.filter(
        weights.same(version, "candidate__"), loop__campaign=version.campaign_id, state=Round.State.CANCELLED
    )
    for round in earlier.select_related("loop"):
        if Feedback.objects.filter(task__campaign=version.campaign_id, task__batch=gates.batch(round)).exists():
            found.append(round.index)
    return found


@transaction.atomic
def send_to_gate(*, version: ModelVersion, actor: User | None, reason: str = "") -> Round:
    """Return the round that decides on `version`, a policy that no round made; WrongState where it cannot be sent now.

    What is open goes on as in any round, and a candidate that passes is put into use. One whose gate was cancelled
    after people had judged may have been cancelled for how it went: sending it again takes a `reason`, else GateClosed.
    """
    found = Loop.objects.select_for_update().select_related("campaign").filter(campaign=version.campaign_id).first()
    version = ModelVersion.objects.select_related("campaign").get(pk=version.pk)
    if why := objection(version):
        raise WrongState(why)
    policy = versions.current(version.campaign, ModelVersion.Kind.POLICY)
    assert found is not None and policy is not None
    check(loop=found, version=version, reason=reason)
    Loop.objects.filter(pk=found.pk).update(state=Loop.State.ACTIVE)
    try:
        with transaction.atomic():
            return open_gate(loop=found, policy=policy, candidate=version, actor=actor, reason=reason.strip())
    except IntegrityError:
        raise WrongState(_("Another round was started at the same moment; look at that one.")) from None


def open_gate(
    *,
    loop: Loop,
    policy: ModelVersion,
    candidate: ModelVersion,
    actor: User | None,
    reason: str,
    goes_on: bool = False,
) -> Round:
    """Return a round that begins where its candidate is there, to be held against `policy`.

    With `goes_on` the loop's next own round follows it, as it came between. Call inside a transaction that locks it.
    """
    last = loop.rounds.order_by("-index").values_list("index", flat=True).first()
    round = Round.objects.create(
        loop=loop,
        index=(last or 0) + 1,
        policy=policy,
        candidate=candidate,
        state=Round.State.TRAINING,
        goes_on=goes_on,
    )
    events.record(
        campaign=loop.campaign,
        actor=actor,
        action="gate.ordered",
        target=candidate.label,
        detail={"round": round.index, "policy": policy.label, "reason": reason},
    )
    messages.wake_round(round.pk)
    return round
