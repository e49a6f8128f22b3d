"""The catalogue and the maths agree: no knob without effect, no formula without its source."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import training.core
from training.core.trainers.offline import named
from training.recipes.base import PARTS, RECIPES, knobs_of

CORE = Path(training.core.__file__).parent
SOURCE = "".join(path.read_text() for path in sorted(CORE.rglob("*.py")))

# Parts whose target is called with exactly their knobs; the others are the entry of a run and get the whole job.
NOT_CALLED = ("sample", "evaluate", "select", "loop", "chat", "watch")
CALLED = [p for (slot, _), p in PARTS.items() if slot not in NOT_CALLED]
ENTRIES = [p for (slot, _), p in PARTS.items() if slot in ("sample", "evaluate")]
IN_CORE = [p for p in PARTS.values() if p.target.startswith("training.core")]


def names(parts):
    return [f"{p.slot}/{p.name}" for p in parts]


@pytest.mark.parametrize("part", CALLED, ids=names(CALLED))
def test_a_part_s_knobs_are_its_target_s_keyword_only_parameters(part):
    parameters = inspect.signature(named(part.target)).parameters.values()
    keyword_only = [p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    assert [k.name for k in knobs_of(part())] == [p.name for p in keyword_only]
    # Defaults live in the catalogue alone, so that the two cannot come to differ.
    assert all(p.default is inspect.Parameter.empty for p in keyword_only)


@pytest.mark.parametrize("part", ENTRIES, ids=names(ENTRIES))
def test_an_entry_takes_the_job(part):
    assert list(inspect.signature(named(part.target)).parameters) == ["job"]


@pytest.mark.parametrize("part", IN_CORE, ids=names(IN_CORE))
def test_a_part_has_its_target_its_source_and_knobs_that_are_read_somewhere(part):
    assert callable(named(part.target))
    assert re.search(r"arXiv:\d{4}\.\d{4,5}", part.__doc__) or part in ENTRIES or part.slot == "select"
    for knob in knobs_of(part()):
        assert knob.help and "\n" not in knob.help and len(knob.help) < 110
        if part not in CALLED:
            assert f'"{knob.name}"' in SOURCE, f"Nothing in training.core reads the knob {knob.name}."


@pytest.mark.parametrize("found", RECIPES.values(), ids=list(RECIPES))
def test_a_recipe_can_be_written_down_and_has_words_for_a_person(found):
    assert found.to_json()["knobs"] == found.fill()
    assert found.title and found.summary.endswith(".") and found.source.startswith("arXiv:")
    assert found.makes in ("", "policy", "reward", "cost", "guard")
    assert (found.kind == "fit") == bool(found.makes)


def test_each_loss_has_its_own_test():
    losses = {p.target.split(":")[0].rsplit(".", 1)[1] for (slot, _), p in PARTS.items() if slot == "loss"}
    assert losses == {p.stem.removeprefix("test_") for p in (Path(__file__).parent / "losses").glob("test_*.py")}
