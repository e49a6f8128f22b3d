"""The report on how far judgements can be trusted, of people known to be good, random and contrary."""

from __future__ import annotations

import html
import json
import random
import re
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from annotation import reliability
from annotation.dataset_filters import Filters
from annotation.datasets import rows
from annotation.feedback import kind
from annotation.models import Campaign, Feedback, Membership, QualityReport, Role, Task, User
from annotation.quality.labels import USUAL, dawid_skene, majority
from annotation.services import gold as golds
from annotation.services import quality
from annotation.tasks import refresh_quality
from tests.annotation.quality.real_votes import crows_pairs
from tests.factories import judge, make_campaign, make_task, make_user


def judged_campaign(lead: User, *, items: int = 30) -> tuple[Campaign, dict[str, User]]:
    """Return a campaign in which policy-2 is better; two people see it, one answers by chance, one upside down."""
    people = {name: make_user(name) for name in ("good", "better", "chance", "upside")}
    campaign = make_campaign(lead=lead, annotators=list(people.values()))
    generator = random.Random(5)
    for number in range(items):
        texts = ("Short.", "A longer answer with **bold** words.\n\n- and\n- a list")
        origins = ("policy-1", "policy-2")
        if number % 2:
            texts, origins = texts[::-1], origins[::-1]
        make_task(
            campaign,
            number=number,
            completions=[f"{text} {number}" for text in texts],
            origins=origins,
            wanted=4,
            batch=f"b{number % 2}",
            meta={"round": number % 3},
        )
        right = 2 if number % 2 else -2
        said = {"good": right, "better": right if number % 10 else -right, "upside": -right}
        for name, person in people.items():
            preference = said.get(name, generator.choice([2, -2]))
            judge(person, campaign, preference=preference, active_seconds=0.4 if name == "chance" else 20.0)
    return campaign, people


def payload_of(preference: int) -> dict[str, Any]:
    return {"verdict": "prefer", "preference": preference, "comment": ""}


@pytest.mark.django_db
class TestReport:
    def test_it_tells_people_policies_and_parts_apart(self, lead: User, django_assert_max_num_queries: Any):
        campaign, people = judged_campaign(lead)
        with django_assert_max_num_queries(8):
            found = reliability.report(campaign)
        assert found["judgements"] == 120 and not found["simulated"]
        by_name = {one["annotator"]: one for one in found["people"]}
        good, better, chance, upside = (by_name[people[name].pseudonym] for name in people)
        assert good["accuracy"] > 0.85 > chance["accuracy"] and upside["accuracy"] < 0.2
        assert good["weight"] > better["weight"] > 1 > chance["weight"] and upside["weight"] == 0
        pairs = {frozenset((one["one"], one["other"])): one for one in found["pairs"]}
        alike = pairs[frozenset((people["good"].pseudonym, people["better"].pseudonym))]
        assert len(pairs) == 6 and (alike["items"], alike["percent"]) == (30, 0.9)
        assert alike["low"] < 0.9 < alike["high"]
        contrary = pairs[frozenset((people["good"].pseudonym, people["upside"].pseudonym))]
        assert (contrary["percent"], contrary["kappa"]) == (0.0, -1.0)
        assert good["rationality"]["low"] > 0 > upside["rationality"]["high"]
        assert upside["worth_a_look"] and not good["worth_a_look"]
        sides = good["position"]
        assert sides["first"]["n"] == sides["drawn"]["n"] == 30 and sides["drawn"]["low"] < 0.5 < sides["drawn"]["high"]
        said = Feedback.objects.filter(user=people["good"]).values_list("payload", "shown_order")
        assert sides["first"]["estimate"] == pytest.approx(
            sum((payload["preference"] > 0) == (order[0] == 0) for payload, order in said) / 30
        )
        total = sum(one["weight"] * one["judgements"] for one in found["people"])
        assert total / 120 == pytest.approx(1)
        assert [one["name"] for one in found["policies"]] == ["policy-2", "policy-1"]
        parts = {(one["by"], one["name"]): one for one in found["agreement"]}
        assert set(parts) == {
            ("all", ""),
            *(("batch", name) for name in ("b0", "b1")),
            *(("round", name) for name in "012"),
            *(("policy", name) for name in ("policy-1", "policy-2")),
        }
        assert parts["batch", "b0"]["items"] == 15 and parts["all", ""]["judgements"] == 120
        assert parts["all", ""]["low"] <= parts["all", ""]["alpha"] <= parts["all", ""]["high"]
        assert found["bias"]["longer"]["n"] == 120 and len(found["unsure"]) <= 200

    def test_gold_says_who_is_right_where_the_answer_is_known(self, lead: User):
        campaign, people = judged_campaign(lead, items=6)
        for task in campaign.tasks.order_by("id"):
            right = "2" if int(task.external_id.removeprefix("item-")) % 2 else "-2"
            value = {"answer": kind("pairwise").initial(payload_of(int(right)), shown_order=[0, 1])}
            golds.set_gold(task=task, value=value, actor=lead)
        found = {one["annotator"]: one for one in reliability.report(campaign)["gold"]}
        good, upside = found[people["good"].pseudonym], found[people["upside"].pseudonym]
        assert (good["estimate"], good["n"], good["items"]) == (1.0, 6, 6) and good["low"] > 0.5
        assert upside["estimate"] == 0.0
        assert quality.current(campaign).figures["gold"]
        for task in campaign.tasks.all():
            golds.take_away(task=task, actor=lead)
        assert quality.current(campaign).figures["gold"] == [], "gold that went makes the report anew"
        golds.set_gold(task=task, value=value, actor=lead)
        client = Client()
        client.force_login(lead)
        assert "Right where the answer is known" in client.get(f"/campaigns/{campaign.pk}/quality/").content.decode()
        assert people["upside"].pseudonym in client.get(f"/campaigns/{campaign.pk}/quality/gold.csv").content.decode()

    def test_it_is_kept_until_judgements_come_in(self, lead: User, monkeypatch: Any):
        campaign, people = judged_campaign(lead, items=4)
        first = quality.current(campaign)
        assert first is not None and quality.current(campaign).made_at == first.made_at
        make_task(campaign, number=99)
        judge(people["good"], campaign)
        refresh_quality()
        again = QualityReport.objects.get(campaign=campaign)
        assert again.judgements == 17 and again.made_at > first.made_at
        assert quality.refresh_all() == 0
        # One that took long is left for longer, and says how much it is behind.
        QualityReport.objects.update(seconds=60)
        make_task(campaign, number=100)
        judge(people["good"], campaign)
        monkeypatch.setattr(quality, "AT_ONCE", 0)
        assert quality.refresh_all() == 0 and quality.with_lag(campaign)[1] == 1
        client = Client()
        client.force_login(lead)
        page = client.get(f"/campaigns/{campaign.pk}/quality/").content.decode()
        assert "1 more has come in since" in page
        asks_again = html.unescape(re.search(r'id="quality" hx-get="([^"]+)"', page)[1])
        assert client.get(asks_again).status_code == 204, "nothing newer, so that what is open on it stays"
        assert client.get(f"{asks_again}-earlier").status_code == 200
        QualityReport.objects.update(seconds=0, begun_at=timezone.now())
        assert quality.refresh_all() == 0, "another process is at it"
        QualityReport.objects.update(begun_at=None)
        with monkeypatch.context() as broken, pytest.raises(ZeroDivisionError):
            broken.setattr(reliability, "report", lambda campaign: 1 / 0)
            quality.refresh_all()
        assert quality.refresh_all() == 1, "one that failed is tried again"

    def test_where_nothing_can_be_said(self, lead: User, annotator: User):
        campaign = make_campaign(lead=lead, annotators=[annotator], tasks=2)
        assert quality.current(campaign) is None
        judge(annotator, campaign)
        found = quality.current(campaign).figures
        assert found["agreement"][0]["alpha"] is None and found["agreement"][0]["items"] == 0
        assert found["people"][0]["weight"] == 1.0 and found["bias"]["effects"] == {} and found["pairs"] == []
        alone = found["people"][0]
        assert (alone["accuracy"], alone["shared"]) == (None, 0), "there is nobody beside them"
        client = Client()
        client.force_login(lead)
        page = client.get(f"/campaigns/{campaign.pk}/quality/").content.decode()
        assert "not defined: nobody else judged these items" in page and "Each two people" not in page
        written = make_campaign(lead=lead, annotators=[annotator], kind="rewrite")
        make_task(written, number=1, completions=["Only one."])
        judge(annotator, written, data={"text": "Better."})
        assert quality.current(written).figures["agreement"] == []

    def test_page_csv_and_rest(self, lead: User):
        campaign, people = judged_campaign(lead)
        reviewer = make_user("reviewer")
        Membership.objects.create(campaign=campaign, user=reviewer, role=Role.REVIEWER)
        for user, sees in ((lead, True), (reviewer, False)):
            client = Client()
            client.force_login(user)
            page = client.get(f"/campaigns/{campaign.pk}/quality/").content.decode()
            assert people["good"].pseudonym in page and "upside down" in page and "good</" not in page
            assert "Each two people" in page and "not defined" not in page
            both = client.get(f"/campaigns/{campaign.pk}/quality/pairs.csv").content.decode()
            assert both.startswith("one,other,items,percent,low,high,kappa") and len(both.splitlines()) == 7
            assert ("policy-2" in page) is sees
            table = client.get(f"/campaigns/{campaign.pk}/quality/policies.csv").content.decode()
            assert ("policy-2" in table) is sees
            assert (
                people["good"].pseudonym in client.get(f"/campaigns/{campaign.pk}/quality/people.csv").content.decode()
            )
            assert "longer_in_haste" in client.get(f"/campaigns/{campaign.pk}/quality/bias.csv").content.decode()
            rest = client.get(f"/api/campaigns/{campaign.pk}/quality/").json()
            assert bool(rest["policies"]) is sees and rest["judgements"] == 120
            assert client.get(f"/campaigns/{campaign.pk}/quality/nothing.csv").status_code == 404


def test_a_majority_weighted_by_these_weights_beats_the_plain_one_where_there_is_gold():
    """CrowS-Pairs: who is right, of 283 people who judged 1,508 items with a label by the writer."""
    votes, gold = crows_pairs()
    model = dawid_skene(votes, smoothing=USUAL, rounds=10)
    counts: dict[str, int] = {}
    for said in votes.values():
        for person in said:
            counts[person] = counts.get(person, 0) + 1
    weights = reliability.weights_of(model, counts)
    plain, right = majority(votes), {"plain": 0, "weighted": 0}
    for item, said in votes.items():
        scores: dict[str, float] = {}
        for person, label in said.items():
            scores[label] = scores.get(label, 0.0) + weights[person]
        right["weighted"] += max(scores, key=lambda label: (scores[label], label == plain[item])) == gold[item]
        right["plain"] += plain[item] == gold[item]
    assert right["weighted"] > right["plain"]


@pytest.mark.django_db
class TestUse:
    def test_one_more_is_asked_where_the_answer_is_unsure_up_to_the_most(self, lead: User):
        people = [make_user() for _ in range(5)]
        campaign = make_campaign(lead=lead, annotators=people, tasks=8, overlap=2)
        campaign.overlap_most = 3
        campaign.save()
        for person in people[:2]:
            for number in range(8):
                judge(person, campaign, preference=2 if number % 2 else -2)
        # They agree on all but this one.
        split = campaign.tasks.order_by("id")[3]
        current = Feedback.objects.get(task=split, user=people[1])
        judge(people[1], campaign, preference=-2, assignment=current.assignment)
        assert quality.refresh_all() == 1
        split.refresh_from_db()
        assert (split.wanted, split.done, split.seats, split.state) == (3, 2, 1, Task.State.OPEN)
        assert campaign.tasks.filter(state=Task.State.OPEN).get() == split
        judge(people[2], campaign, preference=0)
        quality.refresh_all()
        split.refresh_from_db()
        assert (split.wanted, split.done, split.state) == (3, 3, Task.State.COMPLETE), "three are the most"

    def test_a_campaign_that_did_not_ask_for_it_stays_as_it_is(self, lead: User):
        campaign, _people = judged_campaign(lead, items=6)
        quality.refresh_all()
        assert not campaign.tasks.filter(state=Task.State.OPEN).exists()

    def test_an_export_leaves_out_whose_labels_tell_little(self, lead: User):
        campaign, people = judged_campaign(lead)
        quality.refresh(campaign=campaign)
        kept = {row["annotator"] for row in rows(campaign, "judgements", Filters(min_weight=0.5))}
        assert kept == {people[name].pseudonym for name in ("good", "better")}
        new = make_user("new")
        Membership.objects.create(campaign=campaign, user=new, role=Role.ANNOTATOR)
        make_task(campaign, number=77)
        judge(new, campaign)
        kept = {row["annotator"] for row in rows(campaign, "judgements", Filters(min_weight=0.5))}
        assert new.pseudonym in kept
        assert len({row["annotator"] for row in rows(campaign, "judgements")}) == 5
        client = Client()
        client.force_login(lead)
        sent = client.get(f"/api/campaigns/{campaign.pk}/export/?view=pairs&min_weight=2")
        assert {people["good"].pseudonym} == {json.loads(line)["annotator"] for line in b"".join(sent).splitlines()}
