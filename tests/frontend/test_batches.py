"""Batches on the overview: how far each is, and which comes first."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from annotation.models import Task
from annotation.services import campaigns
from tests.factories import judge, make_campaign, make_task

pytestmark = pytest.mark.django_db


def test_a_lead_gives_a_batch_another_priority(client: Client, lead):
    campaign = make_campaign(lead=lead)
    task = make_task(campaign, batch="round-2")
    client.force_login(lead)
    overview = reverse("campaign", args=[campaign.pk])
    assert 'aria-label="Priority of round-2"' in client.get(overview).content.decode()
    page = reverse("campaign-priority", args=[campaign.pk])
    answer = client.post(page, {"batch": "round-2", "priority": "7"}, follow=True).content.decode()
    assert "1 open item of round-2 got the priority 7." in answer
    assert Task.objects.get(pk=task.pk).priority == 7
    for wrong in ("", "x", "9" * 11, "9999999999", "1.5"):
        refused = client.post(page, {"batch": "round-2", "priority": wrong}, follow=True)
        assert refused.status_code == 200
        assert Task.objects.get(pk=task.pk).priority == 7
    assert "no batch" in client.post(page, {"batch": "x", "priority": "1"}, follow=True).content.decode()


def test_who_judged_their_part_is_told_so(client: Client, lead, annotator):
    campaign = make_campaign(lead=lead, annotators=[annotator])
    for _ in range(2):
        make_task(campaign, batch="round-1")
    campaign = campaigns.update(campaign=campaign, actor=lead, batch_share=50)
    judge(annotator, campaign)
    client.force_login(annotator)
    answer = client.get(reverse("work", args=[campaign.pk])).content.decode()
    assert "You have judged your part of what there is now." in answer
    assert "item waits for you" not in answer
