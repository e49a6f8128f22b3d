"""What is written where no answer is better gives pairs with every answer shown, the right way round."""

from __future__ import annotations

import pytest

from annotation.errors import Invalid
from annotation.feedback import kind

TEXTS = ["First answer.", "Second answer.", "Third answer."]
ORIGINS = ["one", "two", "three"]
ORDER = [2, 0, 1]
ON = {"write_on_tie": True}


def rows(name: str, view: str, payload: dict, count: int) -> list[dict]:
    return list(
        kind(name).rows(view, payload, texts=TEXTS[:count], origins=ORIGINS[:count], shown_order=ORDER[3 - count :])
    )


@pytest.mark.parametrize(
    ("name", "count", "said"),
    [("pairwise", 2, {"preference": "both_{}"}), ("ranking", 3, {"all": "{}"})],
)
@pytest.mark.parametrize(("verdict", "role"), [("bad", "better"), ("good", "worse")])
def test_a_tie_gives_pairs_with_what_was_written(name, count, said, verdict, role):
    one = kind(name)
    options = one.clean_options(ON)
    order = ORDER[3 - count :]
    sent = {key: value.format(verdict) for key, value in said.items()} | {f"written_{role}": "Written here."}
    payload = one.parse(sent, options=options, shown_order=order)
    assert payload["written"] == {"text": "Written here.", "is": role}
    assert one.parse(one.initial(payload, shown_order=order), options=options, shown_order=order) == payload
    found = rows(name, "pairs", payload, count)
    ours, theirs = ("chosen", "rejected") if role == "better" else ("rejected", "chosen")
    assert [row[theirs][0]["content"] for row in found] == TEXTS[:count]
    assert {row[ours][0]["content"] for row in found} == {"Written here."}
    assert {row[f"{ours}_origin"] for row in found} == {"rewrite"}
    imitated = {row["completion"][0]["content"] for row in rows(name, "demonstrations", payload, count)}
    assert imitated == ({"Written here."} if role == "better" else set(TEXTS[:count]))
    assert set(one.tally(payload, options=options, shown_order=order)) <= set(one.tally_labels(options))


@pytest.mark.parametrize(("name", "said"), [("pairwise", {"preference": "both_bad"}), ("ranking", {"all": "bad"})])
def test_a_tie_without_a_text_is_refused_and_a_copy_gives_no_pair(name, said):
    one = kind(name)
    options = one.clean_options(ON)
    with pytest.raises(Invalid) as refused:
        one.parse({**said, "written_worse": "Not asked for."}, options=options, shown_order=[0, 1])
    assert set(refused.value.errors) == {"written_better"}
    payload = one.parse({**said, "written_better": TEXTS[0]}, options=options, shown_order=[0, 1])
    assert [row["rejected"][0]["content"] for row in rows(name, "pairs", payload, 2)] == [TEXTS[1]]
    assert "written" not in one.parse(
        {"preference": "2", "rank_1": "1", "rank_2": "2"}, options=options, shown_order=[0, 1]
    )


def test_without_the_option_nothing_is_asked():
    payload = kind("pairwise").parse({"preference": "both_bad"}, options={}, shown_order=[0, 1])
    assert "written" not in payload
    with pytest.raises(Invalid):
        kind("ranking").parse({"all": "bad", "written_better": "x"}, options={}, shown_order=[0, 1])
