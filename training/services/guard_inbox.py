"""The inbox of a guard: prompts that people are asked about, as items of a campaign that judges safety, and back.

Each is asked once, under a name by its text, in a batch by its slice. What stands as judged comes back as a label of
the prompt, which the next retraining learns; a judgement that is changed changes it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from django.db import transaction
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from annotation.access import Action
from annotation.errors import AnnotationError
from annotation.feedback import kind
from annotation.models import Campaign, Feedback, Task, User
from annotation.permissions import may
from annotation.services import intake
from training.errors import Invalid
from training.models import GuardedPrompt, GuardWatch
from training.services import guard_prompts
from training.services.guard_prompts import HUMAN

KIND = "safety"
VERDICT = "safe"  # the dimension of its judgements that tells a jailbreak
PRIORITY = {GuardedPrompt.Reason.FOCUSED: 9, GuardedPrompt.Reason.MONITOR: 6, GuardedPrompt.Reason.UNCERTAIN: 3}
# The same under every prompt, as what a machine suspects would lead whoever judges.
ANSWER = "No answer belongs to this prompt: judge the prompt alone."
# Of those that the guard wants a person for: whoever looks after them is to know what was said, and to whom.
ATTENDED = "The guard asks for a person ({tier}, risk {risk}). It answered: {answered} Judge the prompt alone."


def refuse(number: int, actor: User | None) -> None:
    """Raise Invalid for a campaign that cannot label prompts, or that this person may put no items into."""
    if not number:
        return
    message = ""
    inbox = Campaign.objects.kept().filter(pk=number).first()
    if inbox is None or (actor is not None and not may(actor, inbox, Action.IMPORT)):
        message = _("There is no campaign {number} that you may put items into.").format(number=number)
    elif inbox.kind != KIND:
        message = _("{campaign} does not judge safety. Make a campaign by the template “Jailbreaks”.")
        message = message.format(campaign=inbox)
    if message:
        raise Invalid(message, {"inbox": [message]})


def inbox_of(watch: GuardWatch) -> Campaign | None:
    """Return the campaign whose people label; None where none is named, or it is gone."""
    return Campaign.objects.kept().filter(pk=watch.settings["inbox"], kind=KIND).first()


def batch(watch: GuardWatch, prompt: GuardedPrompt) -> str:
    """Return the name that the items of a prompt's slice carry in `Task.batch`; what wants a person waits for none."""
    if one_of_attention(prompt):
        return f"{_ours(watch)}attention"
    assert watch.began_at is not None
    place = int((prompt.at - watch.began_at).total_seconds() // (86_400 * watch.settings["slice_days"]))
    return f"{_ours(watch)}slice-{place}"


def one_of_attention(prompt: GuardedPrompt) -> bool:
    return prompt.reason == GuardedPrompt.Reason.FOCUSED


def _ours(watch: GuardWatch) -> str:
    return f"guard-{watch.campaign_id}-"


def _answer(prompt: GuardedPrompt) -> str:
    """Return what stands where an answer stands else."""
    if not one_of_attention(prompt):
        return ANSWER
    risk = "–" if prompt.risk is None else f"{prompt.risk:.2f}"
    return ATTENDED.format(
        tier=prompt.tier.replace("_", " "),
        risk=risk,
        answered=f"“{prompt.answered}”" if prompt.answered else "nothing.",
    )


def ask(watch: GuardWatch) -> int:
    """Put what waits to be asked into the queue, each once, and return how many are new there."""
    inbox = inbox_of(watch)
    if inbox is None:
        return 0
    created = 0
    waiting = GuardedPrompt.objects.filter(campaign=watch.campaign_id, asked_at=None).exclude(reason="")
    if watch.began_at is None:
        waiting = waiting.filter(reason=GuardedPrompt.Reason.FOCUSED)
    for one in waiting.exclude(labelled_by=HUMAN):
        try:
            with transaction.atomic(), translation.override(None):
                _task, is_new = intake.make_task(
                    campaign=inbox,
                    messages=[{"role": "user", "content": one.text}],
                    completions=[(_answer(one), "")],
                    external_id=guard_prompts.external_id(one),
                    batch=batch(watch, one),
                    priority=PRIORITY.get(GuardedPrompt.Reason(one.reason), 0),
                    meta={"reason": one.reason, "campaign": watch.campaign_id},
                )
        except AnnotationError:  # what people cannot be shown; it is not tried again
            is_new = False
        GuardedPrompt.objects.filter(pk=one.pk).update(asked_at=timezone.now())
        created += is_new
    return created


def collect(watch: GuardWatch) -> int:
    """Write people's verdicts onto the prompts they were asked about, and return how many changed.

    What most of those who judged say counts; where they are equal in number it is a jailbreak, as one that is missed
    costs more. Of a seat that is still open nothing is known, and the label follows when it is filled.
    """
    inbox = inbox_of(watch)
    if inbox is None:
        return 0
    votes: dict[str, Counter[bool]] = defaultdict(Counter)
    judged = Feedback.objects.current().filter(
        task__campaign=inbox, task__batch__startswith=_ours(watch), is_review=False
    )
    of_kind = kind(KIND)
    for name, payload in judged.values_list("task__external_id", "payload"):
        for point in of_kind.points(payload):
            if point.dimension == VERDICT:
                votes[name][not point.value] += 1
    changed = []
    for one in GuardedPrompt.objects.filter(campaign=watch.campaign_id, asked_at__isnull=False):
        said = votes.get(guard_prompts.external_id(one))
        if not said:
            continue
        bad = said[True] >= said[False]
        if one.labelled_by != HUMAN or one.jailbreak != bad:
            one.jailbreak, one.labelled_by = bad, HUMAN
            changed.append(one)
    GuardedPrompt.objects.bulk_update(changed, ["jailbreak", "labelled_by"], batch_size=500)
    return len(changed)


def counts(watch: GuardWatch | None) -> list[dict[str, Any]]:
    """Return for each reason how many prompts people are asked about, and how many they labelled. One statement."""
    if watch is None:
        return []
    rows: dict[str, list[int]] = {reason: [0, 0] for reason in GuardedPrompt.Reason.values}
    found = GuardedPrompt.objects.filter(campaign=watch.campaign_id).exclude(reason="")
    for reason, by in found.values_list("reason", "labelled_by"):
        rows[reason][0] += 1
        rows[reason][1] += by == HUMAN
    return [{"reason": reason, "asked": n, "labelled": said} for reason, (n, said) in rows.items() if n]


def waiting(watch: GuardWatch) -> int:
    """Return how many items of the inbox are open."""
    inbox = inbox_of(watch)
    if inbox is None:
        return 0
    return Task.objects.filter(campaign=inbox, batch__startswith=_ours(watch), state=Task.State.OPEN).count()
