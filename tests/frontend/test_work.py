"""The annotator's screen over plain HTTP: without a script, with one, and for people who have no business there."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from annotation.models import Assignment, Campaign, Feedback, User
from annotation.services import campaigns, members, queue, submission
from tests.factories import judge, make_assignment, make_campaign, make_task, make_user

FRAGMENT = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture
def campaign(annotator: User, lead: User) -> Campaign:
    return make_campaign("Helpfulness", lead=lead, annotators=[annotator], tasks=3)


@pytest.fixture
def browser(annotator: User) -> Client:
    client = Client()
    client.force_login(annotator)
    return client


def inputs_of(html: str) -> dict[str, str]:
    """Return the hidden inputs of the form on the page."""
    form = html[html.index("data-judge") :]
    return dict(re.findall(r'<input type="hidden" name="(assignment|client_key)" value="([^"]+)"', form)[:2])


def address(name: str, campaign: Campaign) -> str:
    return reverse(name, args=[campaign.pk])


# --- without a script -----------------------------------------------------------------------------------------------


def test_judging_works_by_post_and_redirect(browser: Client, campaign: Campaign, annotator: User) -> None:
    for number in range(3):
        html = browser.get(address("work", campaign)).content.decode()
        sent = {**inputs_of(html), "preference": "2", "comment": f"reason {number}", "active_seconds": "12.5"}
        response = browser.post(address("work", campaign), sent)
        assert response.status_code == 302
        assert response.url == address("work", campaign)
    assert [one.active_seconds for one in Feedback.objects.all()] == [12.5, 12.5, 12.5]
    done = browser.get(address("work", campaign)).content.decode()
    assert "You have judged everything there is for you" in done
    assert "Your 3 judgements are stored" in done


def test_sending_the_same_view_twice_stores_one_judgement(browser: Client, campaign: Campaign) -> None:
    sent = {**inputs_of(browser.get(address("work", campaign)).content.decode()), "preference": "1"}
    assert [browser.post(address("work", campaign), sent).status_code for _ in range(2)] == [302, 302]
    assert Feedback.objects.count() == 1


def test_what_is_missing_is_said_beside_the_input_and_the_text_is_kept(browser: Client, campaign: Campaign) -> None:
    sent = {**inputs_of(browser.get(address("work", campaign)).content.decode()), "comment": "typed <b>already</b>"}
    response = browser.post(address("work", campaign), sent)
    html = response.content.decode()
    assert response.status_code == 422
    assert re.search(r'data-error-for="preference"[^>]*>Choose one of', html)
    assert "typed &lt;b&gt;already&lt;/b&gt;</textarea>" in html
    assert sent["client_key"] in html
    assert not Feedback.objects.exists()


def test_a_judgement_of_the_left_answer_counts_for_the_left_answer(browser: Client, campaign: Campaign) -> None:
    html = browser.get(address("work", campaign)).content.decode()
    sent = inputs_of(html)
    browser.post(address("work", campaign), {**sent, "preference": "1"})
    stored = Feedback.objects.get()
    left = re.search(r'data-answer="0".*?dir="auto">(Answer \w+ to question \d)', html, re.S)
    assert left is not None
    canonical = 0 if stored.payload["preference"] > 0 else 1
    assert stored.task.content["completions"][canonical]["text"].startswith(left[1])


def test_skipping_hands_the_item_back_with_the_reason(browser: Client, campaign: Campaign) -> None:
    sent = inputs_of(browser.get(address("work", campaign)).content.decode())
    skipped = {"assignment": sent["assignment"], "reason": "broken", "note": "cut off"}
    assert [browser.post(address("work-skip", campaign), skipped).status_code for _ in range(2)] == [302, 302]
    held = Assignment.objects.get(key=sent["assignment"])
    assert (held.state, held.skip_reason, held.skip_note) == ("skipped", "broken", "cut off")
    assert sent["assignment"] not in browser.get(address("work", campaign)).content.decode()


def test_a_campaign_may_offer_more_reasons_to_skip(browser: Client, campaign: Campaign) -> None:
    usual = browser.get(address("work", campaign)).content.decode()
    assert usual.count('class="skip__reason"') == 5 and "personal data" not in usual
    campaign.kind, campaign.options = "ratings", {"more_skips": True}
    campaign.save()
    html = browser.get(address("work", campaign)).content.decode()
    assert html.count('class="skip__reason"') == 9 and 'value="personal_data" data-key="6"' in html
    skipped = {"assignment": inputs_of(html)["assignment"], "reason": "personal_data"}
    assert browser.post(address("work-skip", campaign), skipped).status_code == 302
    assert Assignment.objects.get(key=skipped["assignment"]).skip_reason == "personal_data"


def test_undo_opens_the_last_judgement_filled_in_and_submitting_writes_a_new_version(
    browser: Client, campaign: Campaign, annotator: User
) -> None:
    first = judge(annotator, campaign, data={"preference": "6", "comment": "the first"})
    second = judge(annotator, campaign, data={"preference": "3", "comment": "the second"})
    html = browser.get(address("work-undo", campaign)).content.decode()
    assert second.assignment.key in html
    assert re.search(r'value="3"[^>]* checked', html)
    assert "the second</textarea>" in html
    before = browser.get(address("work-undo", campaign), {"before": second.assignment.key}).content.decode()
    assert first.assignment.key in before
    assert re.search(r'value="6"[^>]* checked', before)
    response = browser.post(address("work", campaign), {**inputs_of(html), "preference": "5", "comment": "changed"})
    assert response.status_code == 302
    versions = list(Feedback.objects.filter(assignment=second.assignment).order_by("version"))
    assert [(one.version, one.is_current) for one in versions] == [(1, False), (2, True)]


def test_nothing_to_undo_is_said(browser: Client, campaign: Campaign) -> None:
    response = browser.get(address("work-undo", campaign), follow=True)
    assert "nothing further back to undo" in response.content.decode()


def test_history_lists_what_is_stored_as_it_was_seen(browser: Client, campaign: Campaign, annotator: User) -> None:
    feedback = judge(annotator, campaign, data={"preference": "7", "comment": "<i>why</i>"}, active_seconds=95)
    html = browser.get(address("work-history", campaign)).content.decode()
    assert "B is much better" in html
    assert "&lt;i&gt;why&lt;/i&gt;" in html
    assert "2 min" in html
    opened = browser.get(address("work", campaign), {"item": feedback.assignment.key}).content.decode()
    assert re.search(r'value="7"[^>]* checked', opened)
    assert "stores a new version" in opened


def test_the_empty_history_says_where_to_start(browser: Client, campaign: Campaign) -> None:
    assert "You have judged nothing here yet" in browser.get(address("work-history", campaign)).content.decode()


# --- with a script --------------------------------------------------------------------------------------------------


def test_a_script_gets_the_next_item_in_the_answer(browser: Client, campaign: Campaign) -> None:
    first = browser.get(address("work", campaign), **FRAGMENT).content.decode()
    assert first.lstrip().startswith("<article")
    response = browser.post(address("work", campaign), {**inputs_of(first), "preference": "4"}, **FRAGMENT)
    following = response.content.decode()
    assert response.status_code == 200
    assert inputs_of(following)["assignment"] != inputs_of(first)["assignment"]
    assert 'data-done="1"' in following
    assert "HX-Request" in response["Vary"]


def test_submit_and_next_cost_few_statements(
    browser: Client, campaign: Campaign, annotator: User, django_assert_max_num_queries
) -> None:
    sent = inputs_of(browser.get(address("work", campaign), **FRAGMENT).content.decode())
    browser.get(address("work", campaign), {"ahead": 1}, **FRAGMENT)
    # Person and role 3, submit at most 8, the item ahead is held already 1, progress 3; transactions besides.
    with django_assert_max_num_queries(17):
        browser.post(address("work", campaign), {**sent, "preference": "4"}, **FRAGMENT)


def test_the_item_ahead_is_leased_and_comes_next(browser: Client, campaign: Campaign, annotator: User) -> None:
    now = inputs_of(browser.get(address("work", campaign), **FRAGMENT).content.decode())
    ahead = inputs_of(browser.get(address("work", campaign), {"ahead": 1}, **FRAGMENT).content.decode())
    assert now["assignment"] != ahead["assignment"]
    assert Assignment.objects.filter(user=annotator, state="open").count() == 2
    answer = browser.post(address("work", campaign), {**now, "preference": "4"}, **FRAGMENT).content.decode()
    assert inputs_of(answer)["assignment"] == ahead["assignment"]


def test_there_is_nothing_ahead_of_the_last_item(browser: Client, annotator: User, lead: User) -> None:
    campaign = make_campaign(lead=lead, annotators=[annotator], tasks=1)
    browser.get(address("work", campaign), **FRAGMENT)
    assert browser.get(address("work", campaign), {"ahead": 1}, **FRAGMENT).status_code == 204


def test_looking_takes_no_item(browser: Client, campaign: Campaign) -> None:
    html = browser.get(address("work", campaign), {"look": 1}, **FRAGMENT).content.decode()
    assert 'data-available="3"' in html
    assert not Assignment.objects.exists()


def test_an_invalid_judgement_gives_the_fragment_with_its_errors(browser: Client, campaign: Campaign) -> None:
    first = browser.get(address("work", campaign), **FRAGMENT).content.decode()
    response = browser.post(address("work", campaign), {**inputs_of(first), "preference": "8"}, **FRAGMENT)
    assert response.status_code == 422
    assert response.content.decode().lstrip().startswith("<article")


def test_a_draft_is_kept_and_comes_back(browser: Client, campaign: Campaign, annotator: User) -> None:
    held = make_assignment(annotator, campaign)
    typed = {"preference": "6", "comment": "half a thou", "client_key": "key-1", "active_seconds": "7.5"}
    sent = {"assignment": held.key, "draft": json.dumps(typed)}
    assert browser.post(address("work-draft", campaign), sent, **FRAGMENT).status_code == 204
    html = browser.get(address("work", campaign)).content.decode()
    assert re.search(r'value="6"[^>]* checked', html)
    assert "half a thou</textarea>" in html
    assert inputs_of(html)["client_key"] == "key-1"
    assert 'name="active_seconds" value="7.5"' in html


def test_who_only_reads_holds_on_to_the_item_and_to_the_one_ahead(
    browser: Client, campaign: Campaign, annotator: User, lead: User, django_assert_num_queries
) -> None:
    held = make_assignment(annotator, campaign)
    ahead = queue.next_task(user=annotator, campaign=campaign, ahead=True)
    others = make_assignment(lead, campaign)
    assert ahead is not None
    begun = {one.pk: one.expires_at for one in (held, ahead, others)}
    with time_machine.travel(timezone.now() + timedelta(seconds=20)):
        beat = {"assignment": held.key}
        assert browser.post(address("work-beat", campaign), beat, **FRAGMENT).status_code == 204
        with django_assert_num_queries(4):  # session, person, membership, and one for both leases
            assert browser.post(address("work-beat", campaign), beat, **FRAGMENT).status_code == 204
    now = dict(Assignment.objects.values_list("pk", "expires_at"))
    assert [now[pk] > begun[pk] for pk in (held.pk, ahead.pk, others.pk)] == [True, True, False]
    queue.release(assignment=held)
    for key in (held.key, others.key, "a\x00b"):
        lost = browser.post(address("work-beat", campaign), {"assignment": key}, **FRAGMENT)
        assert lost.status_code == 409
        assert "went back to the queue" in lost.content.decode()


@pytest.mark.parametrize("draft", ["", "[1]", "no json", '{"a": "\\u0000"}'])
def test_a_draft_that_is_no_draft_is_refused(browser: Client, campaign: Campaign, annotator: User, draft: str) -> None:
    held = make_assignment(annotator, campaign)
    response = browser.post(address("work-draft", campaign), {"assignment": held.key, "draft": draft}, **FRAGMENT)
    assert response.status_code in (400, 422)
    held.refresh_from_db()
    assert held.draft is None


def test_a_strange_draft_does_not_break_the_page(browser: Client, campaign: Campaign, annotator: User) -> None:
    held = make_assignment(annotator, campaign)
    strange = {"preference": ["<script>"], "client_key": {"a": 1}, "comment": 7, "at": "x", "active_seconds": None}
    strange["behaviour"] = {"read": ["<script>"]}
    submission.save_draft(assignment=held, draft=strange)
    html = browser.get(address("work", campaign)).content.decode()
    response = browser.post(address("work", campaign), {**inputs_of(html), "preference": "1"})
    assert response.status_code == 302


def test_a_lost_lease_keeps_what_was_typed(browser: Client, annotator: User, lead: User) -> None:
    other = make_user()
    campaign = make_campaign(lead=lead, annotators=[annotator, other], tasks=1)
    held = make_assignment(annotator, campaign)
    queue.release(assignment=held)
    judge(other, campaign)
    sent = {"assignment": held.key, "client_key": "late", "preference": "1", "comment": "long thought about"}
    response = browser.post(address("work", campaign), sent, **FRAGMENT)
    assert response.status_code == 409
    assert "kept" in response.content.decode()
    held.refresh_from_db()
    assert held.draft is not None
    assert held.draft["comment"] == "long thought about"
    assert "csrfmiddlewaretoken" not in held.draft
    plain = browser.post(address("work", campaign), sent, follow=True)
    assert "kept as a draft" in plain.content.decode()


def test_guidelines_that_changed_can_be_fetched(browser: Client, campaign: Campaign, lead: User) -> None:
    campaigns.write_guideline(campaign=campaign, text="Now prefer **short** answers.", actor=lead)
    html = browser.get(address("work-guideline", campaign), **FRAGMENT).content.decode()
    assert "<strong>short</strong>" in html
    assert 'data-version="2"' in html


def test_who_comes_back_is_told_that_the_guidelines_changed(browser: Client, campaign: Campaign, lead: User) -> None:
    told, page = "The guidelines have changed", address("work", campaign)
    campaigns.write_guideline(campaign=campaign, text="Two.", actor=lead)
    first = browser.get(page).content.decode()
    assert told not in first.partition('id="words"')[0]  # who begins has them all to read
    browser.post(page, {**inputs_of(first), "preference": "1", "guideline": "1"})
    assert told in browser.get(page).content.decode().partition('id="words"')[0]
    browser.post(page, {**inputs_of(browser.get(page).content.decode()), "preference": "1"})
    assert told not in browser.get(page).content.decode().partition('id="words"')[0]
    assert list(Feedback.objects.order_by("id").values_list("guideline_version", flat=True)) == [1, 2]
    browser.post(page, {**inputs_of(browser.get(page).content.decode()), "preference": "1", "guideline": "99"})
    assert Feedback.objects.order_by("id").last().guideline_version == 2


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "1e99", "soon", ""])
def test_a_broken_clock_costs_no_judgement(browser: Client, campaign: Campaign, seconds: str) -> None:
    sent = inputs_of(browser.get(address("work", campaign)).content.decode())
    browser.post(address("work", campaign), {**sent, "preference": "1", "active_seconds": seconds})
    assert Feedback.objects.get().active_seconds is None


@pytest.mark.parametrize("sent", ["", "{", "[" * 3_000, "[" * 100_000, "null", '{"changes": NaN}', '{"typed": -1}'])
def test_broken_measures_cost_no_judgement(browser: Client, campaign: Campaign, sent: str) -> None:
    inputs = inputs_of(browser.get(address("work", campaign)).content.decode())
    response = browser.post(address("work", campaign), {**inputs, "preference": "1", "behaviour": sent})
    assert response.status_code == 302
    assert Feedback.objects.get().behaviour is None


def test_measures_are_stored_and_shown_to_the_person_they_are_of(browser: Client, campaign: Campaign) -> None:
    inputs = inputs_of(browser.get(address("work", campaign)).content.decode())
    sent = {"first_action_seconds": 3.4, "changes": 2, "read": [1, 0.25], "typed": 17, "pasted": 5}
    browser.post(address("work", campaign), {**inputs, "preference": "1", "behaviour": json.dumps(sent)})
    feedback = Feedback.objects.get()
    assert feedback.behaviour is not None
    assert feedback.behaviour["read"] == [(1, 0.25)[feedback.shown_order.index(canonical)] for canonical in (0, 1)]
    html = " ".join(browser.get(address("work-history", campaign)).content.decode().split())
    for name, value in (
        *(("First key or click after", "3 s"), ("Changes of mind", "2"), ("A scrolled into view", "100%")),
        *(("B scrolled into view", "25%"), ("Characters typed", "17"), ("Characters pasted", "5")),
    ):
        assert f"<dt>{name}</dt><dd>{value}</dd>" in html


# --- blind ----------------------------------------------------------------------------------------------------------


def test_nothing_on_the_page_says_where_an_answer_comes_from(browser: Client, annotator: User, lead: User) -> None:
    campaign = make_campaign(lead=lead, annotators=[annotator])
    make_task(
        campaign,
        external_id="external-77",
        origins=("policy-3", "sft-baseline"),
        meta={"policy": "policy-3", "round": 3, "source": "secret-run"},
        batch="round-3-gate",
        is_audit=True,
    )
    for headers in ({}, FRAGMENT):
        html = browser.get(address("work", campaign), **headers).content.decode()
        assert "Answer one to question" in html
        for secret in ("policy-3", "sft-baseline", "secret-run", "round-3", "gate", "audit", "external-77"):
            assert secret not in html


def test_the_page_is_the_same_whichever_answer_is_canonically_first(
    browser: Client, annotator: User, lead: User
) -> None:
    campaign = make_campaign(lead=lead, annotators=[annotator], tasks=1)
    held = make_assignment(annotator, campaign)

    def page() -> str:
        html = browser.get(address("work", campaign)).content.decode()
        return re.sub(r'(csrfmiddlewaretoken|client_key)" value="[^"]+"|"X-CSRFToken": "[^"]+"', "", html)

    before = page()
    held.task.content["completions"].reverse()
    held.task.save(update_fields=["content"])
    Assignment.objects.filter(pk=held.pk).update(shown_order=held.shown_order[::-1])
    assert page() == before


def test_the_order_is_the_stored_one_and_differs_between_people(lead: User) -> None:
    people = [make_user() for _ in range(12)]
    campaign = make_campaign(lead=lead, annotators=people, overlap=12)
    make_task(campaign, completions=("first text", "second text"))
    seen = set()
    for person in people:
        client = Client()
        client.force_login(person)
        html = client.get(address("work", campaign)).content.decode()
        order = Assignment.objects.get(user=person).shown_order
        shown = [0, 1] if html.index("first text") < html.index("second text") else [1, 0]
        assert shown == order
        seen.add(tuple(order))
    assert seen == {(0, 1), (1, 0)}


def test_a_transcript_shows_its_turns_and_hostile_text_stays_text(browser: Client, annotator: User, lead: User) -> None:
    campaign = make_campaign(lead=lead, annotators=[annotator])
    attack = "<script>alert(1)</script> [x](javascript:alert(1)) ![y](https://evil.example/t.png)"
    task = make_task(campaign, completions=(attack, "**fine**"))
    task.content["messages"] = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": f"Hello {attack}"},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": "And now?"},
    ]
    task.save(update_fields=["content"])
    html = browser.get(address("work", campaign)).content.decode()
    assert "3 earlier turns" in html
    assert html.index("Instructions") < html.index("Assistant") < html.index("And now?")
    assert "<script>alert" not in html
    assert 'href="javascript' not in html
    assert "<img" not in html
    assert "<strong>fine</strong>" in html


# --- who may --------------------------------------------------------------------------------------------------------

PAGES = ["work", "work-undo", "work-history", "work-guideline"]
ACTIONS = ["work", "work-skip", "work-draft"]


@pytest.mark.parametrize("name", PAGES)
def test_a_stranger_learns_nothing(name: str, campaign: Campaign, stranger: User) -> None:
    client = Client()
    client.force_login(stranger)
    assert client.get(address(name, campaign)).status_code == 404


@pytest.mark.parametrize("name", PAGES)
def test_an_engineer_does_not_judge(name: str, campaign: Campaign, db: None) -> None:
    engineer = make_user()
    members.add(campaign=campaign, username=engineer.username, role="engineer", actor=campaign.created_by)
    client = Client()
    client.force_login(engineer)
    assert client.get(address(name, campaign)).status_code == 403


@pytest.mark.parametrize("name", PAGES)
def test_a_lead_may_judge(name: str, campaign: Campaign, lead: User) -> None:
    client = Client()
    client.force_login(lead)
    assert client.get(address(name, campaign)).status_code in (200, 302)


@pytest.mark.parametrize("name", PAGES)
def test_somebody_signed_out_is_sent_to_sign_in_and_back(name: str, campaign: Campaign) -> None:
    response = Client().get(address(name, campaign))
    assert response.status_code == 302
    assert response.url == f"{reverse('login')}?next={address(name, campaign)}"


@pytest.mark.parametrize("name", ACTIONS)
def test_a_script_whose_session_ended_is_told_so(name: str, campaign: Campaign) -> None:
    assert Client().post(address(name, campaign), {}, **FRAGMENT).status_code == 401
    assert Client().post(address(name, campaign), {}).status_code == 302


@pytest.mark.parametrize("name", ACTIONS)
def test_an_item_of_somebody_else_does_not_exist(name: str, campaign: Campaign, lead: User, browser: Client) -> None:
    theirs = make_assignment(lead, campaign)
    sent = {"assignment": theirs.key, "preference": "1", "reason": "broken", "draft": "{}", "client_key": "k"}
    assert browser.post(address(name, campaign), sent).status_code == 404
    assert not Feedback.objects.exists()


@pytest.mark.parametrize("name", ACTIONS)
def test_an_item_of_another_campaign_does_not_exist_here(
    name: str, campaign: Campaign, annotator: User, browser: Client
) -> None:
    other = make_campaign(annotators=[annotator], tasks=1)
    held = make_assignment(annotator, other)
    sent = {"assignment": held.key, "preference": "1", "reason": "broken", "draft": "{}", "client_key": "k"}
    assert browser.post(address(name, campaign), sent).status_code == 404


def test_a_page_that_is_too_old_is_refused_with_a_way_out(campaign: Campaign, annotator: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(annotator)
    response = client.post(address("work", campaign), {"preference": "1"})
    assert response.status_code == 403
    assert "what you typed is still there" in response.content.decode()


# --- states of the campaign -----------------------------------------------------------------------------------------


def test_a_paused_campaign_says_so(browser: Client, campaign: Campaign, lead: User) -> None:
    campaigns.pause_campaign(campaign=campaign, actor=lead)
    assert "It is paused" in browser.get(address("work", campaign)).content.decode()


def test_an_empty_campaign_says_so(browser: Client, annotator: User, lead: User) -> None:
    campaign = make_campaign(lead=lead, annotators=[annotator])
    assert "There is nothing to judge here yet" in browser.get(address("work", campaign)).content.decode()


def test_the_page_runs_no_script_of_its_own_text(browser: Client, campaign: Campaign) -> None:
    response = browser.get(address("work", campaign))
    html = response.content.decode()
    policy = response["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert " style=" not in html
    assert not re.search(r"\son\w+=", html)
    for script in re.findall(r"<script[^>]*>", html):
        assert "src=" in script or 'type="application/json"' in script
