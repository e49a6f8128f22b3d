"""Published data in its own layout: read, split by prompt, and held to the baselines."""

from __future__ import annotations

import csv
import gzip
import io
import json

import pytest

from training.core import real_data


def zipped(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()))


@pytest.fixture
def folder(tmp_path):
    """A few rows of each, as they are published."""
    talk = "\n\nHuman: what {n}?\n\nAssistant: "
    pairs = [{"chosen": talk.format(n=n) + "yes", "rejected": talk.format(n=n) + "no"} for n in range(3)]
    zipped(tmp_path / "hh-rlhf-pairs/helpful-base.jsonl.gz", "".join(json.dumps(one) + "\n" for one in pairs))
    asked = {
        "question": "why?",
        **{f"prediction {n}": f"so {n}" for n in range(1, 5)},
        "preference": [0, 1, 2, 1, 0, 2],
    }
    zipped(tmp_path / "qa-feedback/dev_feedback.json.gz", json.dumps([asked]))
    texts = [{"prompt": "a", "S": 0}, {"prompt": "b", "V": 1, "H": 0}]
    zipped(tmp_path / "openai-moderation-1680/samples-1680.jsonl.gz", "".join(json.dumps(one) + "\n" for one in texts))
    sheet = io.StringIO()
    table = csv.DictWriter(sheet, ["prompt", "completion", "final_label"])
    table.writeheader()
    table.writerows(
        {"prompt": f"how {n}?", "completion": f"{'Sorry, no' if n % 2 else 'Like this'} {n}", "final_label": label}
        for n in range(40)
        for label in [("1_full_compliance", "2_full_refusal")[n % 2]]
    )
    zipped(tmp_path / "xstest/completions/one.csv.gz", sheet.getvalue())
    styles = [{"prompt": "may I?", "chosen": ["a", "b", "c"], "rejected": ["x", " ", "z"]}]
    zipped(tmp_path / "rm-bench-dev/safety-refuse_xstest.json.gz", json.dumps(styles))
    zipped(tmp_path / "rm-bench-dev/chat_filtered.json.gz", json.dumps(styles))
    spoken = [{"role": role, "content": text} for role, text in (("user", "a"), ("assistant", "b"), ("user", "thanks"))]
    zipped(tmp_path / "llm-rubric-dialogues/real_data.json.gz", json.dumps([{"_id": "x", "messages": spoken}]))
    columns = ["text_id", *(f"Q{n}" for n in range(9))]
    lines = ["\t".join(columns), "\t".join(["x", "3", "0", *"1234123"]), "\t".join(["gone", *"333333333"])]
    (tmp_path / "llm-rubric-dialogues/human_judges_real_convs.tsv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_each_data_set_is_read_as_it_is_published(folder):
    found = {name: read(folder / name).rows for name, read in real_data.PROBLEMS.items()}
    assert found["hh-rlhf-pairs"][0] == {"prompt": "Human: what 0?", "chosen": "yes", "rejected": "no"}
    told = [(row["chosen"], row["rejected"]) for row in found["qa-feedback"]]
    assert told == [("so 1", "so 3"), ("so 4", "so 1"), ("so 2", "so 3"), ("so 4", "so 3")], "ties are left out"
    assert [row["answer"] for row in found["openai-moderation-1680"]] == ["no", "yes"]
    assert [row["answer"] for row in found["xstest"][:2]] == ["no", "yes"]
    safe = [(row["chosen"], row["rejected"]) for row in found["rm-bench-dev"]]
    assert safe == [(one, other) for one in "abc" for other in "xz"], "the chat part and the empty answer are left out"
    (dialogue,) = found["llm-rubric-dialogues"]
    assert dialogue["completion"] == "b" and len(dialogue["prompt"]) == 1, "what was said after the answer is not read"
    assert dialogue["ratings"]["Q0"] == 3 and dialogue["ratings"]["Q1"] is None, "a 0 did not apply"


def test_a_model_that_learned_nothing_is_told_not_to_beat_the_baseline(folder, tmp_path, capsys):
    quick = ["--only", "xstest", "--output", str(tmp_path / "out"), "--knob", "max_steps=1", "--knob", "epochs=1"]
    assert real_data.main([str(folder), *quick]) == 0
    said = capsys.readouterr().out
    assert "| xstest | `principle-reward` | accuracy |" in said and "**no**" in said
    (found,) = json.loads((tmp_path / "out" / "real_data.json").read_text())["found"]
    assert found["baselines"]["TF-IDF"]["estimate"] == 1.0 and not found["beats"]
    assert found["baselines"]["majority"]["n"] + found["trained_on"] == 40
    assert found["gain"]["estimate"] == pytest.approx(found["model"]["estimate"] - 1.0)
