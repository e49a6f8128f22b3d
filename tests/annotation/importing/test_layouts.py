"""Layouts that people have: told by their columns, with what was said about the answers kept apart as labels."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.errors import Invalid
from annotation.feedback import kind
from annotation.importing import mapping
from annotation.importing.items import Item, Refused, check
from annotation.importing.layouts import LAYOUTS, items_of
from annotation.importing.mapping import Columns
from annotation.importing.rows import Row
from annotation.importing.threads import gathered
from annotation.models import Task
from annotation.services import intake
from tests.factories import make_campaign

PAIR = (2, 2)
USER = {"role": "user", "content": "Why is the sky blue?"}
GOOD = {"role": "assistant", "content": "Because of scattering."}
BAD = {"role": "assistant", "content": "It reflects the sea."}
ASKED = USER["content"]
ANSWERS = [(GOOD["content"], "chosen"), (BAD["content"], "rejected")]


def only(row: dict, **options) -> Item:
    (item,) = items_of(row, bounds=PAIR, **options)
    return item


def read(*values: dict, columns: Columns = Columns(), bounds: tuple[int, int] = PAIR) -> tuple[list[Item], list[str]]:  # noqa: B008
    """Return the items of rows that belong together, and why others do not."""
    rows, columns = gathered([Row(line, value) for line, value in enumerate(values, start=1)], columns)
    items: list[Item] = []
    reasons = []
    for row in rows:
        try:
            if row.reason:
                raise Refused(row.reason)
            items += items_of(columns.apply(row.value), bounds=bounds, per_item=columns.per_item)
        except Refused as refused:
            reasons.append(str(refused))
    return items, reasons


class TestPublished:
    def test_ultrafeedback(self) -> None:
        row = {
            "source": "evol_instruct",
            "instruction": ASKED,
            "models": ["model-a", "model-b"],
            "completions": [
                {"model": "model-a", "response": "Scattering.", "overall_score": 8.5, "annotations": {"honesty": {}}},
                {"model": "model-b", "response": "The sea.", "overall_score": 2.0, "custom_system_prompt": "Be nice."},
            ],
            "correct_answers": ["None"],
        }
        item = only(row)
        assert item.messages == [USER]
        assert item.completions == [("Scattering.", "model-a"), ("The sea.", "model-b")]
        labels = [{"overall_score": 8.5, "annotations": {"honesty": {}}}, {"overall_score": 2.0}]
        assert item.meta == {"labels": {"completions": labels}}

    def test_ultrafeedback_in_pairs(self) -> None:
        answers = [{"model": name, "response": name, "overall_score": place} for place, name in enumerate("abcd")]
        items = items_of({"instruction": ASKED, "completions": answers}, bounds=PAIR, per_item=2)
        assert ["".join(text for text, _ in item.completions) for item in items] == ["ab", "ac", "ad", "bc", "bd", "cd"]
        assert [item.meta["labels"]["answers"] for item in items][-1] == [2, 3]
        assert len({item.external_id for item in items}) == 6

    @pytest.mark.parametrize("prompt", [ASKED, None])
    def test_binarised_ultrafeedback(self, prompt: str | None) -> None:
        row = {
            "prompt": prompt,
            "prompt_id": "abc",
            "chosen": [USER, GOOD],
            "rejected": [USER, BAD],
            "messages": [USER, GOOD],
            "score_chosen": 8.0,
            "score_rejected": 3.5,
        }
        item = only(row)
        assert (item.messages, item.completions) == ([USER], ANSWERS)
        assert item.meta == {"labels": {"score_chosen": 8.0, "score_rejected": 3.5}}
        with pytest.raises(Refused, match="does not occur"):
            items_of({**row, "prompt": "Something else?"}, bounds=PAIR)

    def test_helpsteer_3(self) -> None:
        row = {
            "domain": "general",
            "language": "english",
            "context": [USER],
            "response1": GOOD["content"],
            "response2": BAD["content"],
            "overall_preference": -2,
            "individual_preference": [{"score": -2, "reasoning": "clearer", "feedback1": "good"}],
        }
        item = only(row)
        assert item.messages == [USER] and item.domain == "general"
        assert item.completions == [(GOOD["content"], "response1"), (BAD["content"], "response2")]
        assert item.meta["labels"]["overall_preference"] == -2
        assert item.meta["labels"]["individual_preference"][0]["reasoning"] == "clearer"

    def test_helpsteer_2(self) -> None:
        row = {
            "prompt": "Hi\n<extra_id_1>Assistant\nHello\n<extra_id_1>User\nWhy?\n<extra_id_1>Assistant\n",
            "response": "Because.",
            "helpfulness": 4,
            "correctness": 3,
            "coherence": 4,
            "complexity": 1,
            "verbosity": 0,
        }
        item = only(row)
        assert [(message["role"], message["content"]) for message in item.messages] == [
            ("user", "Hi"),
            ("assistant", "Hello"),
            ("user", "Why?"),
        ]
        assert item.completions == [("Because.", "response")]
        assert item.meta["labels"] == {name: row[name] for name in list(row)[2:]}
        with pytest.raises(Refused, match="1 completion; this campaign compares 2"):
            check(item, kind("pairwise"), {})
        pair = {"prompt": ASKED, "response_1": "a", "response_2": "b", "preference_strength": 2}
        assert only(pair).completions == [("a", "response_1"), ("b", "response_2")]
        assert only(pair).meta["labels"] == {"preference_strength": 2}

    def test_safe_rlhf(self) -> None:
        row = {
            "prompt": ASKED,
            "response_0": "a",
            "response_1": "b",
            "response_0_source": "model-a",
            "is_response_0_safe": False,
            "is_response_1_safe": True,
            "response_0_harm_category": {"Violence": True},
            "response_0_severity_level": 2,
            "better_response_id": 0,
            "safer_response_id": 1,
            "response_0_sha256": "00ff",
        }
        item = only(row)
        assert item.completions == [("a", "model-a"), ("b", "response_1")]
        assert item.meta["labels"] == {
            "is_response_0_safe": False,
            "is_response_1_safe": True,
            "response_0_harm_category": {"Violence": True},
            "response_0_severity_level": 2,
            "better_response_id": 0,
            "safer_response_id": 1,
        }

    def test_rm_bench_compares_answers_of_one_style(self) -> None:
        row = {"id": 7, "prompt": ASKED, "chosen": ["a", "b", "c"], "rejected": ["x", "y", "z"], "error": "dates"}
        items = items_of(row, bounds=PAIR)
        assert [item.external_id for item in items] == ["7/1", "7/2", "7/3"]
        assert [[text for text, _ in item.completions] for item in items] == [["a", "x"], ["b", "y"], ["c", "z"]]
        assert items[1].meta["labels"] == {"style": 1, "error": "dates"}
        with pytest.raises(Refused, match="as many of each"):
            items_of({**row, "rejected": ["x"]}, bounds=PAIR)

    def test_llmbar_and_alpacaeval(self) -> None:
        row = {"input": ASKED, "output_1": "a", "output_2": "b", "label": 2}
        assert only(row).completions == [("a", "output_1"), ("b", "output_2")]
        assert only(row).meta["labels"] == {"label": 2}
        row = {"instruction": ASKED, "input": "", "output_1": "a", "output_2": "b", "generator_1": "model-a"}
        assert only(row).completions == [("a", "model-a"), ("b", "output_2")]

    def test_single_answers(self) -> None:
        assert only({"prompt": ASKED, "completion": [GOOD]}).completions == [(GOOD["content"], "")]
        row = {"prompt": ASKED, "completion": "a", "annotation_1": "1_full_compliance", "final_label": "x", "type": "t"}
        assert only(row).meta["labels"] == {"annotation_1": "1_full_compliance", "final_label": "x"}
        row = {"messages": [USER, GOOD], "model": "model-a"}
        assert (only(row).messages, only(row).completions) == ([USER], [(GOOD["content"], "model-a")])
        row = {"instruction": "And then?", "input": "", "output": "b", "history": [[ASKED, "a"]]}
        assert [message["content"] for message in only(row).messages] == [ASKED, "a", "And then?"]
        assert only({"instruction": "Sum up", "input": "a text", "output": "b"}).messages[0]["content"] == (
            "Sum up\n\na text"
        )

    def test_labels_and_meta_of_the_row_both_stay(self) -> None:
        row = {"prompt": ASKED, "completion": "a", "label": 1, "meta": {"source": "here"}}
        assert only(row).meta == {"source": "here", "labels": {"label": 1}}

    def test_unknown_columns_are_named(self) -> None:
        with pytest.raises(Refused, match="Its columns are question, a; a mapping can say"):
            items_of({"question": "?", "a": "b"}, bounds=PAIR)


def message(name: str, parent: str | None, role: str, text: str, **more) -> dict:
    return {"message_id": name, "parent_id": parent, "role": role, "text": text, **more}


MESSAGES = [
    message("r1", "q", "assistant", "one", rank=1, synthetic=True, model_name="model-a"),
    message("q", None, "prompter", "Why?"),
    message("f", "r2", "prompter", "And?"),
    message("r2", "q", "assistant", "two", rank=0),
    message("gone", "q", "assistant", "three", deleted=True),
    message("r3", "f", "assistant", "more"),
    message("r4", "f", "assistant", "less"),
    message("r5", "f", "assistant", "else"),
    message("alone", "r3", "prompter", "?"),
    message("single", "alone", "assistant", "!"),
]


def as_tree() -> dict:
    made = {value["message_id"]: {**value, "replies": []} for value in MESSAGES}
    for value in MESSAGES:
        if value["parent_id"]:
            made[value["parent_id"]]["replies"].append(made[value["message_id"]])
    return {"message_tree_id": "q", "tree_state": "ready_for_export", "prompt": made["q"]}


class TestOasst:
    @pytest.mark.parametrize("rows", [MESSAGES, [as_tree()]], ids=["messages", "tree"])
    def test_siblings_of_the_assistant_become_pairs(self, rows: list[dict]) -> None:
        items, reasons = read(*rows)
        assert reasons == []
        first, *rest = sorted(items, key=lambda item: len(item.messages))
        assert first.external_id == "q"
        assert first.messages == [{"role": "user", "content": "Why?"}]
        assert first.completions == [("one", "model-a"), ("two", "people")]
        assert first.meta["labels"] == {"rank": [1, 0]}
        assert [item.external_id for item in rest] == ["f/1-2", "f/1-3", "f/2-3"]
        assert [message["content"] for message in rest[0].messages] == ["Why?", "two", "And?"]

    def test_a_campaign_that_compares_more_gets_all_siblings_at_once(self) -> None:
        items, _ = read(*MESSAGES, bounds=(2, 4))
        assert sorted(len(item.completions) for item in items) == [2, 3]
        items, _ = read(*MESSAGES, bounds=(1, 1))
        assert sorted(text for item in items for text, _ in item.completions) == [
            *("!", "else", "less", "more", "one", "two")
        ]

    def test_what_does_not_fit_is_told(self) -> None:
        wrong = message("w", "q", "moderator", "?")
        items, reasons = read(*MESSAGES, wrong, {**wrong, "message_id": 3}, {**wrong, "role": "assistant", "text": 3})
        assert len(items) == 4
        assert reasons == [
            "The role of a message is neither prompter nor assistant.",
            "Its message_id or parent_id is no text.",
            "A message has no text.",
        ]

    @pytest.mark.parametrize(
        "row", [{"before": {}, "replies": []}, {"before": [], "replies": []}, {"before": [1], "replies": [2]}]
    )
    def test_columns_of_a_thread_by_chance(self, row: dict) -> None:
        with pytest.raises(Refused, match=r"no lists of messages|no object"):
            items_of(row, bounds=PAIR)

    def test_a_thread_without_a_beginning_or_an_end_makes_nothing(self) -> None:
        lost = [message(name, "nobody", "assistant", name) for name in "ab"]
        ring = [
            message("x", "y", "prompter", "?"),
            message("y", "x", "assistant", "!"),
            message("z", "x", "assistant", ""),
        ]
        assert read(*lost, *ring) == ([], [])


class TestMapping:
    ROW = {"question": ASKED, "a": "one", "b": "two", "uid": 9.0, "topic": 3, "part": "p", "score": 1, "id": "own"}

    def test_columns_are_what_they_are_said_to_be(self) -> None:
        words = ["prompt=question", "completions=a, b", "id=uid", "domain=topic", "batch=part", "labels=score"]
        item = only(mapping.of_words(words).apply(self.ROW))
        assert item == Item(
            "9", [USER], [("one", "a"), ("two", "b")], None, 0, False, "p", "3", {"labels": {"score": 1}}
        )

    def test_who_may_judge_it_and_when_comes_from_columns_too(self) -> None:
        row = {**self.ROW, "who": "medicine, law", "code": "de", "n": " 3", "first": "-2", "topic": ["self-harm"]}
        words = ["prompt=question", "completions=a,b", "requires=who", "language=code", "wanted=n"]
        item = only(mapping.of_words([*words, "priority=first", "about=topic"]).apply(row))
        assert item.requires == ("medicine", "law", "lang:de")
        assert (item.wanted, item.priority, item.about) == (3, -2, ("self-harm",))
        alone = only(mapping.of_words([*words[:2], "language=code"]).apply(row))
        assert alone.requires == ("lang:de",)
        with pytest.raises(Refused, match="wanted is no whole number"):
            only(mapping.of_words([*words[:2], "wanted=who"]).apply(row))
        with pytest.raises(Refused, match="requires cannot be read"):
            only(mapping.of_words([*words[:2], "language=question"]).apply(row))

    def test_it_may_be_json(self) -> None:
        assert mapping.of_json('{"prompt": "question", "completions": ["a", "b"]}') == Columns("question", ("a", "b"))
        assert mapping.of_words(['{"prompt": "question"}', "id=uid"]) == Columns("question", id="uid")
        assert mapping.of_json(" ") == Columns()

    def test_one_column_may_hold_all_answers(self) -> None:
        row = {"question": ASKED, "answers": ["one", {"text": "two", "origin": "model-a"}, [GOOD]]}
        item = only(Columns("question", ("answers",)).apply(row))
        assert item.completions == [("one", ""), ("two", "model-a"), (GOOD["content"], "")]
        assert only(Columns("question", ("answers",)).apply({**row, "answers": [GOOD]})).completions == [
            (GOOD["content"], "")
        ]

    def test_an_empty_answer_is_none(self) -> None:
        row = {"question": ASKED, "a": "one", "b": None, "c": "three"}
        assert len(only(Columns("question", ("a", "b", "c")).apply(row)).completions) == 2

    def test_the_rest_may_be_left_to_the_layout(self) -> None:
        row = {"q": ASKED, "chosen": "a", "rejected": "b", "topic": "physics"}
        item = only(Columns(prompt="q", domain="topic").apply(row))
        assert (item.domain, item.completions) == ("physics", [("a", "chosen"), ("b", "rejected")])

    def test_what_a_row_does_not_have_is_told(self) -> None:
        with pytest.raises(Refused, match="no column 'asked'; its columns are question, a"):
            Columns("asked", ("a", "b")).apply(self.ROW)
        with pytest.raises(Refused, match="neither text nor a list of answers"):
            Columns("question", ("a",)).apply({"question": "?", "a": {"b": 1}})

    @pytest.mark.parametrize(
        ("given", "reason"),
        [
            ("{", "not valid JSON"),
            ("[]", "A mapping is an object"),
            ('{"promt": "a"}', "has no 'promt'; there are: prompt"),
            ('{"prompt": ["a"]}', "prompt must be the name of a column."),
            ('{"completions": [1]}', "or a list of names"),
            ('{"completions": ["a", "a"]}', "names a column twice"),
            ('{"per_item": 9}', "1 to 4"),
            ('{"prompt": "' + "a" * 201 + '"}', "name of a column"),
            ("[" * 100_000, "not valid JSON"),
        ],
    )
    def test_a_wrong_mapping_gets_a_sentence(self, given: str, reason: str) -> None:
        with pytest.raises(Invalid) as raised:
            mapping.of_json(given)
        assert reason in str(raised.value) and raised.value.errors["mapping"]
        with pytest.raises(Invalid, match="write it like prompt=question"):
            mapping.of_words(["prompt"])


class TestTogether:
    def test_rows_with_one_value_are_one_item(self) -> None:
        rows = [
            {"uid": "x", "model": "m1", "messages": [USER, GOOD]},
            {"uid": "y", "model": "m1", "messages": [USER, GOOD]},
            {"uid": "x", "model": "m2", "messages": [USER, {"role": "assistant", "content": {"answer": "Dunno."}}]},
        ]
        (both, single), reasons = read(*rows, columns=Columns(together="uid"))
        assert reasons == []
        assert (both.external_id, both.completions) == ("x", [(GOOD["content"], "m1"), ("Dunno.", "m2")])
        assert (single.external_id, len(single.completions)) == ("y", 1)

    def test_labels_stay_with_their_answers_and_different_prompts_are_refused(self) -> None:
        rows = [
            {"id": 1, "prompt": ASKED, "completion": "a", "label": "good"},
            {"id": 1, "prompt": ASKED, "completion": "b"},
            {"id": 2, "prompt": ASKED, "completion": "c"},
            {"id": 2, "prompt": "?", "completion": "d"},
            {"id": None, "prompt": "?", "completion": "d"},
            {"id": 3, "prompt": "?"},
        ]
        (item,), reasons = read(*rows, columns=Columns(together="id"))
        assert item.meta == {"labels": {"answers": [{"label": "good"}, None]}}
        assert [reason[:40] for reason in reasons] == [
            "Its id, which says what belongs together",
            "It has no completions; give prompt and c",
            "The rows of '2' have different prompts."[:40],
        ]


VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-3, 3), st.floats(), st.sampled_from([ASKED, "", "x", "\ud800", "\x00"])
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["role", "content", "text", "response", "replies", "deleted", "prompt", "model"]),
            inner,
            max_size=4,
        ),
        st.just([USER, GOOD]),
    ),
    max_leaves=12,
)
COLUMNS = sorted(
    {column for wanted, _ in LAYOUTS for column in wanted} | {"id", "meta", "history", "message_id", "text", "role"}
)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.dictionaries(st.sampled_from(COLUMNS), VALUES, max_size=6), max_size=3),
    columns=st.builds(
        Columns,
        prompt=st.sampled_from(["", "prompt", "input"]),
        completions=st.sampled_from([(), ("response", "output"), ("completions",)]),
        labels=st.sampled_from([(), ("id",)]),
        together=st.sampled_from(["", "id"]),
        per_item=st.sampled_from([None, 1, 2]),
    ),
)
def test_whatever_the_rows_are_they_are_items_or_sentences(rows: list[dict], columns: Columns) -> None:
    items, reasons = read(*rows, columns=columns)
    assert all(reason.endswith((".", "?")) and reason[0].isupper() for reason in reasons)
    for item in items:
        try:
            check(item, kind("pairwise"), {})
        except Refused as refused:
            assert str(refused).endswith(".")


@pytest.mark.django_db
def test_labels_are_kept_and_not_shown(lead) -> None:
    campaign = make_campaign(lead=lead)
    row = {"prompt": ASKED, "response_0": "a", "response_1": "b", "safer_response_id": 1}
    intake.import_rows(campaign=campaign, rows=[Row(1, row)], actor=None)
    task = Task.objects.get()
    assert task.meta == {"labels": {"safer_response_id": 1}, "origins": ["response_0", "response_1"]}
    assert set(task.content) == {"messages", "completions"}
    assert "safer" not in str(task.content)
