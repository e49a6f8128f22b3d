"""The commands import_prompts and export_pairs, as an operator types them."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import CommandError, call_command

from annotation.models import Event, Image, Task
from annotation.services.intake import import_lines
from tests.annotation.pictures import picture, zipped
from tests.factories import judge, make_campaign

pytestmark = pytest.mark.django_db

LINES = b'{"prompt": "a", "completions": ["x", "y"]}\n{\n\n{"prompt": "b", "completions": ["x", "y"]}\n'


@pytest.fixture
def campaign(lead):
    return make_campaign("Helpful", lead=lead)


def run(name, *arguments):
    out, err = io.StringIO(), io.StringIO()
    error = None
    try:
        call_command(name, *arguments, stdout=out, stderr=err)
    except CommandError as raised:
        error = raised
    return out.getvalue(), err.getvalue(), error


class TestImport:
    def test_a_file_with_a_bad_line(self, campaign, tmp_path):
        path = tmp_path / "rows.jsonl"
        path.write_bytes(LINES)
        out, err, error = run("import_prompts", "Helpful", str(path), "--user", "lead")
        assert out.strip() == "2 created, 0 existed, 1 refused"
        assert err.startswith("line 2: It is not valid JSON")
        assert (error.returncode, "1 lines were refused" in str(error)) == (1, True)
        assert Event.objects.get(action="tasks.imported").actor.username == "lead"

    def test_standard_input_and_a_campaign_by_id(self, campaign, monkeypatch):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(LINES.splitlines()[0])))
        out, err, error = run("import_prompts", str(campaign.pk), "-")
        assert (out.strip(), err, error) == ("1 created, 0 existed, 0 refused", "", None)
        assert Task.objects.count() == 1

    def test_what_is_not_there_gets_a_sentence(self, campaign, tmp_path):
        _, _, error = run("import_prompts", "Helpfull", "-")
        assert str(error) == "There is no campaign 'Helpfull'; there are: 'Helpful'."
        _, _, error = run("import_prompts", "Helpful", str(tmp_path / "none"))
        assert "cannot be read: No such file or directory." in str(error)
        _, _, error = run("import_prompts", "Helpful", "-", "--user", "nobody")
        assert str(error) == "There is no user called 'nobody'."

    def test_other_columns_several_files_and_the_file_of_refused_rows(self, campaign, tmp_path):
        (tmp_path / "a.csv").write_text("question,left,right\nWhy?,one,two\nHow?,same,same\n")
        (tmp_path / "b.csv").write_text("question,left,right\nWhen?,now,\n")
        mapped = ["--map", "prompt=question", "--map", "completions=left,right"]
        errors = tmp_path / "errors.jsonl"
        out, err, error = run(
            "import_prompts",
            "Helpful",
            str(tmp_path / "a.csv"),
            str(tmp_path / "b.csv"),
            *mapped,
            "--errors",
            str(errors),
        )
        assert (out.strip(), error.returncode) == ("1 created, 0 existed, 2 refused", 1)
        assert [line.split(":")[0] for line in err.splitlines()] == ["a.csv line 3", "b.csv line 2"]
        lines = [json.loads(line) for line in errors.read_text().splitlines()]
        assert [line["row"]["question"] for line in lines] == ["How?", "When?"]
        _, _, error = run("import_prompts", "Helpful", str(errors), *mapped, "--errors", str(errors))
        assert str(error) == f"{errors} is there already; give the refused rows another name."
        errors.write_text(errors.read_text().replace("same", "different", 1).replace("null", '"later"'))
        out, _, error = run("import_prompts", "Helpful", str(errors), *mapped)
        assert (out.strip(), error) == ("2 created, 0 existed, 0 refused", None)

    def test_a_folder(self, campaign, tmp_path):
        for name in "ab":
            (tmp_path / f"{name}.jsonl").write_text(json.dumps({"prompt": name, "completions": ["x", "y"]}))
        out, _, error = run("import_prompts", "Helpful", str(tmp_path))
        assert (out.strip(), error) == ("2 created, 0 existed, 0 refused", None)
        (tmp_path / "c.csv").write_text("a")
        _, _, error = run("import_prompts", "Helpful", str(tmp_path))
        assert "several formats" in str(error)
        _, _, error = run("import_prompts", "Helpful", str(tmp_path / "c.csv"), "--map", "promt=a")
        assert "A mapping has no 'promt'" in str(error)
        _, _, error = run(
            "import_prompts", "Helpful", str(tmp_path / "a.jsonl"), "--errors", str(tmp_path / "no" / "x")
        )
        assert "cannot be written: No such file or directory." in str(error)

    def test_a_zip_archive_and_rows_with_images_beside_them(self, campaign, tmp_path):
        rows = [
            {"prompt": f"Which bird is {name}?", "image": f"img/{name}.png", "completions": ["x", "y"]} for name in "ab"
        ]
        lines = "\n".join(map(json.dumps, rows))
        pictures = {"img/a.png": picture("red"), "img/b.png": picture("blue")}
        archive = tmp_path / "set.zip"
        archive.write_bytes(zipped({"rows.jsonl": lines, **pictures}))
        out, err, error = run("import_prompts", "Helpful", str(archive))
        assert (out.strip(), err, error) == ("2 created, 0 existed, 0 refused", "", None)
        beside = tmp_path / "set"
        (beside / "img").mkdir(parents=True)
        (beside / "rows.jsonl").write_text(lines.replace("bird", "animal"))
        for name, data in pictures.items():
            (beside / name).write_bytes(data)
        (beside / "img" / "b.png").unlink()
        out, err, error = run("import_prompts", "Helpful", str(beside / "rows.jsonl"))
        assert (out.strip(), error.returncode) == ("1 created, 0 existed, 1 refused", 1)
        assert "'img/b.png' is not in the folder of its rows" in err
        assert Image.objects.filter(campaign=campaign).count() == 2, "the same image is stored once"
        _, _, error = run("import_prompts", "Helpful", str(archive), str(beside))
        assert "ZIP archive by itself" in str(error)


class TestExport:
    def test_rows_go_to_standard_output(self, campaign, lead):
        run_import(campaign)
        judge(lead, campaign, preference=2)
        judge(lead, campaign, preference=0)
        out, _, error = run("export_pairs", "Helpful")
        assert error is None
        assert [json.loads(line)["strength"] for line in out.splitlines()] == [2 / 3]
        out, _, _ = run("export_pairs", "Helpful", "--view", "judgements")
        assert len(out.splitlines()) == 2

    def test_a_file_appears_when_it_is_complete(self, campaign, lead, tmp_path, capsys):
        run_import(campaign)
        judge(lead, campaign)
        path = tmp_path / "pairs.jsonl"
        run("export_pairs", "Helpful", "--output", str(path))
        assert len(path.read_text().splitlines()) == 1
        assert "1 rows written" in capsys.readouterr().err
        assert list(tmp_path.glob("pairs*")) == [path]

    def test_what_cannot_be_done_gets_a_sentence(self, campaign, tmp_path):
        _, _, error = run("export_pairs", "Helpful", "--view", "pair")
        assert "did you mean 'pairs'" in str(error)
        _, _, error = run("export_pairs", "Helpful", "--output", str(tmp_path / "no" / "folder.jsonl"))
        assert "cannot be written: No such file or directory." in str(error)


def run_import(campaign):
    lines = [json.dumps({"prompt": prompt, "completions": ["x", "y"]}) for prompt in "ab"]
    import_lines(campaign=campaign, lines=lines, actor=None)
