"""Formats: the columns that other projects read, worked out by hand, and read by `datasets` as they are."""

from __future__ import annotations

import json
from itertools import chain

import datasets as hub
import pyarrow as pa
import pyarrow.parquet as arrow
import pytest

from annotation import column_examples, dataset_views, datasets, parquet
from annotation.errors import Invalid
from annotation.export_formats import FORMATS, export_format, formats_of, offered, source_of
from annotation.export_formats.stepwise import STEPWISE
from annotation.feedback import KINDS
from annotation.models import User
from tests.annotation.feedback.examples import EXAMPLES
from tests.factories import judge, make_campaign, make_task

ASK = [{"role": "user", "content": "Why?"}]


def said(text):
    return [{"role": "assistant", "content": text}]


@pytest.fixture
def exported(db):
    """Every view of every kind: {kind: {view: rows}}, of two judgements of two answers."""
    return {name: _exported(name) for name in KINDS}


def _exported(name):
    lead = User.objects.create(username=f"lead-{name}")
    campaign = make_campaign(lead=lead, kind=name, annotators=[lead])
    for number in range(2):
        make_task(
            campaign,
            prompt=f"Question {number}?",
            completions=["It is **in plain words**\nhere.", "No idea, in plain words."][: KINDS[name].completions[1]],
        )
        marked = {"passages_weaknesses_1": "in plain words"} if name == "critique" and number else {}
        judge(lead, campaign, data={**EXAMPLES[name], **marked})
    views = [view.name for view in dataset_views.views_of(KINDS[name].views)]
    return {view: list(datasets.rows(campaign, view)) for view in views}


def test_every_format_has_rows_with_its_columns_that_datasets_reads(exported, tmp_path):
    for name, found in FORMATS.items():
        made = []
        for views in exported.values():
            if any(view in views for view in found.views):
                made += found.convert(views[source_of(found, views)])
        assert made, f"no kind of feedback gives any row of {name}"
        assert all(set(row) == set(found.columns) for row in made), name
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(datasets.lines(made)), encoding="utf-8")
        loaded = hub.load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
        assert list(loaded) == [json.loads(json.dumps(row)) for row in made], name


def test_every_view_of_every_kind_is_read_by_datasets_from_both_kinds_of_files(exported, tmp_path):
    for kind, views in exported.items():
        for view, rows in views.items():
            if not rows:
                continue
            file = tmp_path / f"{kind}-{view}"
            file.with_suffix(".jsonl").write_text("".join(datasets.lines(rows)), encoding="utf-8")
            file.with_suffix(".parquet").write_bytes(b"".join(parquet.packed(rows, like={})))
            lines = hub.Dataset.from_json(str(file.with_suffix(".jsonl")), cache_dir=str(tmp_path / "cache"))
            packed = hub.Dataset.from_parquet(str(file.with_suffix(".parquet")), cache_dir=str(tmp_path / "cache"))
            assert len(lines) == len(packed) == len(rows), (kind, view)
            assert (
                lines["campaign" if "campaign" in lines.column_names else "id"]
                == (packed["campaign" if "campaign" in lines.column_names else "id"])
            )
            assert set(dataset_views.VIEWS[view].columns) == set(rows[0]), (kind, view)


def test_a_pair_in_each_of_its_formats():
    row = {
        "prompt": ASK,
        "chosen": said("because"),
        "rejected": said("no idea"),
        "strength": 2 / 3,
        "chosen_origin": "policy-1",
        "rejected_origin": "policy-0",
        "campaign": "Helpful",
        "annotator": "p-1",
        "feedback": 7,
        "comment": "",
    }
    who = {"annotator": "p-1", "feedback": 7}
    assert list(FORMATS["preference"].convert([row])) == [
        {"prompt": ASK, "chosen": said("because"), "rejected": said("no idea"), **who}
    ]
    assert list(FORMATS["unpaired"].convert([row])) == [
        {"prompt": ASK, "completion": said("because"), "label": True, **who},
        {"prompt": ASK, "completion": said("no idea"), "label": False, **who},
    ]
    assert [one["margin"] for one in FORMATS["reward"].convert([row])] == [2 / 3]
    (bench,) = FORMATS["reward_bench"].convert([row])
    assert (bench["prompt"], bench["chosen"], bench["rejected"]) == ("Why?", "because", "no idea")
    assert (bench["chosen_model"], bench["rejected_model"], bench["subset"]) == ("policy-1", "policy-0", "Helpful")


def test_signs_of_costs_and_the_order_on_the_screen():
    row = {
        "prompt": ASK,
        "chosen": said("No."),
        "rejected": said("Boom."),
        "position": 1,
        "chosen_is_safe": True,
        "rejected_is_safe": False,
        "chosen_is_better": False,
        "chosen_severity": 0,
        "rejected_severity": 3,
        "chosen_harms": {},
        "rejected_harms": {"violence": 3, "drugs": 1},
    }
    (made,) = FORMATS["safe_rlhf"].convert([row])
    assert (made["response_0"], made["response_1"]) == ("Boom.", "No."), "the safer one stood second"
    assert (made["response_0_sign"], made["response_1_sign"]) == (1, -1)
    assert (made["safer_response_id"], made["better_response_id"]) == (1, 0)
    assert made["response_0_harm_category"] == ["drugs", "violence"]


def test_steps_are_wrong_where_a_weakness_was_marked():
    answer = "First step.\n\nSecond step is off.\n- a point\n- another"
    row = {
        "prompt": ASK,
        "completion": said(answer),
        "strengths": "",
        "weaknesses": "The second.",
        "score": 2,
        "turn": None,
        "feedback": 1,
        "annotator": "p",
        "passages": [{"about": "weaknesses", "text": "is off", "start": answer.index("is off"), "end": 30}],
    }
    (made,) = STEPWISE.convert([row])
    assert made["completions"] == ["First step.", "Second step is off.", "- a point", "- another"]
    assert made["labels"] == [True, False, True, True]
    assert list(STEPWISE.convert([{**row, "passages": []}])) == [], "nothing tells which step is wrong"
    (good,) = STEPWISE.convert([{**row, "passages": [], "weaknesses": "", "strengths": "All of it."}])
    assert good["labels"] == [True] * 4
    turns = [{"prompt": ASK, "completion": said(f"t{n}"), "reward": n / 4, "turn": n, "feedback": 3} for n in (1, 2, 3)]
    (dialogue,) = STEPWISE.convert(turns)
    assert (dialogue["completions"], dialogue["labels"]) == (["t1", "t2", "t3"], [False, True, True])


def test_partly_is_no_answer_to_a_principle():
    row = {
        "prompt": ASK,
        "completion": said("because"),
        "principle": "be_clear",
        "statement": None,
        "answer": "no",
        "evidence": {"text": "because", "start": 0, "end": 7},
    }
    for name in ("helpsteer3_principles", "principle_questions"):
        assert len(list(FORMATS[name].convert([row, {**row, "answer": "partly"}, {**row, "answer": "na"}]))) == 1
    (plain,) = FORMATS["helpsteer3_principles"].convert([row])
    assert list(plain)[:6] == ["domain", "language", "context", "response", "principle", "fulfilment"], "its card's"
    assert (plain["principle"], plain["fulfilment"], plain["evidence"]) == ("be clear", "No", "because")


def test_a_format_without_rows_here_and_one_that_is_none_are_refused():
    with pytest.raises(Invalid, match="did you mean 'unpaired'"):
        export_format("unpared")
    with pytest.raises(Invalid, match="made of: safer_pairs"):
        source_of(FORMATS["safe_rlhf"], ["pairs"])
    assert {one.name for one in formats_of(["principles"])} == {"helpsteer3_principles", "principle_questions"}


def test_parquet_finds_the_type_of_a_column_that_begins_with_nulls_and_packs_what_has_none(monkeypatch, tmp_path):
    monkeypatch.setattr(parquet, "GROUP", 2)
    rows = [
        {"n": None, "harms": {}, "list": [], "mixed": 1},
        {"n": None, "harms": {"a": 1}, "list": [], "mixed": "one"},
        {"n": 3, "harms": {"b": 2}, "list": [{"x": 1}], "mixed": [1]},
    ]
    pieces = list(parquet.packed(rows, like={}))
    assert len(pieces) > 2, "groups are sent as they are packed"
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"".join(pieces))
    table = arrow.read_table(path).to_pylist()
    assert [row["n"] for row in table] == [None, None, 3]
    assert [row["harms"] for row in table][1:] == [{"a": 1, "b": None}, {"a": None, "b": 2}]
    assert [json.loads(row["mixed"]) for row in table] == [1, "one", [1]]


def test_an_empty_parquet_file_has_the_columns_and_types_that_rows_would_have(exported, tmp_path):
    """Of every view and layout; each type goes together with what real rows of every kind have."""
    path, seen = tmp_path / "rows.parquet", set()

    def schema_of(of, rows):
        path.write_bytes(b"".join(parquet.packed(rows, like=column_examples.row_of(of.name, of.columns))))
        return arrow.read_schema(path)

    for views in exported.values():
        made = [(dataset_views.VIEWS[view], rows) for view, rows in views.items()]
        made += [(one, list(one.convert(views[source_of(one, views)]))) for one in formats_of(views)]
        for of, rows in made:
            empty = schema_of(of, [])
            assert empty.names == list(of.columns) and not any(map(pa.types.is_null, empty.types)), of.name
            if rows:
                seen.add((type(of), of.name))
                known = pa.unify_schemas([empty, schema_of(of, rows)], promote_options="permissive")
                assert set(known.names) == set(of.columns), of.name
    assert len(seen) == len(dataset_views.VIEWS) + len(FORMATS), "each with rows of some kind"


def test_datasets_reads_an_empty_parquet_file_as_a_stream(tmp_path):
    """Without streaming it refuses whatever has no row, also a file with columns."""
    path, columns = tmp_path / "rows.parquet", dataset_views.VIEWS["safer_pairs"].columns
    path.write_bytes(b"".join(parquet.packed([], like=column_examples.row_of("safer_pairs", columns))))
    read = hub.load_dataset("parquet", data_files=str(path), split="train", streaming=True)
    assert (list(read), read.column_names) == ([], list(columns))


def test_what_a_campaign_can_never_fill_is_not_offered():
    plain, rated = (KINDS["ranking"].clean_options({"attributes": lines}) for lines in ([], ["Helpfulness"]))
    assert not {"ratings", "outcomes", "stepwise"} & {*chain(*offered(KINDS["ranking"], plain))}
    assert {"ratings", "outcomes", "stepwise", "unpaired"} <= {*chain(*offered(KINDS["ranking"], rated))}
    critique = KINDS["principled_critique"]
    views, layouts = offered(critique, critique.clean_options({}))
    assert "outcomes" not in views and {"critiques", "helpsteer3_principles", "principle_questions"} == set(layouts)
    with pytest.raises(Invalid, match="no rows for 'stepwise'"):
        source_of(FORMATS["stepwise"], views, layouts)
