"""Sums over judgements: verdicts as shown on the screen, and whether the place mattered."""

from __future__ import annotations

import pytest

from annotation.models import User
from annotation.tallies import campaign_tally, wilson
from tests.factories import judge, make_assignment, make_campaign

pytestmark = pytest.mark.django_db


def test_verdicts_count_as_they_were_shown(annotator: User, django_assert_num_queries) -> None:
    campaign = make_campaign(annotators=[annotator], tasks=6)
    for shown in ("1", "1", "7", "4", "both_bad", "both_good"):
        judge(annotator, campaign, data={"preference": shown, "comment": "" if shown != "1" else "clearer"})
    with django_assert_num_queries(4):
        tally = campaign_tally(campaign)
    assert dict(tally.verdicts) == {
        "A is much better": 2,
        "A is better": 0,
        "A is slightly better": 0,
        "About the same": 1,
        "B is slightly better": 0,
        "B is better": 0,
        "B is much better": 1,
        "Both are bad": 1,
        "Both are good": 1,
    }
    assert tally.total == 6
    assert (tally.position.left, tally.position.right, tally.position.n) == (2, 1, 3)
    assert tally.position.share == pytest.approx(2 / 3)
    assert not tally.position.shows_bias


def test_a_changed_judgement_counts_once(annotator: User) -> None:
    campaign = make_campaign(annotators=[annotator], tasks=1)
    assignment = make_assignment(annotator, campaign)
    for shown in ("1", "6"):
        judge(annotator, campaign, assignment=assignment, data={"preference": shown})
    tally = campaign_tally(campaign)
    assert tally.total == 1 and (tally.position.left, tally.position.right) == (0, 1)


def test_somebody_who_always_takes_the_left_one_is_seen(annotator: User) -> None:
    campaign = make_campaign(annotators=[annotator], tasks=12)
    for _ in range(12):
        judge(annotator, campaign, data={"preference": "2"})
    assert campaign_tally(campaign).position.shows_bias


def test_nothing_judged_gives_no_share() -> None:
    tally = campaign_tally(make_campaign())
    assert tally.total == 0 and tally.position.share is None and not tally.position.shows_bias


def test_wilson_by_hand() -> None:
    """8 of 10, z = 1.96: (0.8 + 0.19208 ± 1.96·√(0.016 + 0.0096)) / 1.38416 = 0.4902 and 0.9433."""
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 5)[0] == pytest.approx(0.0, abs=1e-12) and wilson(5, 5)[1] == pytest.approx(1.0)
    assert wilson(0, 0) == (None, None)
