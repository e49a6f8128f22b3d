"""A critique with its principles: what is confirmed, corrected, rejected, and what of it is kept."""

from __future__ import annotations

from typing import Any

import pytest

from annotation.errors import Invalid
from annotation.feedback import kind
from annotation.feedback.principled_critique import PrincipledCritique
from annotation.feedback.slots import place_proposals
from tests.annotation.feedback.examples import EXAMPLES

KIND = kind("principled_critique")
EXAMPLE = EXAMPLES["principled_critique"]
SHORT: dict[str, Any] = {"minimum_words": 3, "least_principles": 0}


def parse(more: dict[str, Any], *, options: dict[str, Any] | None = None, base: dict[str, Any] = EXAMPLE) -> Any:
    given = {name: value for name, value in {**base, **more}.items() if value is not None}
    return KIND.parse(given, options=options or {}, shown_order=[0])


def refused(more: dict[str, Any], **kwargs: Any) -> dict[str, list[str]]:
    with pytest.raises(Invalid) as caught:
        parse(more, **kwargs)
    return caught.value.errors


def test_the_critique_is_kept_with_what_was_confirmed_and_what_was_rejected():
    payload = parse({})
    clear, sources = payload["principles"]
    assert (clear["key"], clear["answer"], clear["proposed_by"], clear["changed"]) == ("clear", "yes", "rules-1", False)
    assert (sources["key"], sources["proposed_by"], sources["changed"]) == (None, None, False)
    for one in payload["principles"]:
        start, end = one["evidence"]["start"], one["evidence"]["end"]
        assert payload["critique"][start:end] == one["evidence"]["text"]
    assert payload["rejected"] == [
        {"statement": "Suitable tone", "answer": "partly", "evidence": "A friendly tone", "proposed_by": "rules-1"}
    ]


def test_a_correction_is_marked_and_keeps_what_was_proposed():
    payload = parse({"principle_1_answer": "partly", "principle_1_statement": "Plain words"})
    one = payload["principles"][0]
    assert (one["statement"], one["answer"], one["key"], one["changed"]) == ("Plain words", "partly", None, True)
    assert one["proposed"] == {"statement": "Clear", "answer": "yes", "evidence": "easy to follow"}
    again = KIND.initial(payload, shown_order=[0])
    assert KIND.parse(again, options={}, shown_order=[0]) == payload


def test_what_was_proposed_does_not_count_before_it_is_answered():
    errors = refused({"principle_1_answer": ""})
    assert errors == {"principle_1_answer": ["Answer this too, or reject it."]}


def test_a_proposal_that_is_rejected_needs_nothing_more_and_ones_own_is_taken_back():
    payload = parse(
        {"principle_1_answer": "reject", "principle_1_evidence": "gone", "principle_2_answer": "reject"}, options=SHORT
    )
    assert [one["statement"] for one in payload["rejected"]] == ["Clear", "Suitable tone"]
    assert payload["principles"] == []


def test_evidence_is_of_the_critique_and_of_nothing_else():
    errors = refused({"principle_2_evidence": "Photosynthesis happens within chloroplasts"})
    assert "not in your critique" in errors["principle_2_evidence"][0]
    near = parse({"principle_2_evidence": "no sources for any of its figures"})
    assert near["principles"][1]["evidence"]["text"].startswith("no source for any of its")
    assert parse({"principle_2_evidence": ""})["principles"][1]["evidence"] is None


def test_one_principle_is_answered_once():
    errors = refused({"principle_2_statement": "clear"})
    assert "same principle as number 1" in errors["principle_2_statement"][0]


def test_words_are_counted_and_principles_too():
    assert "has 2 words; at least 50" in refused({"critique": "Too short"})["critique"][0]
    errors = refused({"principle_1_answer": "reject", "principle_2_answer": "reject"})
    assert errors == {"principles": ["Answer at least 1 principles that your critique speaks of; 0 are answered."]}
    assert refused({}, base={"principle_1_answer": "yes"})["principle_1_statement"]
    assert refused({"principle_1_statement": "!!!"})["principle_1_statement"] == ["Begin it with letters or digits."]


def test_rows_have_their_evidence_in_the_critique_and_partly_apart():
    payload = parse({"principle_1_answer": "partly"})
    rows = list(KIND.rows("principles", payload, texts=["The answer."], origins=["x"], shown_order=[0]))
    assert [(row["principle"], row["answer"], row["evidence_in"]) for row in rows] == [
        ("clear", "partly", "critique"),
        ("gives_sources_for_figures", "no", "critique"),
    ]
    (critique,) = KIND.rows("critiques", payload, texts=["The answer."], origins=["x"], shown_order=[0])
    assert critique["critique"] == EXAMPLE["critique"] and critique["score"] is None


def test_agreement_knows_what_a_critique_did_not_speak_of():
    points = {point.dimension: point.category for point in KIND.points(parse({}))}
    assert points.pop("clear") == "yes"
    assert set(points.values()) == {"unmentioned"} and len(points) == 6


def test_proposals_go_into_empty_slots_unanswered_and_only_once():
    proposed = [
        {"statement": name, "key": None, "answer": "yes", "evidence": {"text": "x", "start": 0, "end": 1}, "by": "m"}
        for name in ("Clear", "New one")
    ]
    placed = place_proposals(EXAMPLE, proposed)
    assert placed["principle_4_statement"] == placed["principle_4_proposed"] == "New one"
    assert (placed["principle_4_answer"], placed["principle_4_proposed_answer"]) == ("", "yes")
    assert not [name for name in placed if not name.startswith("principle_4")], "Clear is there already"
    assert place_proposals({**EXAMPLE, **placed}, proposed) == {}
    full = {f"principle_{number}_statement": f"s{number}" for number in range(1, 13)}
    assert place_proposals(full, proposed) == {}


def test_a_list_may_be_empty_and_then_nothing_is_compared():
    options = KIND.clean_options({"principles": "", **SHORT})
    assert options["principles"] == [] and KIND.dimensions(options) == []
    assert PrincipledCritique.listed(options) == {}
    payload = parse({"principle_1_statement": "Clear"}, options=options)
    assert payload["principles"][0]["key"] is None and list(KIND.points(payload)) == []
