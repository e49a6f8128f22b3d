"""What comes in: three layouts, every kind of bad line with its reason, and nothing stored twice."""

from __future__ import annotations

import gzip
import io
import json
import os
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.db import connection
from django.test.utils import CaptureQueriesContext

import annotation
from annotation.errors import CampaignClosed, Invalid
from annotation.importing import refusals
from annotation.importing.lines import line_rows, read_lines
from annotation.importing.mapping import Columns
from annotation.importing.rows import MAX_LINE_BYTES, Row
from annotation.models import Completion, Event, Prompt, Task, TaskCompletion
from annotation.services import campaigns, intake
from tests.factories import make_campaign

pytestmark = pytest.mark.django_db

GOOD = '{"id": "good", "prompt": "Why?", "completions": ["because", "no idea"]}'


@pytest.fixture
def campaign(lead):
    return make_campaign(lead=lead, overlap=2)


def import_(campaign, *lines):
    return intake.import_lines(campaign=campaign, lines=lines, actor=campaign.created_by)


def imported(campaign, row) -> Task:
    report = import_(campaign, json.dumps(row))
    assert report.errors == []
    assert report.created == 1
    return Task.objects.filter(campaign=campaign).latest("id")


def texts(task: Task) -> list[str]:
    return [completion["text"] for completion in task.content["completions"]]


USER = {"role": "user", "content": "Why?"}


def says(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


class TestLayouts:
    def test_prompt_and_completions(self, campaign):
        task = imported(
            campaign,
            {
                "id": 7,
                "prompt": [{"role": "system", "content": "Be short."}, USER],
                "completions": ["because", {"text": "no idea", "origin": "policy-3"}],
                "priority": 4,
                "wanted": 1,
                "batch": "pilot",
                "domain": "physics",
                "meta": {"round": 2, "policy": "policy-3"},
            },
        )
        assert (task.external_id, task.priority, task.wanted, task.seats, task.batch) == ("7", 4, 1, 1, "pilot")
        assert task.content["messages"] == [{"role": "system", "content": "Be short."}, USER]
        assert texts(task) == ["because", "no idea"]
        assert task.meta == {"round": 2, "policy": "policy-3", "origins": ["", "policy-3"]}
        assert task.prompt.domain == "physics"
        order = TaskCompletion.objects.filter(task=task).values_list("completion__text", "completion_id")
        assert list(order) == [(one["text"], one["id"]) for one in task.content["completions"]]

    @pytest.mark.parametrize(
        "row",
        [
            {"prompt": "Why?", "chosen": "because", "rejected": "no idea"},
            {"prompt": [USER], "chosen": [says("because")], "rejected": [says("no idea")]},
            {"chosen": [USER, says("because")], "rejected": [USER, says("no idea")]},
            {
                "chosen": "\n\nHuman: Why?\n\nAssistant: because",
                "rejected": "\n\nHuman: Why?\n\nAssistant: no idea",
            },
            {"prompt": "\n\nHuman: Why?\n\nAssistant:", "chosen": " because", "rejected": " no idea"},
        ],
        ids=["trl text", "trl messages", "trl implicit prompt", "hh-rlhf", "hh-rlhf with prompt"],
    )
    def test_chosen_and_rejected_in_every_layout_are_one_item(self, campaign, row):
        task = imported(campaign, row)
        assert task.content["messages"] == [USER]
        assert texts(task) == ["because", "no idea"]
        assert task.meta["origins"] == ["chosen", "rejected"]
        again = import_(campaign, json.dumps({"prompt": "Why?", "chosen": "because", "rejected": "no idea"}))
        assert (again.created, again.existing) == (0, 1)

    def test_a_transcript_of_several_turns_is_cut_before_the_last_answer(self, campaign):
        start = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Tell me\nmore\n\nAssistant:"
        task = imported(campaign, {"chosen": start + " Yes.", "rejected": start + " No."})
        assert task.content["messages"] == [
            {"role": "user", "content": "Hi"},
            says("Hello"),
            {"role": "user", "content": "Tell me\nmore"},
        ]
        assert texts(task) == ["Yes.", "No."]

    def test_the_shipped_pairs_all_fit(self, campaign):
        shipped = next(Path(annotation.__file__).parent.glob("demo/*.jsonl.gz"))
        with gzip.open(shipped) as file:
            report = intake.import_lines(campaign=campaign, lines=read_lines(file), actor=None)
        assert report.errors == []
        assert report.created >= 300

    def test_markup_is_stored_as_it_is(self, campaign):
        script = "<script>alert(1)</script> & \u202e\u200f 🙂"
        task = imported(campaign, {"prompt": script, "completions": [script + "a", script + "b"]})
        assert task.content["messages"][0]["content"] == script
        assert texts(task) == [script + "a", script + "b"]


BAD = {
    "invalid UTF-8": (b'{"prompt": "\xff"}', "Byte 13 of the line is not valid UTF-8"),
    "UTF-16": ("\ufeff{}".encode("utf-16-le"), "UTF-16"),
    "no JSON": ("{", "not valid JSON"),
    "list": ('["a"]', "no JSON object"),
    "text": ('"a"', "no JSON object"),
    "null": ("null", "no JSON object"),
    "NaN": ('{"prompt": "a", "completions": ["x", "y"], "meta": {"score": NaN}}', "NaN"),
    "number beyond all bounds": ('{"prompt": "a", "completions": ["x", "y"], "meta": {"score": 1e999}}', "1e999"),
    "long number": ('{"prompt": "a", "completions": ["x", "y"], "priority": ' + "9" * 5000 + "}", "number"),
    "deep": ("[" * 100_000, "nested too deeply"),
    "empty object": ("{}", "no prompt and completions"),
    "no completions": ('{"prompt": "a"}', "no completions"),
    "no prompt": ('{"completions": ["x", "y"]}', "prompt is missing"),
    "null prompt": ('{"prompt": null, "completions": ["x", "y"]}', "prompt is missing"),
    "number as prompt": ('{"prompt": 3, "completions": ["x", "y"]}', "neither text nor a list"),
    "empty prompt": ('{"prompt": " ", "completions": ["x", "y"]}', "prompt is empty"),
    "no messages": ('{"prompt": [], "completions": ["x", "y"]}', "no messages"),
    "message without role": ('{"prompt": [{"content": "a"}], "completions": ["x", "y"]}', "no object with a role"),
    "message without text": (
        '{"prompt": [{"role": "user", "content": [{"type": "image"}]}], "completions": ["x", "y"]}',
        "placeholder for an image, and no image for it",
    ),
    "message with a number": ('{"prompt": [{"role": "user", "content": 5}], "completions": ["x", "y"]}', "no content"),
    "unknown role": ('{"prompt": [{"role": "tool", "content": "a"}], "completions": ["x", "y"]}', "role 'tool'"),
    "ends with an answer": (
        '{"prompt": [{"role": "assistant", "content": "a"}], "completions": ["x", "y"]}',
        "must end where an answer is wanted",
    ),
    "completions no list": ('{"prompt": "a", "completions": "xy"}', "no list"),
    "one completion": ('{"prompt": "a", "completions": ["x"]}', "1 completion;"),
    "three completions": ('{"prompt": "a", "completions": ["x", "y", "z"]}', "3 completions"),
    "completion a number": ('{"prompt": "a", "completions": ["x", 2]}', "Completion 2 is neither"),
    "origin a number": ('{"prompt": "a", "completions": ["x", {"text": "y", "origin": 1}]}', "origin of completion 2"),
    "long origin": ('{"prompt": "a", "completions": ["x", {"text": "y", "origin": "' + "o" * 121 + '"}]}', "origin"),
    "identical": ('{"prompt": "a", "completions": ["x", "x"]}', "identical"),
    "identical but for spaces": ('{"prompt": "a", "completions": ["x", "x \\n"]}', "identical"),
    "both empty": ('{"prompt": "a", "completions": ["", ""]}', "identical"),
    "NUL in text": ('{"prompt": "a", "completions": ["x", "y\\u0000"]}', "NUL"),
    "NUL in id": ('{"id": "\\u0000", "prompt": "a", "completions": ["x", "y"]}', "NUL"),
    "NUL in meta": ('{"prompt": "a", "completions": ["x", "y"], "meta": {"k\\u0000": 1}}', "NUL"),
    "half a character": ('{"prompt": "\\ud83d", "completions": ["x", "y"]}', "surrogate"),
    "id a list": ('{"id": [], "prompt": "a", "completions": ["x", "y"]}', "id is neither"),
    "empty id": ('{"id": " ", "prompt": "a", "completions": ["x", "y"]}', "id is blank"),
    "long id": ('{"id": "' + "i" * 201 + '", "prompt": "a", "completions": ["x", "y"]}', "200 characters"),
    "priority a text": ('{"prompt": "a", "completions": ["x", "y"], "priority": "high"}', "no whole number"),
    "priority too large": ('{"prompt": "a", "completions": ["x", "y"], "priority": 99999999999}', "priority is beyond"),
    "wanted none": ('{"prompt": "a", "completions": ["x", "y"], "wanted": 0}', "wants 0 judgements"),
    "wanted many": ('{"prompt": "a", "completions": ["x", "y"], "wanted": 51}', "wants 51 judgements"),
    "wanted true": ('{"prompt": "a", "completions": ["x", "y"], "wanted": true}', "no whole number"),
    "batch a number": ('{"prompt": "a", "completions": ["x", "y"], "batch": 1}', "batch is no text"),
    "long batch": ('{"prompt": "a", "completions": ["x", "y"], "batch": "' + "b" * 61 + '"}', "60 characters"),
    "meta a text": ('{"prompt": "a", "completions": ["x", "y"], "meta": "m"}', "meta is no object"),
    "different starts": (
        '{"chosen": "\\n\\nHuman: a\\n\\nAssistant: x", "rejected": "\\n\\nHuman: b\\n\\nAssistant: y"}',
        "differ before their last answer",
    ),
    "no conversation": ('{"chosen": "x", "rejected": "y"}', "no conversation that ends"),
    "two answers": (
        '{"prompt": "a", "chosen": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "x"}],'
        ' "rejected": "y"}',
        "one message of the assistant",
    ),
    "too long": (b'{"prompt": "' + b"a" * MAX_LINE_BYTES + b'"}', "more than 4,000,000 bytes"),
}


class TestBadLines:
    @pytest.mark.parametrize(("line", "reason"), BAD.values(), ids=BAD.keys())
    def test_it_is_reported_with_its_reason_and_the_good_ones_are_kept(self, campaign, line, reason):
        # UTF-16 shows at the start of the file only; everything else stands in the middle.
        lines = [line, GOOD] if reason == "UTF-16" else [GOOD, line]
        report = import_(campaign, *lines)
        assert (report.created, report.existing, report.failed) == (1, 0, 1)
        (error,) = report.errors
        assert error.line == lines.index(line) + 1
        assert reason in error.reason
        assert error.reason[0].isupper()
        assert error.reason.endswith(".")
        assert len(error.reason) < 300

    def test_blank_lines_are_counted_and_hurt_nobody(self, campaign):
        report = import_(campaign, "", GOOD, "  \n", b"\r\n")
        assert (report.created, report.blank, report.errors) == (1, 3, [])

    def test_a_byte_order_mark_is_taken_at_the_start_and_refused_elsewhere(self, campaign):
        assert import_(campaign, "\ufeff" + GOOD).created == 1
        other = make_campaign(lead=campaign.created_by)
        assert import_(other, b"\xef\xbb\xbf" + GOOD.encode()).created == 1
        (error,) = import_(campaign, GOOD, "\ufeff" + GOOD).errors
        assert (error.line, "byte order mark" in error.reason) == (2, True)

    def test_a_thousand_errors_are_told_and_all_are_counted(self, campaign):
        report = import_(campaign, *["{"] * 1500, GOOD)
        assert (len(report.errors), report.failed, report.created) == (1000, 1500, 1)

    def test_of_an_endless_line_only_enough_to_refuse_it_is_read(self):
        file = io.BytesIO(b"x" * (3 * MAX_LINE_BYTES) + b"\n" + GOOD.encode() + b"\n\nlast")
        first, *rest = read_lines(file)
        assert MAX_LINE_BYTES < len(first) < MAX_LINE_BYTES + 10
        assert rest == [GOOD.encode() + b"\n", b"\n", b"last"]


class TestTwice:
    def test_importing_again_creates_nothing(self, campaign):
        lines = [json.dumps({"prompt": f"Q{n}", "completions": ["x", "y"]}) for n in range(20)]
        assert import_(campaign, *lines).created == 20
        before = [model.objects.count() for model in (Prompt, Completion, Task, TaskCompletion)]
        report = import_(campaign, *lines)
        assert (report.created, report.existing, report.failed) == (0, 20, 0)
        assert [model.objects.count() for model in (Prompt, Completion, Task, TaskCompletion)] == before

    def test_nor_does_a_repeated_line_within_one_file(self, campaign):
        report = import_(campaign, GOOD, GOOD, *['{"prompt": "a", "completions": ["x", "y"]}'] * 3)
        assert (report.created, report.existing) == (2, 3)

    def test_a_repeated_line_in_a_later_chunk(self, campaign, monkeypatch):
        monkeypatch.setattr(intake, "CHUNK_ITEMS", 2)
        lines = [json.dumps({"id": str(n % 5), "prompt": f"Q{n % 5}", "completions": ["x", "y"]}) for n in range(13)]
        report = import_(campaign, *lines)
        assert (report.created, report.existing, report.failed) == (5, 8, 0)

    @pytest.mark.parametrize("chunk", [1, 500])
    def test_an_id_with_other_content_is_an_error_and_changes_nothing(self, campaign, monkeypatch, chunk):
        monkeypatch.setattr(intake, "CHUNK_ITEMS", chunk)
        other = '{"id": "good", "prompt": "Why?", "completions": ["because", "who knows"]}'
        report = import_(campaign, GOOD, "", other)
        assert (report.created, report.existing, report.failed) == (1, 0, 1)
        assert report.errors[0].line == 3
        assert "other content" in report.errors[0].reason
        assert texts(Task.objects.get()) == ["because", "no idea"]

    def test_answers_in_another_order_are_the_same_item(self, campaign):
        report = import_(
            campaign, '{"prompt": "a", "completions": ["x", "y"]}', '{"prompt": "a", "completions": ["y", "x"]}'
        )
        assert (report.created, report.existing) == (1, 1)

    def test_a_prompt_and_an_answer_are_stored_once(self, campaign):
        report = import_(
            campaign,
            '{"prompt": "a", "completions": ["x", "y"]}',
            '{"prompt": "a", "completions": ["y", "z"]}',
            '{"prompt": "b", "completions": ["x", "y"]}',
        )
        assert report.created == 3
        assert (Prompt.objects.count(), Completion.objects.count()) == (2, 5)
        import_(campaign, '{"prompt": "a", "completions": ["z", "x"]}')
        assert (Prompt.objects.count(), Completion.objects.count()) == (2, 5)

    def test_the_same_words_of_two_policies_keep_both_origins(self, campaign):
        """A completion is stored once; who wrote it is told by the task, or a gate would credit the wrong policy."""
        for policy in ("policy-0", "policy-1"):
            row = {"id": policy, "prompt": "a", "completions": [{"text": "x", "origin": policy}, "y"]}
            assert imported(campaign, row).meta["origins"] == [policy, ""]

    def test_campaigns_do_not_share_items(self, campaign):
        import_(campaign, GOOD)
        assert import_(make_campaign(), GOOD).created == 1


class TestMakeTask:
    def test_it_returns_what_is_there_untouched(self, campaign):
        arguments = {"campaign": campaign, "messages": [USER], "external_id": "e"}
        task, created = intake.make_task(completions=[("x", "a"), ("y", "b")], batch="round-1", **arguments)
        assert created
        assert (task.wanted, task.seats, task.batch) == (2, 2, "round-1")
        again, created = intake.make_task(completions=[("p", "a"), ("q", "b")], wanted=9, **arguments)
        assert (again, created, again.wanted) == (task, False, 2)
        assert texts(again) == ["x", "y"]

    def test_what_nobody_could_judge_is_refused(self, campaign):
        with pytest.raises(Invalid, match="identical"):
            intake.make_task(campaign=campaign, messages=[USER], completions=[("x", ""), ("x", "")], external_id="e")


class TestImport:
    def test_it_stands_in_the_history(self, campaign):
        import_(campaign, GOOD, "{")
        event = Event.objects.get(action="tasks.imported")
        assert (event.campaign, event.actor) == (campaign, campaign.created_by)
        assert event.detail == {"created": 1, "existing": 0, "failed": 1}

    def test_a_closed_campaign_takes_nothing(self, campaign, lead):
        campaigns.close_campaign(campaign=campaign, actor=lead)
        with pytest.raises(CampaignClosed):
            import_(campaign, GOOD)

    def test_it_reads_no_further_than_the_chunk_it_stores(self, campaign, monkeypatch):
        monkeypatch.setattr(intake, "CHUNK_ITEMS", 10)
        stored = []

        def lines():
            for number in range(35):
                stored.append(Task.objects.count())
                yield json.dumps({"prompt": f"Q{number}", "completions": ["x", "y"]})

        assert intake.import_lines(campaign=campaign, lines=lines(), actor=None).created == 35
        assert stored == [number // 10 * 10 for number in range(35)]

    def test_five_hundred_lines_cost_a_handful_of_statements(self, campaign):
        lines = [json.dumps({"prompt": f"Q{n}", "completions": ["x", "y"]}) for n in range(500)]
        with CaptureQueriesContext(connection) as captured:
            import_(campaign, *lines)
        # Bulk inserts come in several pieces where a statement may have few parameters.
        assert len(captured) < 60


class TestRefusedRows:
    def refused(self, campaign, rows, **options) -> list[dict]:
        file = io.BytesIO()
        intake.import_rows(campaign=campaign, rows=rows, actor=None, refused_to=file, **options)
        return [json.loads(line) for line in file.getvalue().decode().splitlines()]

    def test_every_one_is_written_with_its_number_its_reason_and_itself(self, campaign, monkeypatch):
        monkeypatch.setattr(intake, "CHUNK_ITEMS", 7)
        monkeypatch.setattr(intake, "MAX_ERRORS", 3)
        other = GOOD.replace("no idea", "who knows")
        lines = [GOOD, "{nonsense", '{"prompt": "a"}', other, *["[]"] * 30, '{"prompt": "\\ud83d", "completions": []}']
        told = self.refused(campaign, line_rows(lines))
        assert [row["line"] for row in told] == list(range(2, 36))
        assert told[0] == {"line": 2, "reason": told[0]["reason"], "text": "{nonsense"}
        assert told[1]["row"] == {"prompt": "a"}
        assert "other content" in told[2]["reason"] and told[2]["row"] == json.loads(other)

    def test_the_file_is_mended_and_imported_itself(self, campaign):
        (told,) = self.refused(campaign, line_rows(['{"prompt": "a", "completions": ["x"]}']))
        told["row"]["completions"].append("y")
        (unread,) = self.refused(campaign, line_rows(['{"prompt": "b", "completions": ["x", "y"}']))
        unread["text"] = unread["text"].replace("}", "]}")
        report = import_(campaign, json.dumps(told), json.dumps(unread))
        assert (report.created, report.failed) == (2, 0)

    def test_mapped_rows_are_written_as_they_came(self, campaign):
        columns = Columns("q", ("a", "b"))
        row = {"q": "Why?", "a": "one", "b": "one", "other": [1]}
        (told,) = self.refused(campaign, [Row(4, row)], columns=columns)
        assert (told["line"], told["row"]) == (4, row)
        told["row"]["b"] = "two"
        report = intake.import_rows(campaign=campaign, rows=line_rows([json.dumps(told)]), actor=None, columns=columns)
        assert (report.created, report.failed) == (1, 0)

    def test_of_a_row_with_several_items_only_the_refused_one_is_written(self, campaign):
        row = {"id": "r", "prompt": "Why?", "completions": ["x", "y", "x"]}
        (told,) = self.refused(campaign, [Row(1, row)], columns=Columns(per_item=2))
        assert told["row"]["id"] == "r/1-3"
        assert Task.objects.count() == 2

    def test_a_reason_quotes_only_what_can_be_stored_and_shown(self, campaign, lead):
        line = '{"a\\u0000b": 1, "\\ud800": 2}'
        report, event = refusals.import_and_keep(campaign=campaign, rows=line_rows([line]), actor=lead)
        assert "Its columns are a\ufffdb, \ufffd;" in report.errors[0].reason
        assert event.detail["errors"][0][1] == report.errors[0].reason

    def test_they_are_kept_for_a_while(self, campaign, lead):
        rows = line_rows([GOOD, "{"])
        report, event = refusals.import_and_keep(campaign=campaign, rows=rows, actor=lead)
        assert (report.created, event.detail["errors"]) == (1, [[2, report.errors[0].reason]])
        with refusals.open_refused(event) as file:
            assert json.loads(file.read())["text"] == "{"
        path = default_storage.path(event.detail["file"])
        os.utime(path, (0, 0))
        refusals.import_and_keep(campaign=campaign, rows=line_rows(["["]), actor=lead)
        assert refusals.open_refused(event) is None
        assert refusals.import_and_keep(campaign=campaign, rows=line_rows([GOOD]), actor=lead)[1] is None


class TestAgain:
    def test_what_is_there_is_skipped_fast(self, campaign):
        """An import that broke off goes on where it was: a chunk that is there costs a look-up and no write."""
        lines = [json.dumps({"prompt": f"Q{n}", "completions": ["x", "y"]}) for n in range(1000)]
        import_(campaign, *lines[:700])
        with CaptureQueriesContext(connection) as captured:
            assert import_(campaign, *lines[:500]).existing == 500
        assert len(captured) <= 8
        assert not any("INSERT" in query["sql"] and "annotation_event" not in query["sql"] for query in captured)
        report = import_(campaign, *lines)
        assert (report.created, report.existing) == (300, 700)

    def test_deep_meta_is_refused(self, campaign):
        meta = '{"a":' * 100 + "1" + "}" * 100
        (error,) = import_(campaign, f'{{"prompt": "a", "completions": ["x", "y"], "meta": {meta}}}').errors
        assert "nested too deeply" in error.reason
