"""What must hold of a finding before it is proposed; of twelve answers and three people, what is made up is dropped."""

from __future__ import annotations

import pytest

from annotation.extraction.base import Found
from annotation.extraction.checks import MOST, check
from annotation.extraction.matching import in_positive_form, is_helpfulness, key_among, place_of

KNOWN = {
    "clear": "Clear: understood at first reading",
    "accuracy_of_information": "Accuracy of information: everything stated as fact is true",
}
TOPICS = (
    "bread",
    "tax",
    "a poem",
    "sorting",
    "train tickets",
    "vaccines",
    "a will",
    "chess",
    "guitars",
    "rain",
    "Rome",
    "ants",
)
PEOPLE = ("p-1", "p-2", "p-3")
FABRICATED = {
    ("tax", "p-2"): "cites the exact paragraph of every statute",
    ("chess", "p-1"): "the diagrams were drawn with great love",
    ("Rome", "p-3"): "quoting Livy and Tacitus by heart",
}


def feedback(topic: str, person: str) -> str:
    """Return what one of three people wrote about an answer on a topic."""
    said = {
        "p-1": f"The answer about {topic} is easy to follow. It should have been a good deal shorter.",
        "p-2": f"Most facts about {topic} are right, but the second number is wrong. I liked the calm tone.",
        "p-3": f"On {topic} it leaves out the one thing I asked for, and then says the same thing twice.",
    }
    return said[person]


def stub(topic: str, person: str) -> list[Found]:
    """Return what a model might: two findings that quote the feedback, and in three cases one that makes it up."""
    first, second = feedback(topic, person).rstrip(".").split(". " if person != "p-3" else ", and ")
    found = [Found("Clear", "yes", first), Found("Says a thing once", "no", second)]
    if quotation := FABRICATED.get((topic, person)):
        found.append(Found("Cites or points to evidence", "yes", quotation))
    return found


def test_of_thirty_six_feedbacks_exactly_the_three_fabricated_quotations_are_dropped():
    dropped, kept = {}, 0
    for topic in TOPICS:
        for person in PEOPLE:
            critique = feedback(topic, person)
            checked = check(stub(topic, person), critique=critique, known=KNOWN, by="stub-1")
            kept += len(checked.proposals)
            if checked.dropped:
                dropped[topic, person] = checked.dropped
            for one in checked.proposals:
                evidence = one["evidence"]
                assert critique[evidence["start"] : evidence["end"]] == evidence["text"]
    assert dropped == {case: {"evidence": 1} for case in FABRICATED}
    assert kept == 12 * 3 * 2


def test_a_quotation_with_slips_is_found_where_it_stands_and_gets_whole_words():
    critique = "Well written.  The second step leaves out how long the dough should rest, which spoils it."
    start, end = place_of("second step leaves out how long dough shuld rest", critique)
    # RapidFuzz looks for the best window of the quotation's length: the last word may be left out, no part of one is.
    assert critique[start:end] == "second step leaves out how long the dough should"
    assert place_of("WELL WRITTEN", critique) == (0, 12)
    assert place_of("completely different words about nothing", critique) is None
    assert place_of("", critique) is None and place_of("x", "") is None
    assert place_of(critique * 3, critique) is None, "more than there is was not written there"


def test_what_is_said_of_every_answer_is_no_principle():
    for statement in ("Helpfulness", "helpful", "The response is mostly helpful.", "Overall helpfulness"):
        assert is_helpfulness(statement), statement
    for statement in ("Helpful examples", "Offers help", "Clear"):
        assert not is_helpfulness(statement), statement
    checked = check([Found("Helpfulness", "yes", "helps")], critique="It helps.", known={}, by="x")
    assert (checked.proposals, checked.dropped) == ([], {"helpfulness": 1})


@pytest.mark.parametrize(
    ("statement", "answer", "expected"),
    [
        ("is not clear", "yes", ("Clear", "no")),
        ("Does not follow the instructions", "yes", ("Follow the instructions", "no")),
        ("lacks examples", "no", ("Examples", "yes")),
        ("fails to be concise", "partly", ("Concise", "partly")),
        ("The answer isn't polite", "yes", ("Polite", "no")),
        ("Clear", "yes", ("Clear", "yes")),
        ("No repetition", "yes", ("No repetition", "yes")),
    ],
)
def test_a_denial_is_turned_into_what_it_denies(statement: str, answer: str, expected: tuple[str, str]):
    assert in_positive_form(statement, answer) == expected


def test_a_wish_for_an_absence_is_marked_and_kept():
    (one,) = check([Found("No repetition", "no", "twice")], critique="It says it twice.", known={}, by="x").proposals
    assert one["absence"] and (one["statement"], one["answer"]) == ("No repetition", "no")


def test_near_duplicates_of_the_campaigns_list_get_its_name_and_key():
    assert key_among("accuracy of the information", KNOWN) == "accuracy_of_information"
    assert key_among("Everything stated as fact is true", KNOWN) == "accuracy_of_information"
    assert key_among("CLEAR", KNOWN) == "clear"
    assert key_among("Clear conscience", KNOWN) is None
    assert key_among("Suitable tone", KNOWN) is None and key_among("Clear", {}) is None


def test_one_principle_is_proposed_once_and_is_partly_met_when_it_is_said_both_ways():
    found = [
        Found("Clear", "yes", "It begins clearly"),
        Found("clear", "no", "the end is a riddle"),
        Found("Kind words", "yes", "kind"),
        Found("Words, kind", "yes", "kind"),
    ]
    checked = check(found, critique="It begins clearly; the end is a riddle. But kind.", known=KNOWN, by="x")
    assert [(one["key"], one["answer"]) for one in checked.proposals] == [("clear", "partly"), (None, "yes")]
    assert checked.dropped == {"repeated": 2}


def test_what_cannot_be_used_is_left_out_and_there_is_an_end():
    critique = " ".join(f"w{number}" for number in range(40))
    words = ["warm", "brief", "exact", "funny", "brave", "local", "modern", "quiet", "round", "solid", "tidy", "vivid"]
    words += ["useful", "young", "zesty", "open"]
    found = [Found(word, "yes", f"w{number}") for number, word in enumerate(words)]
    bad = [
        Found("", "yes", "w1"),
        Found("x" * 501, "yes", "w1"),
        Found("a\x00", "yes", "w1"),
        Found("a", "maybe", "w1"),
    ]
    checked = check([*bad, *found], critique=critique, known={}, by="x")
    assert len(checked.proposals) == MOST
    assert checked.dropped == {"unusable": 4, "too many": 4}
