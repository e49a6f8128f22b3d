"""What there is to see: every page, and what becomes of those that change under the hand, for ``--every``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.test import Client
from django.urls import reverse
from playwright.sync_api import Page

from annotation.feedback import KINDS
from annotation.models import Campaign, Gold, Task, User
from annotation.services import invitations
from frontend.lead_urls import urlpatterns as lead_pages
from tests.tour import acts
from training.models import KnowledgeDocument, ModelVersion, Run, Snapshot, Suite
from training.services import explorer

NOBODY = ""


@dataclass(frozen=True)
class Scene:
    """A page as one person has it before them, after they did something there."""

    person: str
    name: str
    path: str
    act: Callable[[Page], None] = acts.nothing


def all_scenes(campaigns: dict[str, Campaign]) -> Iterator[Scene]:
    """Yield every scene, those of one person after another. What changes the data comes last."""
    shape = Campaign.objects.get(name="Shape a small model")
    real = Campaign.objects.get(name="Real answers")
    yield from _strangers(campaigns["quality"])
    yield from _annotators(campaigns, shape, real)
    yield from _held_up(campaigns)
    yield from (Scene("lead", name, path) for name, path in lead_paths(shape, "shape"))
    yield from (Scene("lead", name, path) for name, path in lead_paths(campaigns["quality"], "kitchen"))
    yield from (Scene("lead", name, path) for name, path in lead_paths(campaigns["checks"], "checks"))
    yield from (Scene("lead", f"new-{kind}", f"/campaigns/new/?kind={kind}") for kind in sorted(KINDS))
    yield Scene("lead", "new-wrong", "/campaigns/new/?kind=pairwise", acts.refused)
    yield Scene("lead", "new-template", "/campaigns/new/?template=safe-rlhf")
    yield Scene("lead", "conflict", f"/campaigns/{campaigns['quality'].pk}/reviews/", acts.first_conflict)
    yield Scene("lead", "upload", f"/campaigns/{campaigns['quality'].pk}/import/", acts.upload)
    yield Scene("lead", "lead-home", "/")
    for recipe in ("dpo", "ppo"):
        yield Scene("lead", f"run-new-{recipe}", f"/campaigns/{shape.pk}/runs/new/{recipe}/")


def _strangers(campaign: Campaign) -> Iterator[Scene]:
    actor = User.objects.get(username="lead")
    invited = invitations.invite(campaign=campaign, role="annotator", actor=actor, most_uses=9).secret
    yield Scene(NOBODY, "login", "/login/")
    yield Scene(NOBODY, "login-refused", "/login/", acts.wrong_password)
    yield Scene(NOBODY, "lost", "/login/lost-password/")
    yield Scene(NOBODY, "lost-sent", "/login/lost-password/", acts.send_link)
    yield Scene(NOBODY, "join", f"/invitation/{invited}/")
    yield Scene(NOBODY, "join-unknown", "/invitation/unknown/")


def _annotators(campaigns: dict[str, Campaign], shape: Campaign, real: Campaign) -> Iterator[Scene]:
    work = {name: f"/work/{one.pk}/" for name, one in campaigns.items() if name not in ("practice", "checks")}
    work["pairs"] = f"/work/{real.pk}/"
    for name, path in {
        "home": "/",
        "profile": "/profile/",
        "password": "/profile/password/",
        "factor": "/profile/second-factor/",
        "personal": "/profile/data/",
        "missing": "/no/such/page/",
        "docs": "/api/docs/",
        "wellbeing": f"{work['safety']}wellbeing/",
        "history": f"{work['quality']}history/",
        "history-empty": f"{work['code']}history/",
        "pile-empty": f"{work['code']}pile/",
    }.items():
        yield Scene("ann", name, path)
    yield Scene("ann", "factor-begun", "/profile/second-factor/", acts.begin_factor)
    yield Scene("ann", "profile-open", "/profile/", acts.unfold)
    yield Scene("ben", "warning", work["safety"])
    for name, path in work.items():
        yield Scene("ann", f"work-{name}", path, acts.uncover)
    for name, act in acts.JUDGED.items():
        yield Scene("ann", f"judged-{name}", work[name], act)
    yield Scene("ann", "wrong", work["ratings"], acts.keys("3", "Enter"))
    yield Scene("ann", "guideline", work["pairs"], acts.keys("g"))
    yield Scene("ann", "help", work["pairs"], acts.keys("?"))
    yield Scene("ann", "skip", work["pairs"], acts.keys("s"))
    yield Scene("ann", "enlarged", work["drawing"], acts.enlarge)
    yield Scene("ann", "pile", work["pairs"], acts.set_aside)
    yield Scene("ann", "chat-empty", f"/work/{shape.pk}/chat/")
    yield Scene("ann", "chat", f"/work/{shape.pk}/chat/", acts.chat)


def _held_up(campaigns: dict[str, Campaign]) -> Iterator[Scene]:
    """Yield what stands between a person and their items: practice, its answers, and words on their attention."""
    practice, checks = f"/work/{campaigns['practice'].pk}/", f"/work/{campaigns['checks'].pk}/"
    yield Scene("ben", "first-practice", practice)
    yield Scene("ben", "trial-before", f"{practice}trial/")
    yield Scene("ann", "told", checks)
    yield Scene("ben", "paused", checks)
    yield Scene("ann", "trial", f"{practice}trial/", acts.begin_trial)
    yield Scene("ann", "trial-told", f"{practice}trial/", acts.answer_trial)


def lead_paths(campaign: Campaign, prefix: str) -> Iterator[tuple[str, str]]:
    """Yield name and address of every page of a lead that there is something for in this campaign."""
    loop = getattr(campaign, "loop", None)
    runs = Run.objects.filter(campaign=campaign)
    known = {
        "campaign_id": campaign.pk,
        "recipe_name": "bradley-terry",
        "run_id": _last(runs.exclude(recipe__name=explorer.RECIPE)),
        "version_id": _last(ModelVersion.objects.filter(campaign=campaign).exclude(kind=ModelVersion.Kind.GUARD)),
        "round_id": _last(loop.rounds.all()) if loop else None,
        "suite_id": _last(Suite.objects.filter(campaign=campaign)),
        "snapshot_id": _last(Snapshot.objects.filter(campaign=campaign)),
        "task_id": _last(Task.objects.filter(campaign=campaign, gold=None)),
    }
    others: dict[str, dict[str, int | None]] = {
        "explored": {"run_id": _last(runs.filter(recipe__name=explorer.RECIPE))},
        "model-guard": {
            "version_id": _last(ModelVersion.objects.filter(campaign=campaign, kind=ModelVersion.Kind.GUARD))
        },
        "gold-item": {"task_id": _last(Task.objects.filter(campaign=campaign, gold__in=Gold.objects.all()))},
    }
    lead = Client(SERVER_NAME="localhost")
    lead.force_login(User.objects.get(username="lead"))
    for pattern in lead_pages:
        wanted = pattern.pattern.converters
        name = getattr(pattern, "name", None)
        given = known | others.get(name, {})
        if not name or any(given.get(one) is None for one in wanted):
            continue
        path = reverse(name, kwargs={one: given[one] for one in wanted})
        answer = lead.get(path)
        if answer.status_code == 200 and not answer.streaming and b"<html" in answer.content:
            yield f"{prefix}-{name}", path
    if document := KnowledgeDocument.objects.filter(campaign=campaign).first():
        yield f"{prefix}-document", f"{reverse('knowledge', args=[campaign.pk])}?document={document.name}"
    reward = _last(ModelVersion.objects.filter(campaign=campaign, kind=ModelVersion.Kind.REWARD))
    if reward is not None:
        yield f"{prefix}-reward-model", reverse("model", kwargs={"version_id": reward})


def _last(rows) -> int | None:  # type: ignore[no-untyped-def]
    return rows.order_by("-pk").values_list("pk", flat=True).first()
