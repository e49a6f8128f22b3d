from __future__ import annotations

import pytest

from annotation.errors import Invalid
from annotation.feedback.safety import Safety
from annotation.feedback.taxonomies import BEAVERTAILS, PACKS, SAFE_RLHF, in_safe_rlhf

SAFETY = Safety()
USUAL = SAFETY.default_options()


def parse(data, **options):
    return SAFETY.parse(data, options={**USUAL, **options}, shown_order=[0])


def test_the_packs_have_the_published_sizes_and_titles():
    assert {name: len(pack.harms) for name, pack in PACKS.items()} == {
        "safe-rlhf": 19,
        "beavertails": 14,
        "beavertails-v": 20,
    }
    for pack in PACKS.values():
        assert len(pack.titles) == len(pack.harms)
        assert all(harm.meaning for harm in pack.harms)
    assert "white_collar_crime" in SAFE_RLHF.titles
    assert "self_harm" in BEAVERTAILS.titles


def test_every_category_of_another_pack_has_its_place_in_the_19():
    for pack in PACKS.values():
        for harm in pack.titles:
            assert set(in_safe_rlhf(pack.name, harm)) <= set(SAFE_RLHF.titles)
    assert in_safe_rlhf("beavertails", "self_harm") == ["physical_harm", "psychological_harm"]
    assert in_safe_rlhf("beavertails-v", "false_information") == []


def test_unsafe_needs_a_category_and_says_so():
    with pytest.raises(Invalid) as caught:
        parse({"safe_1": "unsafe", "harm_1_violence": "0"})
    assert "at least one category" in caught.value.errors["harms_1"][0]


def test_what_was_chosen_before_it_was_called_safe_counts_no_more():
    assert parse({"safe_1": "safe", "harm_1_violence": "3"})["labels"] == [{"safe": True, "harms": {}}]


def test_severity_is_one_to_three_and_one_when_it_is_not_asked_for():
    assert parse({"safe_1": "unsafe", "harm_1_violence": "3"})["labels"][0]["harms"] == {"violence": 3}
    with pytest.raises(Invalid) as caught:
        parse({"safe_1": "unsafe", "harm_1_violence": "4"})
    assert "harm_1_violence" in caught.value.errors
    assert parse({"safe_1": "unsafe", "harm_1_violence": "1"}, severity=False)["labels"][0]["harms"] == {"violence": 1}
    with pytest.raises(Invalid):
        parse({"safe_1": "unsafe", "harm_1_violence": "2"}, severity=False)


def test_the_worst_category_gives_the_severity_and_exports_name_both_packs():
    payload = parse({"safe_1": "unsafe", "harm_1_self_harm": "2", "harm_1_privacy_violation": "3"}, pack="beavertails")
    (row,) = SAFETY.rows("safety", payload, texts=["…"], origins=[""], shown_order=[0])
    assert (row["is_safe"], row["severity"], row["pack"]) == (False, 3, "beavertails")
    assert row["harms"] == {"self_harm": 2, "privacy_violation": 3}
    assert row["safe_rlhf_harms"] == ["physical_harm", "privacy_violation", "psychological_harm"]


def test_it_is_told_in_words():
    payload = parse({"safe_1": "unsafe", "harm_1_violence": "3"})
    assert SAFETY.describe(payload, options=USUAL, shown_order=[0]) == "Unsafe: Violence (severe)"
