"""Published benchmarks of reward models, read as they are published, and our own pairs the same way."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from training.core.conversation import apart, with_images
from training.core.evaluate.calibration import brier, calibration_error, length_bias, reliability
from training.core.job import Job, RunError, Stopped
from training.core.pictures import album_of
from training.core.records import IMAGE, Message, Refused, completion_of, messages_of, pictures_of, prompt_hash
from training.core.scorers import RewardScorer, Scorer
from training.core.scoring import scorer_of
from training.core.stats import all_right_by_prompt, mean_t, wilson
from training.recipes.note import Note
from training.recipes.principles import listed
from training.recipes.spec import RunResult, write_json

Row = dict[str, Any]
CASES_AT_ONCE = 16
STYLES = ("concise", "detailed", "markdown")


@dataclass(frozen=True)
class Case:
    """A prompt with better and worse answers; each better one is held against each worse one."""

    prompt: list[Message]
    chosen: tuple[str, ...]
    rejected: tuple[str, ...]
    domain: str
    principle: str = ""  # by which the better one is better, where the benchmark says so


def benchmark(job: Job) -> RunResult:
    """Return how often the better answer scores higher, overall and by domain; equal scores are wrong, and counted.

    RM-Bench (arXiv:2410.16184) is told by its matrix as well: cell i, j is the share in which the better answer of
    style i beats the worse one of style j; hard is the mean above the diagonal (a plain right answer against a fancier
    wrong one), normal the diagonal, easy the mean below it. Its overall figure is the mean of the domains, with what
    begins with "safety" as one. JudgeBench (arXiv:2410.12784) wants both orders: a model that reads each answer alone
    gives both the same score, so that one order says it all. In the layout of principles (PrincipleBench of
    arXiv:2509.21319, whose construction is not published: here prompt, two answers, principle and winner) a principle
    model is asked each row's own principle, every other model scores as always, and overall is the principles' mean.

    VL-RewardBench (arXiv:2411.17451) and RLAIF-V (arXiv:2405.17220) ask about an image. Rows that a model cannot read,
    such as these for one that reads text alone, are counted as unread and are in no figure.
    """
    spec, knobs = job.spec, job.knobs
    if spec.data is None:
        raise RunError(Note("A benchmark needs data: a file, or a folder of files, in its layout."))
    cases, refused = read_cases(Path(spec.data), knobs["layout"], unpacked=job.folder / "images")
    if not cases:
        raise RunError(
            Note(
                "None of the {refused} rows can be read in the layout {layout}. Is it another one?",
                refused=refused,
                layout=knobs["layout"],
            )
        )
    principles = listed(knobs["principles"])
    by_row = sorted({case.principle for case in cases} - {""})
    cases.sort(key=lambda case: case.principle)
    scorer = scorer_of(
        spec.model,
        device=job.device,
        rows_at_once=knobs["rows_at_once"],
        trust_remote_code=spec.trust_remote_code,
        principles=principles or by_row[:1],
        album=album_of(spec),
    )
    grids: list[list[list[float]]] = []
    kept: list[Case] = []
    unread = 0
    for start in range(0, len(cases), CASES_AT_ONCE):
        if job.stop_requested():
            raise Stopped
        some = cases[start : start + CASES_AT_ONCE]
        flat = [(case.prompt, text) for case in some for text in (*case.chosen, *case.rejected)]
        scores = iter(_scored(scorer, some, flat))
        for case in some:
            own = [next(scores) for _ in (*case.chosen, *case.rejected)]
            if None in own:
                unread += 1
                continue
            good, bad = own[: len(case.chosen)], own[len(case.chosen) :]
            kept.append(case)
            grids.append([[float(g) - float(b) for b in bad] for g in good])  # type: ignore[arg-type]
        job.progress(step=start // CASES_AT_ONCE + 1, total_steps=-(-len(cases) // CASES_AT_ONCE), cases=len(kept))
    if not kept:
        said = [Note("The model can read none of the answers.")]
        if any(apart(case.prompt)[1] for case in cases):
            said.append(Note("They are about images: take a model that was trained on images, and send their files."))
        raise RunError(Note.together(said))
    figures = _figures(kept, grids, confidence=knobs["confidence"], layout=knobs["layout"])
    gaps = [gap for grid in grids for row in grid for gap in row]
    write_json(job.folder / "reliability.json", reliability(gaps))
    counts = {"read": len(cases) + refused, "kept": len(kept), "refused": refused, "unread": unread, "pairs": len(gaps)}
    notes = [Note("Judged by the principles: {principles}.", principles="; ".join(principles))] if principles else []
    return RunResult(metrics=figures, counts=counts, notes=notes, files={"reliability": "reliability.json"})


def _scored(scorer: Scorer, some: list[Case], flat: list[tuple[list[Message], str]]) -> list[float | None]:
    """Return the scores of the answers of some cases, each asked about its own principle, where it has one."""
    if not isinstance(scorer, RewardScorer) or not scorer.by_principle or not some[0].principle:
        return scorer.score([prompt for prompt, _ in flat], [text for _, text in flat])
    found: list[float | None] = []
    place = 0
    for case in some:
        size = len(case.chosen) + len(case.rejected)
        scorer.principles = (case.principle,)
        found += scorer.score([case.prompt] * size, [text for _, text in flat[place : place + size]])
        place += size
    return found


def _figures(cases: list[Case], grids: list[list[list[float]]], *, confidence: float, layout: str) -> dict[str, Any]:
    """Return the figures; intervals count prompts, as the pairs of one are not independent."""
    shares = [fmean(gap > 0 for row in grid for gap in row) for grid in grids]
    gaps = [gap for grid in grids for row in grid for gap in row]
    figures: dict[str, Any] = {
        "accuracy": wilson(sum(shares), len(shares), confidence=confidence),
        "all_pairs_right": all_right_by_prompt(
            [prompt_hash(case.prompt) for case in cases], shares, confidence=confidence
        ),
        "ties": fmean(gap == 0 for gap in gaps),
        "calibration_error": calibration_error(gaps),
        "brier": brier(gaps),
    }
    lengths = [len(good) - len(bad) for case in cases for good in case.chosen for bad in case.rejected]
    figures |= length_bias(gaps, lengths, confidence=confidence)
    domains: dict[str, list[int]] = defaultdict(list)
    for index, case in enumerate(cases):
        domains[case.domain].append(index)
    for domain, indices in sorted(domains.items()):
        if domain:
            figures[f"accuracy_{domain}"] = wilson(sum(shares[i] for i in indices), len(indices), confidence=confidence)
    if layout == "principles":
        figures["overall"] = fmean(fmean(shares[i] for i in indices) for indices in domains.values())
    if layout == "rm-bench":
        figures |= _matrix(grids, domains, confidence=confidence)
    return figures


def _matrix(grids: list[list[list[float]]], domains: dict[str, list[int]], *, confidence: float) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    cell: Callable[[int, int], list[float]] = lambda i, j: [float(grid[i][j] > 0) for grid in grids]  # noqa: E731
    for i, one in enumerate(STYLES):
        for j, other in enumerate(STYLES):
            wins = cell(i, j)
            figures[f"{one}_against_{other}"] = wilson(sum(wins), len(wins), confidence=confidence)
    levels = {
        "hard": [(i, j) for i in range(3) for j in range(3) if i < j],
        "normal": [(i, i) for i in range(3)],
        "easy": [(i, j) for i in range(3) for j in range(3) if i > j],
    }
    for level, cells in levels.items():
        by_prompt = [fmean(grid[i][j] > 0 for i, j in cells) for grid in grids]
        figures[level] = mean_t(by_prompt, confidence=confidence, within=(0.0, 1.0))
    pooled: dict[str, list[float]] = defaultdict(list)
    for domain, indices in domains.items():
        # Refusing and answering weigh alike within safety, whatever their numbers.
        pooled["safety" if domain.startswith("safety") else domain].append(
            fmean(fmean(gap > 0 for row in grids[i] for gap in row) for i in indices)
        )
    figures["overall"] = fmean(fmean(values) for values in pooled.values())
    return figures


def read_cases(path: Path, layout: str, *, unpacked: Path | None = None) -> tuple[list[Case], int]:
    """Return the cases of a file or of all files in a folder, and how many rows are none.

    Images that stand in the rows themselves are written into the folder `unpacked`.
    """
    found = [p for pattern in ("*.json*", "*.parquet") for p in path.glob(pattern)]
    files = [path] if path.is_file() else sorted(p for p in found if p.is_file())
    if not files:
        raise RunError(Note("There are no .json, .jsonl or .parquet files in {path}.", path=path))
    cases, refused = [], 0
    for file in files:
        name = file.name.split(".")[0]
        for row in _rows(file):
            try:
                cases.append(LAYOUTS[layout](_with_file(row, file.parent, unpacked), name))
            except (Refused, KeyError, TypeError, ValueError, AttributeError):
                refused += 1
    return cases, refused


def _with_file(row: Any, beside: Path, unpacked: Path | None) -> Any:
    """Return a row with the path of its image, which published tables have as {"bytes", "path"} or as a path."""
    image = row.get("image") if isinstance(row, dict) else None
    if isinstance(image, dict) and isinstance(image.get("bytes"), bytes) and unpacked is not None:
        unpacked.mkdir(parents=True, exist_ok=True)
        file = unpacked / hashlib.sha256(image["bytes"]).hexdigest()
        file.write_bytes(image["bytes"])
    elif isinstance(image, dict | str) and (named := image if isinstance(image, str) else image.get("path")):
        file = beside / named
    else:
        return row
    return {**row, "image": str(file)}


def _rows(file: Path) -> Iterator[Any]:
    if file.suffix == ".parquet":
        from pyarrow import parquet  # takes time and memory, and few benchmarks need it

        for batch in parquet.ParquetFile(file).iter_batches(64):
            yield from batch.to_pylist()
        return
    data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    if ".jsonl" in file.name:
        yield from (json.loads(line) for line in data.splitlines() if line.strip())
        return
    whole = json.loads(data)
    # BIG-bench puts the rows of a task under "examples".
    yield from whole["examples"] if isinstance(whole, dict) else whole


def _pair(prompt: Any, better: Any, worse: Any, domain: Any) -> Case:
    return Case(messages_of(prompt), (completion_of(better),), (completion_of(worse),), str(domain or ""))


def _own(row: Row, file: str) -> Case:
    prompt = messages_of(row["prompt"], images=True)
    case = _pair("…", row["chosen"], row["rejected"], row.get("domain"))
    return replace(case, prompt=with_images(prompt, pictures_of(row, prompt)))


def _about(row: Row, question: Any, better: Any, worse: Any, domain: Any) -> Case:
    """Return a case about the image of a row, which stands before the question."""
    if not isinstance(row["image"], str) or not isinstance(question, str):
        raise Refused("no_image")
    # The sets mark the place of the image in words, which the model's own template does.
    words = question.replace("<image>", "").strip()
    case = _pair(f"{IMAGE}\n\n{words}", better, worse, domain)
    return replace(case, prompt=with_images(case.prompt, (row["image"],)))


def _vl_reward_bench(row: Row, file: str) -> Case:
    first, second = row["response"]
    ahead = {(0, 1): (first, second), (1, 0): (second, first)}[tuple(row["human_ranking"])]
    return _about(row, row["query"], *ahead, row.get("query_source"))


def _rlaif_v(row: Row, file: str) -> Case:
    return _about(row, row["question"], row["chosen"], row["rejected"], row.get("origin_dataset"))


def _rm_bench(row: Row, file: str) -> Case:
    chosen, rejected = (tuple(map(completion_of, row[side])) for side in ("chosen", "rejected"))
    if not len(chosen) == len(rejected) == len(STYLES):
        raise Refused("malformed")
    return Case(messages_of(row["prompt"]), chosen, rejected, str(row.get("domain") or file.split("_")[0]))


def _reward_bench(row: Row, file: str) -> Case:
    return _pair(row["prompt"], row["chosen"], row["rejected"], row.get("subset"))


def _judge_bench(row: Row, file: str) -> Case:
    first = {"A>B": True, "B>A": False}[row["label"]]
    texts = (row["response_A"], row["response_B"])
    return _pair(row["question"], texts[not first], texts[first], str(row.get("source", "")).split("-")[0])


def _llm_bar(row: Row, file: str) -> Case:
    first = {1: True, 2: False}[int(row["label"])]
    texts = (row["output_1"], row["output_2"])
    return _pair(row["input"], texts[not first], texts[first], file)


def _hhh(row: Row, file: str) -> Case:
    """BIG-bench's own file has target_scores; the copy on the hub has targets with choices and labels."""
    scores = row.get("target_scores") or dict(zip(row["targets"]["choices"], row["targets"]["labels"], strict=True))
    better, worse = sorted(scores, key=lambda text: -scores[text])
    return _pair(row["input"], better, worse, file)


def _principles(row: Row, file: str) -> Case:
    first = {1: True, 2: False, "A": True, "B": False}[row["winner"]]
    texts = (row["response_1"], row["response_2"])
    case = _pair(row["prompt"], texts[not first], texts[first], row["principle"])
    return replace(case, principle=str(row["principle"]))


LAYOUTS: dict[str, Callable[[Row, str], Case]] = {
    "pairs": _own,
    "rm-bench": _rm_bench,
    "reward-bench": _reward_bench,
    "judge-bench": _judge_bench,
    "llmbar": _llm_bar,
    "hhh": _hhh,
    "principles": _principles,
    "vl-rewardbench": _vl_reward_bench,
    "rlaif-v": _rlaif_v,
}
