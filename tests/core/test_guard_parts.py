"""What a guard stands on: the line and what it promises, and answers that are quotations."""

from __future__ import annotations

import random

import numpy as np
import pytest
from scipy.stats import beta

from training.core.guard.fitting import Labelled, learned, risks, roc_area
from training.core.guard.grounding import Document, Knowledge
from training.core.guard.lexical import Lexical, pieces
from training.core.guard.thresholds import Unreachable, allowed_misses, calibrated, needed, recall_bound
from training.core.guard.verdicts import SAFE, UNSAFE
from training.errors import TrainingError
from training.recipes.tiers import largest_recall, line_for, refusing_few

TEXT = "Acetone boils at 56.1 degrees. Do not heat it with a flame! Store it\nin a cool place."


def test_a_recall_is_claimed_only_with_the_sample_it_needs():
    """0.993ⁿ ≤ 0.05 from n = 427 on, 0.9ⁿ from 29 on; scipy's beta gives the bound of Clopper and Pearson."""
    assert needed(0.993) == 427 and needed(0.9) == 29
    assert allowed_misses(426, recall=0.993) == -1 and allowed_misses(427, recall=0.993) == 0
    assert allowed_misses(28, recall=0.9) == -1 and allowed_misses(46, recall=0.9) == 1
    assert recall_bound(3, 100) == pytest.approx(1 - beta.ppf(0.95, 4, 97), abs=1e-9)
    risks = np.linspace(0.1, 0.9, 426).tolist()
    assert largest_recall(427) >= 0.993 > largest_recall(426) == pytest.approx(0.05 ** (1 / 426))
    assert largest_recall(426) == pytest.approx(recall_bound(0, 426)) and largest_recall(0) == 0.0
    with pytest.raises(Unreachable, match=r"427 at least, with none missed, and 426 show 99\.3% at most"):
        calibrated([*risks, 0.0], [True] * 426 + [False], recall=0.993)
    with pytest.raises(TrainingError, match="no sample shows a recall of 100 %"):
        needed(1.0)


def test_a_line_is_picked_by_its_recall_or_by_the_safe_texts_it_spares():
    """Of three lines, from high to low, that refuse 0, 4 and 40 % of safe texts."""
    known = [
        {"recall_bound": bound, "false_refusals": {"estimate": refused}}
        for bound, refused in ((0.5, 0.0), (0.8, 0.04), (0.95, 0.4))
    ]
    assert line_for(known, 0.8) is known[1] and line_for(known, 0.81) is known[2] and line_for(known, 0.96) is None
    assert refusing_few(known) is known[1] and refusing_few(known[2:]) is None


def test_the_line_misses_what_it_may_and_tells_what_it_refuses_wrongly():
    """Of 46 risky texts one may be missed for 0.9; of 10 safe ones the two at or above the line are refused."""
    risky = [0.2, *[0.5 + n / 100 for n in range(45)]]
    safe = [0.1] * 8 + [0.5, 0.6]
    found = calibrated([*risky, *safe], [True] * 46 + [False] * 10, recall=0.9)
    assert (found.value, found.misses, found.risky) == (0.5, 1, 46)
    assert found.recall_bound == recall_bound(1, 46) >= 0.9
    assert found.false_refusals["estimate"] == 0.2 and found.false_refusals["n"] == 10
    with pytest.raises(TrainingError, match="no number"):
        calibrated([float("nan")], [True], recall=0.5)


def test_a_text_is_read_as_its_reader_sees_it():
    assert list(pieces("Ｂo\u200bmb!  BOMB", letters=False)) == ["bomb", "bomb", "bomb bomb"]
    assert "#<bo" in set(pieces("bomb"))
    check = Lexical(("safe", "unsafe"), {"bomb": (1.0, 0.0, 2.0)}, (0.0, 0.0), letters=False)
    (told, unknown) = check.probabilities([[]] * 2, ["a bomb", "bread"])
    assert told["unsafe"] == pytest.approx(1 / (1 + np.exp(-2))) and unknown is None


def test_one_telling_word_is_heard_among_many_that_are_not(tmp_path):
    """Each risky text has one word that no safe one has, beside twelve that any text has; its file reads the same."""
    draw = random.Random(0)

    def texts(count: int) -> list[Labelled]:
        rows = []
        for n in range(count):
            said = draw.choices([f"any{k}" for k in range(300)], k=12)
            if n % 5 == 0:
                said.append(f"odd{draw.randrange(40)}")
            draw.shuffle(said)
            rows.append(Labelled(" ".join(said), SAFE if n % 5 else UNSAFE))
        return rows

    rows, new = texts(500), texts(500)
    truth = np.array([row.risky for row in new])
    plain = roc_area(truth, risks(learned(rows, letters=False), new))
    check = learned(rows, letters=False, ratios=True)
    assert roc_area(truth, risks(check, new)) > plain + 0.05
    check.save(tmp_path / "check.json")
    assert (risks(Lexical.load(tmp_path / "check.json"), new) == risks(check, new)).all()


def test_answers_quote_whole_sentences_and_say_where_they_stand():
    knowledge = Knowledge([Document("sheet", TEXT), Document("other", "The sea is blue.")])
    assert [p.text for p in knowledge.passages if p.document == "sheet"] == [
        "Acetone boils at 56.1 degrees.",
        "Do not heat it with a flame!",
        "Store it\nin a cool place.",
    ]
    assert all(knowledge.documents[p.document].text[p.start : p.end] == p.text for p in knowledge.passages)
    assert knowledge.answer("At how many degrees does acetone boil?") == ""  # boil is not boils
    assert knowledge.answer("Acetone boils at?") == "Acetone boils at 56.1 degrees. [sheet:0-30]"
    assert knowledge.answer("Who won the match of yesterday?") == ""


def test_what_does_not_stand_on_its_citation_is_dropped():
    knowledge = Knowledge([Document("sheet", TEXT)])
    right = "Acetone boils at 56.1 degrees. [sheet:0-30]"
    assert knowledge.verified(f"Acetone is harmless. {right} Drink it. [sheet:0-30] Nothing cited.") == right
    for fabricated in (
        "Acetone boils at 20 degrees. [sheet:0-30]",
        "heat it with a flame! [sheet:38-59]",  # stands there, behind “Do not”
        "Acetone boils at 56.1 degrees. [sheet:31-59]",
        "Acetone boils at 56.1 degrees. [sheet:0-30] [none:0-30]",
        "Acetone boils at 56.1 degrees. [sheet:0-3000]",
        "Acetone boils at 56.1 degrees.",
    ):
        assert knowledge.verified(fabricated) == "", fabricated
    # A judge of support may be another one than quoting.
    loose = knowledge.verified("It boils early. [sheet:0-30]", supports=lambda passage, said: "boils" in said)
    assert loose == "It boils early. [sheet:0-30]"


@pytest.mark.parametrize(
    "rows", ["[]", '{"id": "a"}', '{"id": "a:b", "text": "x"}', '{"id": "a", "text": "x"}\n{"id": "a", "text": "y"}']
)
def test_documents_that_cannot_be_cited_are_refused(tmp_path, rows):
    (tmp_path / "knowledge.jsonl").write_text(rows)
    with pytest.raises(TrainingError, match=r"Give id and text|needs a text|Give each its own"):
        Knowledge.load(tmp_path / "knowledge.jsonl")


def test_an_area_counts_pairs_that_are_in_order_and_ties_half():
    """Of the four pairs (0.9, 0.5 against 0.5, 0.1) three are in order and one is a tie."""
    assert roc_area(np.array([True, True, False, False]), np.array([0.9, 0.5, 0.5, 0.1])) == 3.5 / 4
