"""The gates: who reaches a campaign or an item, and that a stranger learns nothing."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.http import Http404

from annotation.models import Role
from annotation.permissions import assignment_for, campaign_for, roles_in
from annotation.services import members
from tests.factories import make_assignment, make_campaign, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def engineer():
    return make_user("engineer")


@pytest.fixture
def campaign(lead, annotator, engineer):
    return make_campaign(lead=lead, annotators=[annotator], engineers=[engineer], tasks=2)


def test_roles(campaign, lead, annotator, engineer, stranger):
    assert roles_in(lead, campaign) == set(Role), "a lead may do what everybody may"
    assert roles_in(annotator, campaign) == {Role.ANNOTATOR}
    assert roles_in(engineer, campaign) == {Role.ENGINEER}
    assert roles_in(stranger, campaign) == set()
    assert roles_in(make_user(is_superuser=True), campaign) == set(Role)
    assert roles_in(AnonymousUser(), campaign) == set()


def test_the_campaign_opens_for_the_right_role(campaign, lead, annotator, engineer, django_assert_num_queries):
    with django_assert_num_queries(1):
        assert campaign_for(annotator, campaign.pk, Role.ANNOTATOR).name == campaign.name
    assert campaign_for(annotator, campaign.pk) == campaign
    assert campaign_for(lead, campaign.pk, Role.ANNOTATOR) == campaign
    assert campaign_for(lead, campaign.pk, Role.ENGINEER) == campaign
    assert campaign_for(engineer, campaign.pk, Role.LEAD, Role.ENGINEER) == campaign
    assert campaign_for(make_user(is_superuser=True), campaign.pk, Role.LEAD) == campaign


def test_the_wrong_role_is_told_which_one_is_needed(campaign, annotator, engineer):
    with pytest.raises(PermissionDenied, match="role “Lead” or “Engineer”"):
        campaign_for(annotator, campaign.pk, Role.LEAD, Role.ENGINEER)
    with pytest.raises(PermissionDenied, match="role “Annotator”"):
        campaign_for(engineer, campaign.pk, Role.ANNOTATOR)


def test_a_stranger_cannot_tell_a_campaign_from_none(campaign, stranger):
    messages = set()
    for user, pk in ((stranger, campaign.pk), (stranger, 999_999), (stranger, 10**30), (AnonymousUser(), campaign.pk)):
        with pytest.raises(Http404) as hidden:
            campaign_for(user, pk, Role.LEAD)
        messages.add(str(hidden.value))
    assert len(messages) == 1
    root = make_user(is_superuser=True)
    for pk in (999_999, 10**30):
        with pytest.raises(Http404):
            campaign_for(root, pk)


def test_a_role_in_one_campaign_is_none_in_another(campaign, lead, annotator):
    other = make_campaign()
    for user in (lead, annotator):
        with pytest.raises(Http404):
            campaign_for(user, other.pk)


def test_an_item_belongs_to_one_person(campaign, lead, annotator, engineer, stranger, django_assert_num_queries):
    held = make_assignment(annotator, campaign)
    with django_assert_num_queries(1):
        found = assignment_for(annotator, held.key)
        assert (found.task.external_id, found.campaign.name) == (held.task.external_id, campaign.name)
    with django_assert_num_queries(1):  # the texts come when asked for
        assert found.task.content == held.task.content
    for user in (lead, engineer, stranger, AnonymousUser(), make_user(is_superuser=True)):
        with pytest.raises(Http404):
            assignment_for(user, held.key)
    for key in ("", "unknown", "a\x00b"):
        with pytest.raises(Http404):
            assignment_for(annotator, key)


def test_who_was_taken_out_has_no_items_any_more(campaign, lead, annotator):
    held = make_assignment(annotator, campaign)
    members.remove(campaign=campaign, username="annotator", actor=lead)
    with pytest.raises(Http404):
        assignment_for(annotator, held.key)
