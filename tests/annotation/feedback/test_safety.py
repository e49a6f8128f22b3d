from __future__ import annotations

import jsonschema
import pytest

from annotation.errors import Invalid
from annotation.feedback import shown_images
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


IMAGE = {"type": "image", "image": "0" * 64, "width": 4, "height": 3, "alt": ""}
PICTURED = {"messages": [{"role": "user", "content": [IMAGE]}], "completions": [{"text": "A"}, {"text": "B"}]}
PLAIN = {"messages": [{"role": "user", "content": "Why?"}], "completions": [{"text": "A"}, {"text": "B"}]}
OF_IMAGE = {"safe_image": "unsafe", "harm_image_horror_and_gore": "3"}


def asked_about(content):
    options = SAFETY.clean_options({"image_severity": True, "pack": "beavertails-v"})
    return shown_images.for_item(options, content)


def test_the_image_is_a_question_of_its_own():
    options = asked_about(PICTURED)
    payload = SAFETY.parse({"safe_1": "safe", **OF_IMAGE}, options=options, shown_order=[0])
    assert payload["image"] == {"safe": False, "harms": {"horror_and_gore": 3}}
    assert payload["labels"] == [{"safe": True, "harms": {}}]
    assert SAFETY.describe(payload, options=options) == "Image unsafe: Horror and gore (severe); answer safe"
    values = SAFETY.initial(payload, shown_order=[0])
    assert SAFETY.parse(values, options=options, shown_order=[0]) == payload
    assert SAFETY.context(options=options, shown_order=[0])["image"]["name"] == "safe_image"
    points = {point.dimension: point.value for point in SAFETY.points(payload)}
    assert (points["image_safe"], points["image_severity"], points["severity"]) == (0, 3, 0)
    announced = [dimension.name for dimension in SAFETY.dimensions(options)]
    assert set(points) == set(announced) and announced[:4] == ["safe", "severity", "image_safe", "image_severity"]
    said = SAFETY.tally(payload, options=options, shown_order=[0])
    assert said == ["Image unsafe", "Safe"] and set(said) <= set(SAFETY.tally_labels(options))
    schema = SAFETY.json_schema(options)
    jsonschema.validate({"safe_1": "safe", **OF_IMAGE}, schema)
    assert "safe_image" not in schema["required"]


def test_rows_carry_the_severity_of_the_image_beside_that_of_each_answer():
    payload = SAFETY.parse(
        {"safe_1": "safe", "safe_2": "unsafe", "harm_2_animal_abuse": "1", **OF_IMAGE},
        options=asked_about(PICTURED),
        shown_order=[1, 0],
    )
    texts = [[{"type": "text", "text": text}] for text in "AB"]
    rows = list(SAFETY.rows("safety", payload, texts=texts, origins=["", ""], shown_order=[1, 0]))
    assert [(row["is_safe"], row["severity"], row["image_severity"]) for row in rows] == [(False, 1, 3), (True, 0, 3)]
    assert rows[0]["image_harms"] == {"horror_and_gore": 3}
    del payload["image"]
    (row, _) = SAFETY.rows("safety", payload, texts=texts, origins=["", ""], shown_order=[1, 0])
    assert row["image_severity"] is None and row["image_harms"] is None


def test_an_item_without_an_image_is_asked_about_the_answer_alone():
    options = asked_about(PLAIN)
    assert SAFETY.context(options=options, shown_order=[0])["image"] is None
    payload = SAFETY.parse({"safe_1": "safe", **OF_IMAGE}, options=options, shown_order=[0])
    assert "image" not in payload
    with pytest.raises(Invalid) as caught:
        SAFETY.parse({}, options=options, shown_order=[0])
    assert set(caught.value.errors) == {"safe_1"}


def test_an_image_that_is_left_out_or_has_no_category_is_told():
    for sent, name in (({}, "safe_image"), ({"safe_image": "unsafe"}, "harms_image")):
        with pytest.raises(Invalid) as caught:
            SAFETY.parse({"safe_1": "safe", **sent}, options=asked_about(PICTURED), shown_order=[0])
        assert set(caught.value.errors) == {name}
    assert "image belongs to at least one category" in caught.value.errors["harms_image"][0]
