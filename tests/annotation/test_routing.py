"""Items go to people who can judge them; what nobody can take is said, with its reason."""

from __future__ import annotations

import json

import pytest

from annotation import routing
from annotation.errors import Invalid
from annotation.models import Campaign, Membership, Task
from annotation.permissions import campaign_for
from annotation.progress import my_progress
from annotation.reach import out_of_reach
from annotation.services import campaigns, intake, members, people, queue
from tests.factories import judge, make_campaign, make_task, make_user


def as_seen_by(user, campaign) -> Campaign:
    return campaign_for(user, campaign.pk)


@pytest.mark.parametrize(
    ("given", "tags"),
    [
        ("lang:de, Medicine", ["lang:de", "medicine"]),
        ("c++;law law", ["c++", "law"]),
        (["Überblick"], ["überblick"]),
        ("", []),
        (None, []),
    ],
)
def test_tags_are_read_from_lists_and_from_text(given, tags):
    assert routing.read_tags(given) == tags


@pytest.mark.parametrize("given", ["two/three", ["a" * 41], [1], {"a": 1}, ["-x"], [f"t{n}" for n in range(21)]])
def test_what_is_no_tag_is_refused_with_a_sentence(given):
    with pytest.raises(Invalid, match=r"\.$"):
        routing.read_tags(given)


def test_a_number_stands_for_tags_and_back():
    tags = ["needs lang:de", "about violence", "needs law"]
    assert routing.bits(tags, needs=["law", "unknown"], about=["violence"]) == 0b110
    assert routing.names(tags, 0b110, routing.NEEDS) == ["law"]
    assert routing.names(tags, 0b110, routing.ABOUT) == ["violence"]
    assert routing.barred(tags, skills=["law"], declined=["violence"]) == 0b011
    assert routing.barred(tags, skills=["law", "lang:de"]) == 0


@pytest.mark.django_db
class TestQueue:
    def test_only_people_with_all_an_item_needs_are_given_it(self, lead):
        german, both = make_user(), make_user()
        campaign = make_campaign(lead=lead, annotators=[german, both])
        task = make_task(campaign, requires=["lang:de", "law"])
        plain = make_task(campaign)
        people.set_skills(campaign=campaign, username=german.username, skills=["lang:de"], actor=lead)
        people.set_skills(campaign=campaign, username=both.username, skills=["law", "lang:de", "lang:fr"], actor=lead)
        for person, expected in ((german, plain), (both, task)):
            seen = as_seen_by(person, campaign)
            given = queue.next_task(user=person, campaign=seen)
            assert given is not None and given.task == expected
            queue.release(assignment=given)
        assert my_progress(german, as_seen_by(german, campaign)).available == 1
        assert my_progress(both, as_seen_by(both, campaign)).available == 2
        judge(german, as_seen_by(german, campaign))
        assert my_progress(german, as_seen_by(german, campaign)).available == 0
        assert queue.next_task(user=german, campaign=as_seen_by(german, campaign)) is None

    def test_a_skill_that_is_taken_away_counts_from_the_next_item_on(self, lead, annotator):
        campaign = make_campaign(lead=lead, annotators=[annotator])
        for _ in range(2):
            make_task(campaign, requires=["law"])
        people.set_skills(campaign=campaign, username="annotator", skills="law", actor=lead)
        held = queue.next_task(user=annotator, campaign=as_seen_by(annotator, campaign))
        people.set_skills(campaign=campaign, username="annotator", skills="", actor=lead)
        assert queue.next_task(user=annotator, campaign=as_seen_by(annotator, campaign)) == held
        judge(annotator, as_seen_by(annotator, campaign), assignment=held)
        assert queue.next_task(user=annotator, campaign=as_seen_by(annotator, campaign)) is None

    def test_what_nobody_can_take_is_told_with_its_reason(self, lead, annotator):
        campaign = make_campaign(lead=lead, annotators=[annotator], overlap=2)
        for _ in range(3):
            make_task(campaign, requires=["lang:de"])
        make_task(campaign)
        campaign.refresh_from_db()
        (found,) = out_of_reach(campaign)
        assert (found.items, found.needs, found.wanted, found.able) == (3, ["lang:de"], 2, 0)
        assert found.reason.startswith("3 items need lang:de, and nobody here has all of that.")
        people.set_skills(campaign=campaign, username="annotator", skills=["lang:de"], actor=lead)
        (found,) = out_of_reach(campaign)
        assert found.reason == "3 items need lang:de of 2 people each, and only 1 person has it here."
        people.set_skills(campaign=campaign, username="lead", skills=["lang:de"], actor=lead)
        assert out_of_reach(campaign) == []

    def test_what_wants_more_people_than_may_judge_is_told_until_they_are_there(self, lead, annotator):
        campaign = make_campaign(lead=lead, annotators=[annotator], overlap=3)
        (coming,) = out_of_reach(campaign)
        assert (coming.items, coming.needs, coming.wanted, coming.able) == (0, [], 3, 2)
        assert coming.reason.startswith("Each item is to be judged by 3 people, and 2 people may judge here")
        for wanted in (1, 3, 4):
            make_task(campaign, wanted=wanted)
        (found,) = out_of_reach(campaign)
        assert (found.items, found.wanted, found.able) == (2, 4, 2)
        assert found.reason.startswith("2 items are to be judged by 4 people each, and 2 people may judge here")
        for name in ("third", "fourth"):
            Membership.objects.create(campaign=campaign, user=make_user(name), role="annotator")
        assert out_of_reach(campaign) == []
        members.hold_back(campaign=campaign, username="fourth", held_back=True, actor=lead)
        assert [(one.items, one.able) for one in out_of_reach(campaign)] == [(1, 3)]
        campaigns.update(campaign=campaign, actor=lead, overlap=1, cohort_percent=10, cohort_overlap=5)
        campaign.refresh_from_db()
        Task.objects.filter(campaign=campaign).update(state="complete")
        (share,) = out_of_reach(campaign)
        assert (share.items, share.wanted) == (0, 5)
        campaigns.close_campaign(campaign=campaign, actor=lead)
        campaign.refresh_from_db()
        assert out_of_reach(campaign) == []


@pytest.mark.django_db
class TestImport:
    def test_a_row_says_what_it_needs_else_the_campaign_does(self, lead):
        campaign = make_campaign(lead=lead)
        campaigns.update(campaign=campaign, actor=lead, requires=["lang:DE"])
        rows = [
            {"id": "own", "prompt": "Q?", "completions": ["a", "b"], "requires": "law, lang:fr"},
            {"id": "none", "prompt": "R?", "completions": ["a", "b"], "requires": []},
            {"id": "usual", "prompt": "S?", "completions": ["a", "b"]},
            {"id": "wrong", "prompt": "T?", "completions": ["a", "b"], "requires": "a/b"},
        ]
        report = intake.import_lines(campaign=campaign, lines=map(json.dumps, rows), actor=lead)
        assert (report.created, report.failed) == (3, 1)
        assert report.errors[0].reason.startswith("Its requires cannot be read. 'a/b' is no tag")
        campaign.refresh_from_db()
        needs = {
            task.external_id: set(routing.names(campaign.tags, task.tags, routing.NEEDS)) for task in Task.objects.all()
        }
        assert needs == {"own": {"law", "lang:fr"}, "none": set(), "usual": {"lang:de"}}

    def test_more_tags_than_there_is_room_for_are_refused(self, lead, monkeypatch):
        monkeypatch.setattr(routing, "MOST", 2)
        campaign = make_campaign(lead=lead)
        make_task(campaign, requires=["one", "two"])
        with pytest.raises(Invalid, match="at most 2 skills and categories"):
            make_task(campaign, requires=["three"])

    def test_a_refused_item_keeps_its_tags_for_the_next_try(self):
        from annotation.importing.layouts import items_of

        row = {"id": "x", "prompt": "Q?", "completions": ["a", "b"], "requires": ["law"]}
        (item,) = items_of(row, bounds=(2, 2))
        assert item.as_row()["requires"] == ["law"]


@pytest.mark.django_db
def test_skills_are_for_members_and_leave_a_trace(lead, annotator, stranger):
    campaign = make_campaign(lead=lead, annotators=[annotator])
    with pytest.raises(Invalid, match="no role"):
        people.set_skills(campaign=campaign, username=stranger.username, skills=["law"], actor=lead)
    with pytest.raises(Invalid, match="is no tag"):
        people.set_skills(campaign=campaign, username="annotator", skills=["a b"], actor=lead)
    for _ in range(2):
        people.set_skills(campaign=campaign, username="annotator", skills=["law"], actor=lead)
    (event,) = campaign.events.filter(action="member.skills")
    assert event.changes == [("skills", [], ["law"])]
