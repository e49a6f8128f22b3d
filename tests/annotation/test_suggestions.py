"""What a model said before: kept from people until they have answered, then beside what they said."""

from __future__ import annotations

import json

import pytest
from django.test import Client

from annotation import datasets, suggestions
from annotation.errors import Invalid
from annotation.feedback import KINDS
from annotation.models import Assignment, Task
from annotation.services import campaigns
from tests.annotation.feedback.examples import EXAMPLES
from tests.factories import judge, make_campaign

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_kind_takes_an_answer_of_its_own(name: str) -> None:
    kind = KINDS[name]
    count = min(2, kind.completions[1])
    said = {"answer": EXAMPLES[name], "by": "judge-7b", "score": 0.75}
    read = suggestions.read(kind, said, options=kind.default_options(), count=count)
    assert (read["by"], read["score"]) == ("judge-7b", 0.75)
    own = suggestions.agreement(kind, read["payload"], read["payload"])
    assert own in (1, None)
    words = suggestions.in_words(
        kind, {"suggestion": read}, options=kind.default_options(), shown_order=list(range(count))
    )
    assert words


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("B", "Give it as an object"),
        ({"answer": "B"}, "Give it as an object"),
        ({"answer": {"preference": "2"}, "model": "x"}, "no part model"),
        ({"answer": {"preference": "2"}, "by": "x" * 121}, "at most 120"),
        ({"answer": {"preference": "2"}, "score": "high"}, "no number"),
        ({"answer": {"preference": "2"}, "score": float("inf")}, "no number"),
        ({"answer": {"preference": "11"}}, "preference: Choose one of"),
        ({"answer": {"preference": "2"}, "critiques": "good"}, "one text for each answer"),
        ({"answer": {"preference": "2"}, "critiques": ["good"]}, "one text for each answer"),
        ({"answer": {"preference": "2"}, "critiques": ["good", "x" * 8001]}, "one text for each answer"),
    ],
)
def test_what_does_not_fit_is_told(value: object, sentence: str) -> None:
    with pytest.raises(Invalid, match=sentence):
        suggestions.read(KINDS["pairwise"], value, options={}, count=2)


def line(number: int, **more: object) -> str:
    return json.dumps({"id": f"i{number}", "prompt": "Why?", "completions": [f"One {number}", f"Two {number}"], **more})


def test_it_comes_with_a_row_shows_after_the_answer_and_goes_out_with_it(client: Client, lead, annotator) -> None:
    campaign = make_campaign(lead=lead, annotators=[annotator])
    client.force_login(lead)
    said = {"answer": {"preference": "1"}, "by": "judge-7b", "critiques": ["It is <clear>.", "It rambles."]}
    rows = [line(1, suggestion=said), line(2, suggestion={"answer": {"preference": "12"}}), line(3, suggestion="B")]
    client.post(f"/campaigns/{campaign.pk}/import/", {"text": "\n".join(rows)})
    assert Task.objects.filter(campaign=campaign).values_list("external_id", flat=True)[::1] == ["i1"]
    campaigns.open_campaign(campaign=campaign, actor=lead)

    client.force_login(annotator)
    before = client.get(f"/work/{campaign.pk}/").content.decode()
    assert "judge-7b" not in before and "A model had said" not in before and "It rambles." not in before
    assignment = Assignment.objects.get(user=annotator)
    judge(annotator, campaign, assignment=assignment, data={"preference": "7"})
    first = "A" if assignment.shown_order[0] == 0 else "B"
    for page in (f"/work/{campaign.pk}/history/", f"/work/{campaign.pk}/?item={assignment.key}"):
        seen = client.get(page).content.decode()
        assert f"A model had said: {first} is much better" in seen
        assert "judge-7b" not in seen
        told = ["It is &lt;clear&gt;.", "It rambles."][:: 1 if first == "A" else -1]
        assert f"A: {told[0]} B: {told[1]}" in seen, "each critique stands with the answer as it is on the screen"
    (row,) = datasets.rows(campaign, "judgements")
    assert row["suggestion"]["by"] == "judge-7b"
    assert row["suggestion"]["verdict"] == "Answer 1 is much better"
    assert row["suggestion"]["agreement"] == (1.0 if first == "B" else 0.0)
