"""Agreement: against numbers from the literature, against another implementation, and in its edge cases."""

from __future__ import annotations

import math
import random
from collections import Counter
from itertools import combinations

import evalica
import krippendorff
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from annotation.agreement import (
    agreement,
    bootstrap,
    campaign_agreement,
    chance_agreement,
    cohen_kappa,
    gwet_ac1,
    krippendorff_alpha,
    of_patterns,
    percent_agreement,
)
from tests.annotation.quality.real_votes import convabuse, crows_pairs, hate_offensive
from tests.factories import judge, make_campaign, make_user

MISSING = None


def patterns(units) -> Counter:
    return Counter(tuple(sorted(value for value in unit if value is not MISSING)) for unit in units)


def test_alpha_of_krippendorffs_own_example():
    """Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", part C: four observers, twelve units, ordinal
    alpha 0.815."""
    observers = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, MISSING, MISSING, MISSING],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, MISSING, 3],
        [MISSING, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, MISSING],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, MISSING],
    ]
    counted = patterns(zip(*observers, strict=True))
    assert krippendorff_alpha(counted) == pytest.approx(0.815, abs=5e-4)
    assert krippendorff_alpha(counted, ordered=False) == pytest.approx(0.743, abs=5e-4)


units = st.lists(
    st.lists(st.one_of(st.none(), st.integers(-3, 3)), min_size=4, max_size=4),
    min_size=2,
    max_size=25,
)


@settings(deadline=None, max_examples=150)
@given(units=units, ordered=st.booleans())
def test_alpha_is_that_of_another_implementation(units, ordered):
    ours = krippendorff_alpha(patterns(units), ordered=ordered)
    distance = "ordinal" if ordered else "nominal"
    try:
        theirs = evalica.alpha(pd.DataFrame(units, dtype=float).T, distance=distance).alpha
    except evalica.InsufficientRatingsError:
        theirs = math.nan
    pairable = {value for unit in units for value in unit if value is not MISSING and len(unit) - unit.count(None) > 1}
    if len(pairable) < 2:
        assert ours is None  # 0/0, whatever a library makes of it
    else:
        assert ours == pytest.approx(theirs, abs=1e-6)


def test_alpha_is_one_for_agreement_zero_for_chance_and_negative_for_opposition():
    assert krippendorff_alpha({(1, 1): 5, (3, 3): 5}) == 1
    generator = random.Random(1)
    chance = Counter(tuple(sorted(generator.choices(range(-3, 4), k=2))) for _ in range(20_000))
    assert abs(krippendorff_alpha(chance)) < 0.03
    assert krippendorff_alpha({(-3, 3): 10}) < 0


def test_the_interval_is_that_of_drawing_items_anew():
    """The Poisson draw per pattern against the textbook bootstrap over items."""
    generator = random.Random(2)
    items = []
    for _ in range(120):
        truth = generator.randint(-3, 3)
        noise = [generator.choice([-1, 0, 0, 1, generator.randint(-6, 6)]) for _ in "ab"]
        items.append(tuple(sorted(max(-3, min(3, truth + error)) for error in noise)))
    low, high = bootstrap(Counter(items))
    drawn = sorted(krippendorff_alpha(Counter(generator.choices(items, k=120))) for _ in range(1000))
    assert low == pytest.approx(drawn[25], abs=0.04)
    assert high == pytest.approx(drawn[975], abs=0.04)
    assert low < krippendorff_alpha(Counter(items)) < high


def test_the_interval_narrows_with_the_square_root_of_the_items():
    few = bootstrap({(1, 1): 20, (2, 2): 20, (1, 2): 10})
    many = bootstrap({(1, 1): 2000, (2, 2): 2000, (1, 2): 1000})
    assert 6 < (few[1] - few[0]) / (many[1] - many[0]) < 16


def test_kappa_by_hand():
    """Two people, 50 items: both "first" 20, both "second" 15, they differ in 15 (5 and 10).

    Agreed 0.7; expected (25·30 + 25·20)/2500 = 0.5; kappa = 0.2/0.5 = 0.4.
    """
    items = (
        [{1: "first", 2: "first"}] * 20
        + [{1: "first", 2: "second"}] * 5
        + [{1: "second", 2: "first"}] * 10
        + [{1: "second", 2: "second"}] * 15
    )
    assert cohen_kappa(items) == pytest.approx(0.4)
    assert percent_agreement(items) == pytest.approx(0.7)


def test_kappa_is_weighted_by_what_two_people_share_and_leaves_out_who_never_varies():
    perfect = [{1: "first", 2: "first"}, {1: "second", 2: "second"}] * 3  # kappa 1 over 6 items
    opposed = [{1: "first", 3: "second"}, {1: "second", 3: "first"}]  # kappa -1 over 2 items
    constant = [{4: "first", 5: "first"}] * 10
    assert cohen_kappa(perfect + opposed + constant) == pytest.approx((6 - 2) / 8)
    assert cohen_kappa(constant) is None
    assert cohen_kappa([]) is None
    assert percent_agreement([{1: "first"}]) is None


def test_undefined_figures_say_why():
    nothing = agreement({1: {1: 3}}, {1: {1: "first"}})
    assert (nothing.alpha, nothing.items) == (None, 0)
    assert "two people" in nothing.reason_undefined
    same = agreement({1: {1: 3, 2: 3}}, {1: {1: "first", 2: "first"}})
    assert (same.alpha, same.low, same.percent, same.items) == (None, None, 1.0, 1)
    assert "same answer to everything" in same.reason_undefined


@pytest.mark.django_db
class TestCampaign:
    def test_people_who_judge_the_same_items(self, lead, annotator):
        campaign = make_campaign(lead=lead, annotators=[annotator], tasks=12, overlap=2)
        for number in range(12):
            judge(lead, campaign, preference=[3, -3, 1][number % 3])
            judge(annotator, campaign, preference=[2, -3, -1][number % 3])
        found = campaign_agreement(campaign)["preference"]
        expected = krippendorff_alpha({(2, 3): 4, (-3, -3): 4, (-1, 1): 4})
        assert found.alpha == pytest.approx(expected)
        assert found.low <= found.alpha <= found.high
        assert (found.items, found.judgements, found.people) == (12, 24, 2)
        assert found.percent == pytest.approx(8 / 12)
        assert found.reason_undefined == ""

    def test_only_what_stands_counts(self, lead, annotator):
        campaign = make_campaign(lead=lead, annotators=[annotator], tasks=2, overlap=2)
        first = judge(lead, campaign, preference=3)
        judge(lead, campaign, preference=-3)
        judge(annotator, campaign, preference=-3)
        judge(annotator, campaign, preference=-3)
        judge(lead, campaign, preference=-2, assignment=first.assignment)
        assert campaign_agreement(campaign)["preference"].percent == 1

    def test_simulated_people_are_counted_apart(self, lead, annotator):
        robots = [make_user(is_simulated=True) for _ in range(2)]
        campaign = make_campaign(lead=lead, annotators=[annotator, *robots], tasks=3, overlap=3)
        for robot in robots:
            for preference in (3, -3, 1):
                judge(robot, campaign, preference=preference)
        judge(annotator, campaign)
        found = campaign_agreement(campaign)["preference"]
        assert found.alpha is None
        assert "counted apart" in found.reason_undefined
        assert campaign_agreement(campaign, simulated=True)["preference"].alpha == 1

    def test_of_many_judgements_the_sums_that_are_kept_say_the_same(self, lead, annotator, monkeypatch):
        monkeypatch.setattr("annotation.agreement.MOST", 9)
        campaign = make_campaign(lead=lead, annotators=[annotator], tasks=5, overlap=2)
        for number in range(5):
            judge(lead, campaign, preference=3 if number % 2 else -3)
            judge(annotator, campaign, preference=3 if number % 2 and number > 1 else -3)
        found = campaign_agreement(campaign)["preference"]
        assert (found.items, found.judgements, found.people) == (5, 10, 2)
        assert found.alpha == pytest.approx(4 / 7) and found.kappa is None, "kappa is the quality report's"

    def test_one_person_is_no_agreement(self, lead):
        campaign = make_campaign(lead=lead, tasks=3)
        judge(lead, campaign)
        assert (
            campaign_agreement(campaign)["preference"].reason_undefined == "No item has been judged by two people yet."
        )


def test_alpha_of_real_votes_is_that_of_the_krippendorff_library():
    """ConvAbuse: five levels of severity by eight people. CrowS-Pairs: bias types by 283. Hate: votes only."""
    abuse = convabuse()
    people = sorted({person for by_person in abuse.values() for person in by_person})
    table = [[by_person.get(person, math.nan) for by_person in abuse.values()] for person in people]
    counted = Counter(tuple(sorted(by_person.values())) for by_person in abuse.values())
    for ordered, level in ((True, "ordinal"), (False, "nominal")):
        theirs = krippendorff.alpha(reliability_data=table, level_of_measurement=level)
        assert krippendorff_alpha(counted, ordered=ordered) == pytest.approx(theirs, abs=1e-6)
    votes, _gold = crows_pairs()
    number = {name: place for place, name in enumerate(sorted({s for one in votes.values() for s in one.values()}))}
    for patterns_ in (
        Counter(tuple(sorted(number[s] for s in one.values())) for one in votes.values()),
        hate_offensive(),
    ):
        values = 1 + max(max(pattern) for pattern in patterns_)
        counts = [
            [pattern.count(value) for value in range(values)] for pattern, n in patterns_.items() for _ in range(n)
        ]
        theirs = krippendorff.alpha(value_counts=counts, level_of_measurement="nominal")
        assert krippendorff_alpha(patterns_, ordered=False) == pytest.approx(theirs, abs=1e-6)


def test_kappa_of_real_votes_is_that_of_scikit_learn():
    """The two people of ConvAbuse who share most turns."""
    abuse = convabuse()
    pairs = Counter(pair for one in abuse.values() for pair in combinations(sorted(one), 2))
    (one, other), shared = pairs.most_common(1)[0]
    both = [{one: str(said[one]), other: str(said[other])} for said in abuse.values() if one in said and other in said]
    assert len(both) == shared > 400
    theirs = cohen_kappa_score([said[one] for said in both], [said[other] for said in both])
    assert cohen_kappa(both) == pytest.approx(theirs, abs=1e-6)


def test_gwets_coefficient_and_chance_by_hand():
    """125 items by two people: both "+" 118, both "-" 0, they differ in 7 (5 and 2).

    Agreed 0.944. π(+) = (118 + 3.5)/125 = 0.972, chance 2 x 0.972 x 0.028 = 0.054432, AC1 = 0.940777. Kappa is about 0
    there; the chance of two equal draws from all is 0.972² + 0.028² = 0.945568.
    """
    items = [{1: "+", 2: "+"}] * 118 + [{1: "+", 2: "-"}] * 5 + [{1: "-", 2: "+"}] * 2
    assert gwet_ac1(items) == pytest.approx(0.940777, abs=1e-6)
    assert chance_agreement(items) == pytest.approx(0.945568, abs=1e-6)
    assert cohen_kappa(items) < 0
    assert gwet_ac1([{1: "+"}]) is None and chance_agreement([]) is None
    assert gwet_ac1([{1: "+", 2: "+"}]) == 1.0


def test_of_several_values_in_one_category_none_is_lost():
    """Two strengths for A are one side: what was said of these items counts together."""
    said = {((1, "a"), (2, "a")): 1, ((2, "a"), (2, "a")): 1, ((-1, "b"), (2, "a")): 1}
    items = [{"ann": "a", "ben": "a"}, {"ann": "a", "ben": "a"}, {"ann": "b", "ben": "a"}]
    assert of_patterns(said).gwet == pytest.approx(gwet_ac1(items))
