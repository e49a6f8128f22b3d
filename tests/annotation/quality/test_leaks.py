"""Signs that people can tell gold, or have been told its answer: each by a world with it and one without."""

from __future__ import annotations

import json

import pytest

from annotation import leaks as report_of
from annotation.models import QualityReport, User
from annotation.quality import leaks
from annotation.quality.leaks import Seen
from annotation.quality.shares import share
from annotation.services import gold, intake
from tests.annotation.feedback.examples import EXAMPLES
from tests.factories import judge, make_campaign, make_task, make_user


def seen(item: int, person: int = 0, **fields: object) -> Seen:
    usual = {"right": 1.0, "right_stood_first": None, "pace": None}
    return Seen(item=item, person=person, **{**usual, **fields})  # type: ignore[arg-type]


def test_a_side_that_is_always_the_right_one_is_told_from_one_that_is_drawn():
    always = leaks.same_side([seen(n, right_stood_first=True) for n in range(10)])
    drawn = leaks.same_side([seen(n, right_stood_first=n % 2 == 0) for n in range(10)])
    assert always.leaks and not drawn.leaks and drawn.share.estimate == 0.5
    assert not leaks.same_side([seen(1, right_stood_first=True)] * 3).leaks, "three cases say nothing"


def test_who_begins_with_gold_every_time_can_tell():
    assert leaks.comes_first(8, people=8, percent=5).leaks
    assert not leaks.comes_first(1, people=8, percent=5).leaks


def test_gold_that_takes_half_of_what_other_items_take_shows_and_a_little_less_does_not():
    assert leaks.answered_faster([seen(n, pace=0.4) for n in range(12)]).leaks
    assert not leaks.answered_faster([seen(n, pace=0.9) for n in range(12)]).leaks
    assert leaks.answered_faster([seen(n, pace=1.0) for n in range(12)]).share.estimate == 0.5


def test_later_answers_that_are_right_more_often_show_and_a_level_share_does_not():
    rows = [seen(n, right=float(n < 35)) for n in range(70)] + [seen(n, right=float(n < 56)) for n in range(70)]
    found = leaks.later_over_earlier(rows)
    assert found.leaks and (found.earlier.n, found.later.n) == (70, 70)
    assert found.estimate == pytest.approx(0.3) and found.low is not None and found.low > 0.1
    flat = leaks.later_over_earlier([seen(n % 20, right=float(n % 3 > 0)) for n in range(120)])
    assert not flat.leaks and flat.low is not None and flat.low < 0 < (flat.high or 0)
    assert leaks.later_over_earlier([seen(1), seen(1)]).estimate is None


def test_who_takes_care_only_where_the_answer_is_known_shows(lead: User) -> None:
    """Three people judge thirty items and ten with gold, all right on gold; one answers the others by a coin."""
    people = [make_user() for _ in range(3)]
    campaign = make_campaign(lead=lead, annotators=people, overlap=3)
    for number in range(40):
        task = make_task(campaign)
        if number < 10:
            gold.set_gold(task=task, value={"answer": {"preference": "2"}}, actor=lead)
        for place, person in enumerate(people):
            coin = 2 if number % 4 < 2 else -2  # as the others in half of all
            by_coin = place == 2 and number >= 10
            judge(person, campaign, preference=coin if by_coin else 2 if number < 10 or number % 2 else -2)
    found = report_of.report(campaign)
    check = {one["check"]: one for one in found["findings"]}["careful"]
    assert [one["annotator"] for one in found["people"]] == [people[2].pseudonym]
    assert check["leaks"] and check["share"]["n"] == 3 and found["alike_by_chance"] == pytest.approx(0.5, abs=0.05)
    honest = leaks.Carefulness(1, share(9, 10), share(24, 30))
    assert not honest.knows(0.5) and not leaks.Carefulness(1, share(3, 3), share(15, 30)).knows(0.5), "or too little"


def test_the_interval_of_a_difference_is_newcombes():
    """56/70 against 48/80: 0.2000, 0.0524 to 0.3339 (method 10, without correction)."""
    later, earlier = share(56, 70), share(48, 80)
    found = leaks.difference(later, earlier)
    assert found == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def test_near_twins_are_found_by_their_runs_of_words_and_others_are_not():
    known = {"gold": "Why does my bread never rise when I leave it in a cold kitchen over night?"}
    others = [
        ("twin", "Why does my bread never rise, when I leave it in a cold kitchen over night!"),
        ("near", "Why does my bread never rise when I leave it in a cold kitchen for an hour?"),
        ("other", "Name three rivers that flow through Prague and one that does not."),
    ]
    found = {other: round(index, 2) for _, other, index in leaks.twins(known, others)}
    assert found["twin"] == 1.0 and "other" not in found
    # 16 and 17 words are 14 and 15 runs of three, of which the first 12 are shared.
    assert found["near"] == round(12 / (14 + 15 - 12), 2)


@pytest.mark.django_db
def test_the_report_names_the_twin_the_other_campaign_and_the_first_item(lead: User):
    """What gold is held against is all judgements of other items, and none of gold."""
    campaign, other = make_campaign(lead=lead, overlap=50), make_campaign(lead=lead, overlap=50)
    long = "Which of the two explains better why the sky over a city is never quite black at night?"
    right = {"answer": {"preference": "1"}}
    first = make_task(campaign, prompt=long, external_id="g", completions=("x is so", "y is so"), priority=9)
    gold.set_gold(task=first, value=right, actor=lead)
    make_task(campaign, prompt=long.replace("quite", "wholly"), external_id="twin", completions=("x is so", "y is so"))
    make_task(other, external_id="g")
    people = [make_user() for _ in range(6)]
    for person in people:
        judge(person, campaign, preference=3)
        judge(person, campaign, preference=3)
    judge(people[0], other)
    found = report_of.report(campaign)
    assert [(one["gold"], one["item"]) for one in found["twins"]] == [("g", "twin")]
    assert found["elsewhere"] == [{"gold": "g", "task": first.pk, "people": 1}]
    by_check = {one["check"]: one for one in found["findings"]}
    assert by_check["first"]["leaks"] and by_check["first"]["share"]["estimate"] == 1.0
    assert not by_check["side"]["leaks"] and (found["judgements"], found["others"]) == (6, 6)
    json.dumps(found)


@pytest.mark.django_db
def test_pace_is_held_against_the_oldest_judgements_too_and_is_that_of_other_items_alone(lead: User):
    """Twenty items at a second a word, then six with gold in a fifth of that."""
    person = make_user()
    campaign = make_campaign(lead=lead, annotators=[person])
    for number in range(26):
        task = make_task(campaign, prompt=f"Is it so, number {number}?")
        words = len(report_of._text(task.content).split())
        if number >= 20:
            gold.set_gold(task=task, value={"answer": {"preference": "2"}}, actor=lead)
        judge(person, campaign, active_seconds=words * (1.0 if number < 20 else 0.2))
    found = report_of.report(campaign)
    kept = QualityReport.objects.get(campaign=campaign).figures["ordinary"]
    assert kept["judgements"] == found["others"] == 20
    assert kept["seconds_per_word"][person.pseudonym] == pytest.approx(1.0, rel=0.01), "to half a step of speed"
    faster = {one["check"]: one for one in found["findings"]}["faster"]
    assert faster["leaks"] and (faster["share"]["n"], faster["share"]["estimate"]) == (6, 1.0)


@pytest.mark.django_db
def test_gold_that_is_always_unsafe_is_right_for_who_says_so_without_looking(lead: User):
    campaign = make_campaign(lead=lead, kind="safety")
    for number in range(5):
        known = {"answer": EXAMPLES["safety"], "tolerance": {}}
        row = {"prompt": f"Question {number}?", "completions": [f"a{number}", f"b{number}"], "gold": known}
        intake.import_lines(campaign=campaign, lines=[json.dumps(row)], actor=lead)
    same = {one["check"]: one for one in report_of.report(campaign)["findings"]}["same"]
    assert same["share"]["n"] in (0, 5)
    assert same["leaks"] or same["share"]["n"] == 0
