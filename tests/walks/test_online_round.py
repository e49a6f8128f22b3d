"""Walk (iv): a round goes all the way round: people judge, the policy learns, its new answers are in their queue."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.urls import reverse

import training
from annotation.models import Task
from tests.factories import PASSWORD, make_campaign, make_user
from tests.walks.steps import filled_in, judge_page, let_workers_work, signed_in
from training.models import Loop, ModelVersion, Round
from training.recipes.demo_gold import DEMO_SETTINGS, gold

pytestmark = pytest.mark.django_db(transaction=True)

DEMO = Path(training.__file__).parent / "demo"


def prefer_warm(texts: list[str]) -> str:
    """Return the key for the warmer of the two answers; the tie where they are equally warm."""
    left, right = (gold([], text, "warm") for text in texts)
    return "4" if left == right else "1" if left > right else "7"


def test_judgements_come_back_as_a_new_policy_in_the_same_queue() -> None:
    lead = make_user("lea", password=PASSWORD)
    ann = make_user("ann", password=PASSWORD)
    campaign = make_campaign("Shape", lead=lead, annotators=[ann])
    leads, anns = signed_in(lead), signed_in(ann)

    fresh = leads.get(reverse("loop-new", args=[campaign.pk])).context["form"]
    sent = filled_in(fresh)
    sent |= DEMO_SETTINGS | {
        "policy": str(DEMO / "model"),
        "prompts_path": str(DEMO / "prompts.jsonl"),
        "prompts_per_round": 30,
        "gate_prompts": 16,
        "gate_human_pairs": 8,
        # Eight pairs cannot tell whether thirty judgements helped; whether they did is the experiment's question
        # (tests/experiments/test_demo_shapes.py). Here the round has to reach its end, whatever chance says.
        "gate_minimum_win_rate": 0,
    }
    made = leads.post(reverse("loop-new", args=[campaign.pk]), sent)
    assert made.status_code == 302, made.context["form"].errors
    loop = Loop.objects.get(campaign=campaign)
    if not loop.rounds.exists():
        leads.post(reverse("loop-action", args=[campaign.pk]), {"action": "start"})
    first = loop.rounds.get()

    let_workers_work(round_ids=(first.pk,))
    first.refresh_from_db()
    assert first.state == Round.State.LABELLING, str(first.note)
    judged = 0
    while judge_page(anns, campaign, prefer_warm):
        judged += 1
    assert judged == 30

    let_workers_work(round_ids=(first.pk,))
    first.refresh_from_db()
    assert first.state == Round.State.GATING, str(first.note)
    assert first.candidate is not None
    while judge_page(anns, campaign, prefer_warm):
        pass
    let_workers_work(round_ids=(first.pk,))
    first.refresh_from_db()
    report = first.candidate.gate_report
    people = next(figure for figure in report.figures if figure["name"] == "human_win_rate")
    assert people["n"] == 8
    assert 0 <= people["low"] <= people["estimate"] <= people["high"] <= 1
    assert first.state == Round.State.PROMOTED, str(first.note)

    # The audit slice was judged and never trained on.
    audit = set(Task.objects.filter(campaign=campaign, is_audit=True).values_list("external_id", flat=True))
    assert audit
    assert first.snapshot is not None
    assert first.snapshot.rows < 30

    current = ModelVersion.objects.get(campaign=campaign, kind="policy", state="promoted")
    assert current == first.candidate
    second = loop.rounds.get(index=2)
    let_workers_work(round_ids=(second.pk,))
    item = Task.objects.filter(campaign=campaign, batch=second.batch).first()
    assert item is not None
    assert item.meta["policy"] == current.label
    assert judge_page(anns, campaign, prefer_warm)

    page = leads.get(reverse("loop", args=[campaign.pk])).content.decode()
    assert current.label in page
    assert "interval" in page
