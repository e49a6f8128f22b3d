"""How far people mark the same places, by hand, by the figures' own properties, and out of judgements."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.feedback.points import Mark
from annotation.models import User
from annotation.overlap import GROUPS, agreement, interval, iou, matches, region_agreement
from annotation.services.intake import import_lines
from tests.annotation.pictures import data_uri, picture
from tests.factories import judge, make_assignment, make_campaign, make_user

sides = st.floats(0, 0.5, allow_nan=False)
boxes = st.tuples(sides, sides, st.floats(0.01, 0.5), st.floats(0.01, 0.5))


def mark(*box: float, label: str = "odd", number: int = 0) -> Mark:
    return Mark(("prompt", number), label, box)


def test_the_overlap_of_two_boxes_by_hand() -> None:
    """Two squares of side 2 whose corners overlap by 1×1: 1 / (4 + 4 - 1). Half of one in the other: 1/2."""
    assert iou((0, 0, 2, 2), (1, 1, 2, 2)) == pytest.approx(1 / 7)
    assert iou((0, 0, 1, 1), (0, 0, 1, 0.5)) == pytest.approx(0.5)
    assert iou((0, 0, 1, 1), (1, 0, 1, 1)) == 0


@given(boxes, boxes)
def test_overlap_is_symmetric_and_one_only_for_the_same_box(one, other) -> None:
    assert iou(one, other) == pytest.approx(iou(other, one)) and 0 <= iou(one, other) <= 1 + 1e-9
    assert iou(one, one) == pytest.approx(1)


def test_each_box_is_matched_once_and_the_nearest_first() -> None:
    one = [mark(0, 0, 0.5, 0.5), mark(0, 0, 0.5, 0.45)]
    other = [mark(0, 0, 0.5, 0.45), mark(0.6, 0.6, 0.2, 0.2)]
    assert [found[:2] for found in matches(one, other)] == [(1, 0)]
    assert matches([mark(0, 0, 1, 1)], [mark(0, 0, 1, 1, number=1)]) == [], "another image is another place"


def test_the_figures_by_hand() -> None:
    """Of two and one regions, one pair overlaps by 0.8: found 2·1/3, outline 0.8, quality 2·0.8/3."""
    one = [mark(0, 0, 0.5, 0.5), mark(0.6, 0.6, 0.3, 0.3)]
    other = [mark(0, 0, 0.5, 0.4)]
    found = agreement([[one, other], [[], []]], ["odd"])
    assert (found.items, found.every.marks, found.labels) == (1, 3, 1.0)
    assert found.every.found == pytest.approx(2 / 3) and found.every.outline == pytest.approx(0.8)
    assert found.every.quality == pytest.approx(found.every.found * found.every.outline)
    assert found.by_label == {"odd": found.every}


def test_another_label_is_another_region_at_the_same_place() -> None:
    found = agreement([[[mark(0, 0, 1, 1)], [mark(0, 0, 1, 1, label="good")]]], ["odd", "good"])
    assert (found.every.found, found.every.outline, found.every.quality, found.labels) == (0.0, None, 0.0, 0.0)


def test_nobody_marked_anything_is_no_agreement_to_tell() -> None:
    found = agreement([[[], []]], ["odd"])
    assert (found.items, found.every.found, found.every.quality, found.labels) == (0, None, None, None)


def test_the_interval_by_hand() -> None:
    """Of two items, one matched fully and one not at all, half of all samples hold both: 0, 1/2 and 1 are all there."""
    assert interval([(2, 1.0), (2, 0.0)]) == (0.0, 1.0)
    assert interval([(2, 0.8)] * 30) == pytest.approx((0.8, 0.8)), "items that are all alike leave no doubt"
    assert interval([(2, 0.8)]) == (None, None) and interval([]) == (None, None)


def test_the_interval_is_that_of_a_share_and_groups_of_items_keep_its_width() -> None:
    """Items of which 70 % match fully: quality is a share, with standard error (0.7 * 0.3 / n) ** 0.5."""
    for n in (GROUPS, 40 * GROUPS):
        low, high = interval([(2, float(place % 10 < 7)) for place in range(n)])
        expected = 2 * 1.96 * (0.7 * 0.3 / n) ** 0.5
        assert low is not None and high is not None and low < 0.7 < high
        assert high - low == pytest.approx(expected, rel=0.25)


def test_regions_of_one_item_are_drawn_together() -> None:
    """Ten people who mark one item alike are one item: they say nothing about how much items differ."""
    found = agreement([[[mark(0, 0, 0.5, 0.5)]] * 10], ["odd"])
    assert (found.every.quality, found.every.low) == (1.0, None)
    found = agreement([[[mark(0, 0, 0.5, 0.5)]] * 2, [[mark(0, 0, 0.5, 0.5)], []]] * 8, ["odd"])
    assert found.every.low is not None and found.every.low < found.every.quality == pytest.approx(2 / 3)
    assert found.by_label == {"odd": found.every}


@pytest.mark.django_db
def test_two_people_who_mark_one_image(annotator: User, lead: User, client) -> None:
    people = [annotator, make_user("noor")]
    options = {"regions": ["Odd", "Good: as it should be"]}
    campaign = make_campaign(lead=lead, annotators=people, kind="pairwise", options=options, overlap=2)
    row = {"prompt": "Which bird?", "image": data_uri(picture()), "completions": ["A wren.", "A tit."]}
    assert import_lines(campaign=campaign, lines=[json.dumps(row)], actor=None).errors == []
    none = make_campaign(lead=lead, kind="pairwise")
    assert region_agreement(none) is None
    for person, width in zip(people, (0.5, 0.4), strict=True):
        box = [0.1, 0.2, width, 0.5]
        sent = {"preference": "2", "regions": [{"of": "prompt", "index": 0, "box": box, "label": "odd", "note": ""}]}
        judge(person, campaign, assignment=make_assignment(person, campaign), data=sent)
    found = region_agreement(campaign)
    assert found is not None and found.items == 1 and found.labels == 1.0
    assert found.by_label["odd"].outline == pytest.approx(0.8) and found.by_label["good"].marks == 0
    client.force_login(lead)
    html = client.get(f"/campaigns/{campaign.pk}/").content.decode()
    assert "Marked regions" in html and "Of places that two people marked, 100% got the same label." in html
    assert client.get(f"/api/campaigns/{campaign.pk}/agreement/").json()["marked_regions"]["every"]["found"] == 1.0
