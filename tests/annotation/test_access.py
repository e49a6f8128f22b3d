"""The table of actions and roles: complete, printed in the README as it is, and what the gates go by."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.utils import translation

from annotation.access import ADMIN, TABLE, Action, allows, as_markdown, roles_for
from annotation.models import Membership, Role, User
from annotation.permissions import campaign_for, may
from tests.factories import make_campaign, make_user

README = Path(__file__).parents[2] / "README.md"


def test_the_table_is_complete() -> None:
    assert set(TABLE) == set(Action)
    for action, (words, roles) in TABLE.items():
        assert str(words).strip() and not str(words).endswith("."), action
        assert roles <= set(Role)
        assert Role.LEAD in roles or action in (Action.ADMINISTER, Action.TAMPER)


def test_the_readme_prints_it() -> None:
    with translation.override("en"):
        printed = as_markdown()
    assert printed in README.read_text(), f"Put this into the README, below 'Who may do what':\n\n{printed}"
    assert ADMIN in printed


def test_who_decides_between_judgements_gives_none_and_who_gives_one_sees_no_others() -> None:
    assert not allows({Role.REVIEWER}, Action.JUDGE)
    for action in (Action.REVIEW, Action.READ, Action.EXPORT, Action.MEASURE):
        assert not allows({Role.ANNOTATOR}, action)
    assert allows({Role.ANNOTATOR, Role.REVIEWER}, Action.JUDGE), "roles add up"
    assert not allows(set(), Action.SEE)


@pytest.mark.django_db
def test_the_gates_go_by_it(annotator: User, reviewer: User, lead: User, stranger: User) -> None:
    engineer, admin = make_user("engineer"), make_user("root", is_superuser=True)
    campaign = make_campaign(lead=lead, annotators=[annotator], reviewers=[reviewer], engineers=[engineer])
    holders = {Role.ANNOTATOR: annotator, Role.REVIEWER: reviewer, Role.LEAD: lead, Role.ENGINEER: engineer}
    holders[Role.RED_TEAM] = make_user("red")
    Membership.objects.create(campaign=campaign, user=holders[Role.RED_TEAM], role=Role.RED_TEAM)
    assert set(holders) == set(Role)
    for action in Action:
        assert campaign_for(admin, campaign.pk, action) == campaign
        assert may(admin, campaign, action)
        with pytest.raises(Http404):
            campaign_for(stranger, campaign.pk, action)
        assert not may(stranger, campaign, action)
        for role, person in holders.items():
            allowed = role in roles_for(action)
            assert may(person, campaign, action) == allowed
            if allowed:
                assert campaign_for(person, campaign.pk, action) == campaign
            else:
                with pytest.raises(PermissionDenied):
                    campaign_for(person, campaign.pk, action)
