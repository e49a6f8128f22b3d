"""What people and workers do in a walk: over HTTP, with the real core in real child processes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from django.forms import BaseForm, ChoiceField
from django.test import Client
from django.urls import reverse

from annotation.models import Assignment, Campaign, Feedback, User
from tests.factories import PASSWORD
from training.models import Run
from training.services import execution, rounds

Choice = Callable[[list[str]], str]


def signed_in(user: User) -> Client:
    """Return a browser in which `user` signed in by the form, as people do; the user is made with PASSWORD."""
    client = Client()
    response = client.post(reverse("login"), {"username": user.username, "password": PASSWORD})
    assert response.status_code == 302, response.content.decode()
    return client


def filled_in(form: BaseForm) -> dict[str, Any]:
    """Return what a browser would send for the form as it stands on the page, nothing changed."""
    sent = {}
    for name, field in form.fields.items():
        value = form[name].value()
        if value is None and isinstance(field, ChoiceField):
            value = field.choices[0][0]  # a browser sends the first option of a list that nobody touched
        if value is not None and value is not False:
            sent[name] = value
    return sent


def let_workers_work(*, round_ids: tuple[int, ...] = ()) -> None:
    """Do what a worker and the beat would: run what is queued and advance rounds, until only people can go on."""
    while True:
        moved = sum(rounds.advance(round_id) for round_id in round_ids)
        # After the rounds, because a round that stands still may just have queued a run.
        queued = list(Run.objects.filter(state=Run.State.QUEUED).order_by("pk"))
        for run in queued:
            execution.execute(run.pk)
        if not queued and not moved:
            return


def judge_page(client: Client, campaign: Campaign, choose: Choice) -> bool:
    """Judge the item on the work page as a browser without scripts does; False when there is none left.

    `choose` gets the answers in the order they stand on the screen and returns the value of `preference`.
    """
    html = client.get(reverse("work", args=[campaign.pk])).content.decode()
    found = re.search(r'name="assignment" value="([^"]+)"', html)
    if found is None:
        return False
    assignment = Assignment.objects.select_related("task").get(key=found[1])
    texts = [assignment.task.content["completions"][place]["text"] for place in assignment.shown_order]
    sent = dict(re.findall(r'<input type="hidden" name="(assignment|client_key)" value="([^"]+)"', html))
    sent["preference"] = choose(texts)
    before = Feedback.objects.count()
    response = client.post(reverse("work", args=[campaign.pk]), sent)
    assert response.status_code == 302, response.content.decode()
    assert Feedback.objects.count() == before + 1
    return True
