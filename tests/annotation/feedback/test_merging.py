from __future__ import annotations

from annotation.feedback import kind, merging
from annotation.feedback.scoped import prefix


def test_each_turn_and_each_text_is_taken_over_alone() -> None:
    critique = kind("critique")
    one = {"turn_1_strengths_1": "Kind.", "turn_2_strengths_1": "Short.", "turn_2_score_1": "4"}
    other = {
        "turn_1_strengths_1": "Warm.",
        "turn_2_strengths_1": "Brief.",
        "turn_2_passages_strengths_1": "so it is",
        "turn_2_score_1": "2",
    }
    assert merging.taken("score", 1, giver=other, everybody=[one, other]) == {f"{prefix(2)}score_1": "2"}
    parts = {(part.question, part.place): part for part in critique.parts([one, other], options={})}
    second = parts["strengths", 1]
    assert set(parts) == {("strengths", 0), ("strengths", 1)}
    assert second.names == ["turn_2_strengths_1", "turn_2_passages_strengths_1"]
    assert (second.said(one), second.said(other)) == ("Short.", "Brief.")


def test_a_principle_has_one_slot_whoever_spoke_of_it() -> None:
    critique = kind("principled_critique")
    options = {"principles": ["Clear: it can be followed", "Polite: it keeps a good tone"]}
    one = {
        "critique": "Clear and polite.",
        "principle_1_statement": "Polite",
        "principle_1_answer": "yes",
        "principle_2_statement": "Gives sources",
        "principle_2_answer": "reject",
    }
    other = {
        "critique": "Hard to follow.",
        "principle_1_statement": "It can be followed",
        "principle_1_answer": "no",
        "principle_1_evidence": "Hard to follow",
        "principle_2_statement": "Polite",
        "principle_2_answer": "partly",
    }
    aligned = critique.aligned([one, other], options=options)
    assert [(form["principle_1_answer"], form.get("principle_2_answer")) for form in aligned] == [
        ("yes", None),
        ("partly", "no"),
    ]
    assert aligned[0]["principle_3_answer"] == "reject" and "principle_3_answer" not in aligned[1]
    parts = {part.title: part for part in critique.parts(aligned, options=options)}
    assert list(parts) == ["The critique", "Polite", "Gives sources", "Clear"]
    assert [parts["Clear"].said(form) for form in aligned] == ["", "No “Hard to follow”"]
    assert parts["Clear"].question == "clear" and "principle_2_evidence" in parts["Clear"].names
    many = [{f"principle_{n}_statement": f"{word} {n}" for n in range(1, 8)} for word in ("Alpha", "Omega")]
    assert critique.aligned(many, options=options) == many
