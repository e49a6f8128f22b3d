"""Setting up a campaign; every change leaves an event."""

from __future__ import annotations

import pytest

from annotation.errors import CampaignClosed, Invalid
from annotation.models import Assignment, Campaign, Event, Guideline, Membership, Role, Task
from annotation.services import campaigns, events, members
from tests.factories import judge, make_assignment, make_campaign, make_user

pytestmark = pytest.mark.django_db

State = Campaign.State


def actions(campaign) -> list[str]:
    return list(Event.objects.filter(campaign=campaign).order_by("id").values_list("action", flat=True))


class TestCreate:
    def test_it_is_a_draft_with_a_guideline_and_a_lead(self, lead):
        campaign = campaigns.create(name="  Helpful ", actor=lead, options={"ties": False}, guideline="Be kind.")
        assert (campaign.name, campaign.state, campaign.guideline_version) == ("Helpful", State.DRAFT, 1)
        assert campaign.options["ties"] is False
        assert campaign.options["both_bad"] is True, "completed with the defaults"
        assert Guideline.objects.get(campaign=campaign).text == "Be kind."
        assert Membership.objects.get(campaign=campaign).role == Role.LEAD
        assert actions(campaign) == ["campaign.created"]

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"name": ""}, "name"),
            ({"name": "x" * 121}, "name"),
            ({"name": "a\x00"}, "name"),
            ({"description": "a\x00"}, "description"),
            ({"overlap": 0}, "overlap"),
            ({"overlap": 51}, "overlap"),
            ({"lease_seconds": 59}, "lease_seconds"),
            ({"lease_seconds": 86401}, "lease_seconds"),
            ({"kind": "telepathy"}, "kind"),
            ({"options": {"ties": 3}}, "ties"),
            ({"guideline": "a\x00"}, "guideline"),
            ({"guideline": "x" * 200_001}, "guideline"),
        ],
    )
    def test_what_does_not_fit_is_refused_at_its_field(self, lead, changes, field):
        with pytest.raises(Invalid) as refused:
            campaigns.create(**{"name": "Campaign", "actor": lead, **changes})
        assert set(refused.value.errors) == {field}
        assert not Campaign.objects.exists()

    def test_names_are_unique(self, lead):
        campaigns.create(name="One", actor=lead)
        with pytest.raises(Invalid) as refused:
            campaigns.create(name="One", actor=lead)
        assert set(refused.value.errors) == {"name"}


class TestUpdate:
    def test_it_changes_what_is_given_and_tells_what_it_was(self, lead):
        campaign = make_campaign("Old", lead=lead, tasks=1)
        changed = campaigns.update(campaign=campaign, actor=lead, name="New", overlap=3)
        assert (changed.name, changed.overlap, changed.lease_seconds) == ("New", 3, campaign.lease_seconds)
        event = Event.objects.get(action="campaign.changed")
        assert event.detail == {"name": {"from": "Old", "to": "New"}, "overlap": {"from": 1, "to": 3}}
        assert Task.objects.get().wanted == 1, "for items imported from now on"

    def test_no_change_is_no_event(self, lead):
        campaign = make_campaign("Same", lead=lead)
        campaigns.update(campaign=campaign, actor=lead, name="Same", options={})
        assert "campaign.changed" not in actions(campaign)

    def test_what_does_not_fit_changes_nothing(self, lead):
        make_campaign("Taken", lead=lead)
        campaign = make_campaign("Mine", lead=lead)
        with pytest.raises(Invalid):
            campaigns.update(campaign=campaign, actor=lead, name="Taken", description="new")
        campaign.refresh_from_db()
        assert (campaign.name, campaign.description) == ("Mine", "")


class TestState:
    def test_open_pause_open_close(self, lead):
        campaign = make_campaign(lead=lead, is_open=False)
        for change, state in (
            (campaigns.open_campaign, State.OPEN),
            (campaigns.pause_campaign, State.PAUSED),
            (campaigns.pause_campaign, State.PAUSED),
            (campaigns.open_campaign, State.OPEN),
            (campaigns.close_campaign, State.CLOSED),
        ):
            assert change(campaign=campaign, actor=lead).state == state
            assert campaign.state == state, "the object at hand knows as well"
        changes = ["campaign.opened", "campaign.paused", "campaign.opened", "campaign.closed"]
        assert actions(campaign) == ["campaign.created", *changes]

    def test_closed_is_final(self, lead):
        campaign = make_campaign(lead=lead)
        campaigns.close_campaign(campaign=campaign, actor=lead)
        for change in (campaigns.open_campaign, campaigns.pause_campaign):
            with pytest.raises(CampaignClosed):
                change(campaign=campaign, actor=lead)

    def test_a_draft_cannot_be_paused(self, lead):
        with pytest.raises(Invalid):
            campaigns.pause_campaign(campaign=make_campaign(lead=lead, is_open=False), actor=lead)


class TestGuideline:
    def test_a_change_is_a_new_version_and_the_old_one_stays(self, lead):
        campaign = make_campaign(lead=lead, guideline="One.")
        assert campaigns.write_guideline(campaign=campaign, text="Two.", actor=lead).version == 2
        assert campaigns.write_guideline(campaign=campaign, text="Two.", actor=lead).version == 2
        campaign.refresh_from_db()
        assert campaign.guideline_version == 2
        assert list(campaign.guidelines.order_by("version").values_list("text", flat=True)) == ["One.", "Two."]
        assert actions(campaign).count("guideline.written") == 1


class TestPeople:
    def test_adding_twice_changes_nothing(self, lead, annotator):
        campaign = make_campaign(lead=lead)
        first = members.add(campaign=campaign, username="annotator", role="annotator", actor=lead)
        again = members.add(campaign=campaign, username="annotator", role=Role.ANNOTATOR, actor=lead)
        assert first == again
        assert actions(campaign).count("member.added") == 1
        members.add(campaign=campaign, username="annotator", role="engineer", actor=lead)
        assert campaign.memberships.filter(user=annotator).count() == 2

    @pytest.mark.parametrize(
        ("username", "role", "field"),
        [("nobody", "lead", "username"), ("a\x00", "lead", "username"), ("lead", "boss", "role")],
    )
    def test_unknown_people_and_roles_are_refused(self, lead, username, role, field):
        with pytest.raises(Invalid) as refused:
            members.add(campaign=make_campaign(lead=lead), username=username, role=role, actor=lead)
        assert set(refused.value.errors) == {field}

    def test_who_leaves_gives_back_what_they_hold_and_keeps_what_they_judged(self, lead, annotator):
        campaign = make_campaign(lead=lead, annotators=[annotator], tasks=2)
        judged = judge(annotator, campaign)
        held = make_assignment(annotator, campaign)
        members.remove(campaign=campaign, username="annotator", actor=lead)
        held.refresh_from_db()
        assert held.state == Assignment.State.RELEASED
        assert Task.objects.get(pk=held.task_id).seats == 1
        judged.refresh_from_db()
        assert judged.is_current
        assert actions(campaign)[-1] == "member.removed"
        for username in ("annotator", "nobody", "a\x00"):
            with pytest.raises(Invalid):
                members.remove(campaign=campaign, username=username, actor=lead)

    def test_one_role_of_two_may_go(self, lead, annotator):
        campaign = make_campaign(lead=lead, annotators=[annotator], engineers=[annotator], tasks=1)
        held = make_assignment(annotator, campaign)
        members.remove(campaign=campaign, username="annotator", actor=lead, role=Role.ENGINEER)
        held.refresh_from_db()
        assert held.state == Assignment.State.OPEN, "they still judge"
        assert list(campaign.memberships.filter(user=annotator).values_list("role", flat=True)) == ["annotator"]

    def test_one_lead_always_stays(self, lead):
        campaign = make_campaign(lead=lead)
        with pytest.raises(Invalid, match="only lead"):
            members.remove(campaign=campaign, username="lead", actor=lead)
        second = make_user("second")
        members.add(campaign=campaign, username="second", role="lead", actor=lead)
        members.remove(campaign=campaign, username="lead", actor=second)
        assert not campaign.memberships.filter(user=lead).exists()


def test_an_event_tells_who_did_what(lead):
    campaign = make_campaign(lead=lead)
    event = events.record(
        campaign=campaign, actor=lead, action="policy.promoted", target="x" * 200, detail={"reason": "better"}
    )
    event.refresh_from_db()
    assert (event.campaign, event.actor, event.action) == (campaign, lead, "policy.promoted")
    assert (len(event.target), event.detail) == (80, {"reason": "better"})
    assert events.record(campaign=None, actor=None, action="server.started").detail == {}


@pytest.mark.django_db
def test_a_campaign_with_items_cannot_turn_into_a_red_team(lead):
    """What stands in a form to amend would mean the opposite."""
    campaign = make_campaign(lead=lead, tasks=1)
    with pytest.raises(Invalid) as caught:
        campaigns.update(campaign=campaign, actor=lead, options={"mode": "red_team"})
    assert "start another campaign" in caught.value.errors["mode"][0]
    campaigns.update(campaign=campaign, actor=lead, options={"ties": False})
    empty = make_campaign(lead=lead)
    assert campaigns.update(campaign=empty, actor=lead, options={"mode": "red_team"}).options["mode"] == "red_team"
