"""The administrator's pages: each opens with rows in it, and what services own is read-only."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.urls import reverse

from annotation.admin import ReadOnlyAdmin
from annotation.models import Campaign, Completion, Feedback, Membership, Prompt, Task, User
from annotation.services import campaigns
from tests.factories import judge, make_campaign, make_user

pytestmark = pytest.mark.django_db

OURS = [model for model in admin.site._registry if model._meta.app_label == "annotation"]


@pytest.fixture
def superuser():
    return make_user("root", is_staff=True, is_superuser=True)


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_every_list_and_every_row_opens(client, superuser, lead, model):
    campaign = make_campaign(lead=lead, tasks=1)
    campaigns.write_guideline(campaign=campaign, text="New.", actor=lead)
    judge(lead, campaign)
    client.force_login(superuser)
    name = f"admin:annotation_{model._meta.model_name}"
    assert client.get(reverse(f"{name}_changelist"), {"q": "x"}).status_code == 200
    assert client.get(reverse(f"{name}_changelist")).status_code == 200
    row = model.objects.first()
    assert row is not None
    assert client.get(reverse(f"{name}_change", args=[row.pk])).status_code == 200


@pytest.mark.parametrize("model", [Campaign, Prompt, Completion, Task, Feedback], ids=lambda model: model.__name__)
def test_what_services_own_is_read_only(client, superuser, lead, model):
    judge(lead, make_campaign(lead=lead, tasks=1))
    client.force_login(superuser)
    name = f"admin:annotation_{model._meta.model_name}"
    row = model.objects.first()
    assert client.get(reverse(f"{name}_add")).status_code == 403
    assert client.post(reverse(f"{name}_change", args=[row.pk]), {}).status_code == 403
    assert client.post(reverse(f"{name}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403
    assert model.objects.filter(pk=row.pk).exists()


def test_people_and_their_roles_are_edited_here():
    editable = {model for model in OURS if not isinstance(admin.site._registry[model], ReadOnlyAdmin)}
    assert editable == {User, Membership}


@pytest.mark.parametrize("person", ["annotator", "lead", "stranger"])
def test_nobody_else_gets_in(client, request, person):
    user = request.getfixturevalue(person)
    client.force_login(user)
    assert client.get(reverse("admin:annotation_user_changelist")).status_code == 302
