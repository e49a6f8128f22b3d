"""Who meets which page: everybody, at every address, with what is theirs and a plain answer for the rest."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from annotation.models import Event, User
from frontend.lead_urls import urlpatterns as lead_pages
from frontend.page_urls import urlpatterns as pages
from tests.frontend.lead_world import World, judge_all, keep_suite, make_loop, make_world, start_run
from training.services import rounds

pytestmark = pytest.mark.django_db

CALLERS = ("anonymous", "stranger", "annotator", "reviewer", "engineer", "lead", "admin")
# Not signed in, one is sent to the sign-in page. A stranger does not learn what there is.
READERS = (302, 404, 403, 403, 200, 200, 200)
LEADS = (302, 404, 403, 403, 403, 200, 200)
LEADS_POST = (302, 404, 403, 403, 403, 302, 302)
WITHOUT_ANSWERS = (302, 404, 403, 403, 404, 404, 404)  # of a run that sampled nothing
READERS_POST = (302, 404, 403, 403, 302, 302, 302)
WORKERS = (302, 404, 200, 403, 403, 200, 200)
SIGNED_IN = (302, 200, 200, 200, 200, 200, 200)
TABLE: list[tuple[str, str, dict[str, Any], tuple[int, ...]]] = [
    ("home", "get", {}, SIGNED_IN),
    ("login", "get", {}, (200, 302, 302, 302, 302, 302, 302)),
    ("second-step", "get", {}, (302,) * 7),
    ("second-factor", "get", {}, SIGNED_IN),
    ("lost-password", "get", {}, (200,) * 7),
    ("password_reset_confirm", "get", {}, (200,) * 7),
    # There is no provider here; what it does is tested with one.
    ("oidc", "get", {}, (404,) * 7),
    ("oidc-callback", "get", {}, (404,) * 7),
    ("logout", "post", {}, (302, 302, 302, 302, 302, 302, 302)),
    ("set-language", "post", {"language": "de"}, (302, 302, 302, 302, 302, 302, 302)),
    ("profile", "get", {}, SIGNED_IN),
    ("work", "get", {}, WORKERS),
    ("work-agree", "post", {}, (302, 404, 302, 403, 403, 302, 302)),
    ("work-wellbeing", "get", {}, WORKERS),
    ("work-leave", "post", {}, (302, 404, 302, 403, 403, 302, 302)),
    ("work-stop", "post", {}, (302, 404, 302, 403, 403, 302, 302)),
    ("work-trial", "get", {}, WORKERS),
    ("work-seen", "post", {}, (302, 404, 302, 403, 403, 302, 302)),
    ("work-skip", "post", {"assignment": "nobody's"}, (302, 404, 404, 403, 403, 404, 404)),
    ("work-draft", "post", {"assignment": "nobody's"}, (302, 404, 404, 403, 403, 404, 404)),
    ("work-beat", "post", {"assignment": "nobody's"}, (302, 404, 409, 403, 403, 409, 409)),
    ("work-propose", "post", {"assignment": "nobody's"}, (302, 404, 404, 403, 403, 404, 404)),
    ("work-readability", "post", {"assignment": "nobody's"}, (302, 404, 404, 403, 403, 404, 404)),
    ("work-undo", "get", {}, (302, 404, 200, 403, 403, 302, 302)),
    ("work-set-aside", "post", {"assignment": "nobody's"}, (302, 404, 404, 403, 403, 404, 404)),
    ("work-pile", "get", {}, WORKERS),
    ("work-history", "get", {}, WORKERS),
    ("work-guideline", "get", {}, WORKERS),
    ("chat", "get", {}, WORKERS),
    ("chat-answers", "get", {}, (302, 404, 286, 403, 403, 286, 286)),
    # Signed out, one gets back what one typed.
    ("chat-say", "post", {"message": "Hello.", "client_key": "k"}, (401, 404, 302, 403, 403, 302, 302)),
    ("chat-choose", "post", {"turn": "1", "client_key": "k"}, (302, 404, 404, 403, 403, 404, 404)),
    ("chat-end", "post", {}, (302, 404, 302, 403, 403, 302, 302)),
    ("campaigns", "get", {}, (302, 404, 403, 403, 200, 200, 200)),
    ("campaign-new", "get", {}, (302, 404, 403, 403, 403, 200, 200)),
    ("campaign-from-file", "post", {}, (302, 404, 403, 403, 403, 302, 302)),
    ("campaign-preview", "post", {}, (302, 404, 403, 403, 200, 200, 200)),
    ("campaign-settings", "get", {}, READERS),
    ("campaign", "get", {}, READERS),
    ("campaign-progress", "get", {}, READERS),
    ("campaign-state", "post", {"action": "pause"}, LEADS_POST),
    ("campaign-delete", "post", {}, LEADS_POST),
    # It is not deleted; a campaign that is has a test of its own.
    ("campaign-restore", "post", {}, (302, 404, 404, 404, 404, 404, 404)),
    ("campaign-priority", "post", {"batch": "x", "priority": "1"}, LEADS_POST),
    ("campaign-overlap", "post", {"wanted": "2"}, LEADS_POST),
    ("campaign-edit", "get", {}, LEADS),
    ("campaign-import", "get", {}, READERS),
    ("import-errors", "get", {}, (302, 404, 403, 403, 404, 404, 404)),
    ("import-preview", "get", {}, READERS_POST),
    ("campaign-people", "get", {}, LEADS),
    ("campaign-invitations", "get", {}, LEADS),
    ("invitation", "get", {}, (404,) * 7),  # there is none; taken in its own test
    ("password", "get", {}, SIGNED_IN),
    ("operations", "get", {}, READERS),
    ("policies", "get", {}, READERS),
    ("policies-csv", "get", {}, READERS),
    ("campaign-hours", "get", {}, LEADS),
    ("gold", "get", {}, READERS),
    ("gold-file", "get", {}, READERS),
    ("gold-item", "get", {}, READERS),
    ("gold-people", "post", {"decision": "lift", "person": "nobody"}, LEADS_POST),
    ("audit", "get", {}, LEADS),
    ("server-audit", "get", {}, (302, 404, 404, 404, 404, 404, 200)),
    ("reviews", "get", {}, (302, 404, 403, 200, 403, 200, 200)),
    ("review", "get", {}, (302, 404, 403, 200, 403, 200, 200)),
    ("campaign-quality", "get", {}, (302, 404, 403, 200, 200, 200, 200)),
    ("quality-csv", "get", {}, (302, 404, 403, 200, 200, 200, 200)),
    ("campaign-export", "get", {}, READERS),
    ("personal", "get", {}, (302, *[200] * 6)),
    ("personal-file", "get", {}, (302, *[200] * 6)),
    ("personal-of", "get", {}, (302, 404, 404, 404, 404, 404, 200)),
    ("personal-file-of", "get", {}, (302, 404, 404, 404, 404, 404, 200)),
    ("webhooks", "get", {}, LEADS),
    ("snapshots", "get", {}, READERS),
    ("snapshot", "get", {}, READERS),
    ("snapshot-push", "post", {}, READERS_POST),
    ("mismatch", "get", {}, READERS),
    ("drift", "get", {}, READERS),
    ("drift-settings", "get", {}, LEADS),
    ("drift-retrain", "post", {}, LEADS_POST),
    ("suites", "get", {}, READERS),
    # Nothing says in which campaign people are to be asked.
    ("suite-ask", "post", {}, (302, 404, 403, 403, 404, 404, 404)),
    ("runs", "get", {}, READERS),
    ("run-new", "get", {}, READERS),
    ("run", "get", {}, READERS),
    ("run-progress", "get", {}, READERS),
    ("run-log", "get", {}, READERS),
    ("run-what-if", "get", {}, WITHOUT_ANSWERS),
    ("run-cancel", "post", {}, READERS_POST),
    ("run-retry", "post", {}, READERS_POST),
    # Nothing says in which campaign people are to be asked.
    ("run-ask", "post", {}, (302, 404, 403, 403, 404, 404, 404)),
    ("models", "get", {}, READERS),
    ("explorer", "get", {"q": ""}, READERS),
    ("playground", "get", {}, READERS),
    ("playground-start", "post", {}, (302, 404, 403, 403, 422, 422, 422)),
    # Nobody in this world has one open.
    ("playground-say", "post", {"message": "Hi"}, (401, 404, 403, 403, 404, 404, 404)),
    ("playground-answers", "get", {}, (302, 404, 403, 403, 404, 404, 404)),
    ("playground-save", "post", {"turn": "1"}, (302, 404, 403, 403, 404, 404, 404)),
    ("playground-leave", "post", {}, READERS_POST),
    # The run in this world is another one's.
    ("explored", "get", {}, (302, 404, 403, 403, 404, 404, 404)),
    ("explored-progress", "get", {}, (302, 404, 403, 403, 404, 404, 404)),
    ("model", "get", {}, READERS),
    # No gate looked at the version in this world, and it is a policy.
    ("model-gate", "get", {}, (302, 404, 403, 403, 404, 404, 404)),
    ("model-gate-pdf", "get", {}, (302, 404, 403, 403, 404, 404, 404)),
    ("knowledge", "get", {}, READERS),
    # The lead has written it before the administrator does.
    ("knowledge", "post", {"document": "a", "text": "Be kind.", "seen": "0"}, (401, 404, 403, 403, 403, 302, 422)),
    # The version in this world is a policy.
    ("model-guard", "get", {}, (302, 404, 403, 403, 404, 404, 404)),
    ("model-people", "get", {}, (302, 404, 403, 403, 404, 404, 404)),
    ("model-quiz", "get", {}, (302, 404, 404, 403, 404, 404, 404)),
    # Its files are not here, which the page that one comes back to says.
    ("model-folder", "get", {}, READERS_POST),
    ("model-merge", "post", {}, READERS_POST),
    # One that is in use is not sent, which the page tells.
    ("model-send", "post", {}, (302, 404, 403, 403, 403, 422, 422)),  # it is in use, which no gate decides on
    ("model-promote", "post", {}, LEADS_POST),
    ("model-roll-back", "post", {}, LEADS_POST),
    ("loop", "get", {}, READERS),
    ("loop-new", "get", {}, (302, 404, 403, 403, 403, 302, 302)),
    ("loop-edit", "get", {}, LEADS),
    ("loop-status", "get", {}, READERS),
    ("loop-action", "post", {"action": "pause"}, LEADS_POST),
    ("round", "get", {}, READERS),
]


@pytest.fixture
def world() -> World:
    made = make_world()
    judge_all(made)
    return made


def arguments(world: World) -> dict[str, Any]:
    """Return what the addresses ask for, all of it out of the world."""
    loop = make_loop(world, chat=True)
    round = rounds.start_round(loop=loop, actor=world.lead)
    return {
        "campaign_id": world.campaign.pk,
        "event_id": Event.objects.filter(campaign=world.campaign)[0].pk,
        "token": "unknown",
        "part": "agreement",  # of the two pages that have parts
        "secret": "unknown",
        "uidb64": "MQ",
        "task_id": world.campaign.tasks.first().pk,
        "recipe_name": "bradley-terry",
        "run_id": (run := start_run(world)).pk,
        "snapshot_id": run.snapshot_id,
        "suite_id": keep_suite(world).pk,
        "pseudonym": User.objects.create(username="gone").pseudonym,
        "version_id": round.policy_id,
        "round_id": round.pk,
    }


@pytest.mark.parametrize(("name", "method", "sent", "expected"), TABLE, ids=[row[0] for row in TABLE])
def test_everybody_gets_what_is_theirs(
    world: World, name: str, method: str, sent: dict[str, Any], expected: tuple[int, ...]
) -> None:
    known = arguments(world)
    pattern = next(one for one in [*pages, *lead_pages] if getattr(one, "name", None) == name)
    path = reverse(name, kwargs={key: known[key] for key in pattern.pattern.converters})
    for caller, status in zip(CALLERS, expected, strict=True):
        client = Client() if caller == "anonymous" else world.client(caller)
        response = getattr(client, method)(path, sent)
        assert response.status_code == status, caller
        if caller == "anonymous" and status == 302 and name not in ("logout", "set-language"):
            assert response.url.startswith("/login/")


def test_the_table_is_complete() -> None:
    named = {pattern.name for pattern in [*pages, *lead_pages] if getattr(pattern, "name", None)}
    assert named == {row[0] for row in TABLE}
