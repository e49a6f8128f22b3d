"""Whose opinion of a policy's answers a run goes by, and the one reward that their scores come to.

Legend: B completions, T tokens, K scores.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from training.core import distributed
from training.core.heads import Scores
from training.core.job import Job, RunError
from training.core.prompts import Prompt
from training.core.reasoning import ReasoningJudge
from training.core.records import canonical
from training.core.rewriting import Credit, RewriteScorer, spread_over
from training.core.rollout import Rollout
from training.core.sampler import text_of
from training.core.scorers import Scorer, columns_of, is_judge
from training.core.stages.combine import weighed
from training.core.stats import Interval
from training.core.thinking import COSTS, Apart, Reading, parted, reflections, thinking_tokens
from training.core.traces import Trace
from training.core.traces import figures as figures_of_traces
from training.core.trainers.offline import called
from training.core.verdicts import Agreement
from training.recipes.note import Note


class Opinions:
    """All who look at what a policy writes: each scores the answers, and `combine` makes one reward of the scores."""

    def __init__(
        self,
        job: Job,
        tokenizer: PreTrainedTokenizerBase,
        scorers: dict[str, Scorer],
        *,
        combine: Any,
        needs: frozenset[str],
        reading: Reading,
        harmful: frozenset[str],
    ) -> None:
        self.job = job
        self.tokenizer = tokenizer
        self.scorers = scorers
        self.needs = needs
        self.reading = reading
        self.harmful = harmful  # domains of prompts that ask for harm; none where figures are not told apart by them
        self.combine = called(combine)
        self.reads_all = combine.reads == "all"
        self.made_for_several = combine.opinions == "several"
        self.combines_by = combine.name
        self.has_judge = any(map(is_judge, scorers.values()))
        self.columns: dict[str, set[str]] = {}  # the names of the scores that each scorer gave, once it was asked
        self.apart: dict[str, list[Apart]] = {}  # what thoughts and answers cost, by scorer
        self.credit: dict[str, list[Credit | None]] = {}  # what each token adds, by scorer that knows

    def try_out(self, prompt: Prompt, advantage: Any) -> None:
        """Refuse scorers with which the parts cannot do, before anything is sampled.

        Which columns a scorer has is known once it has read an answer, so each reads two of one word. A judge of two
        answers is spared that: it gives one column, and may think long about it.
        """
        if "comparisons" in self.needs and not self.has_judge:
            raise RunError(
                Note(
                    "This advantage compares answers: take a judge as the reward, of the recipe pairwise-generative or "
                    "reasoning-judge."
                )
            )
        if "credit" in self.needs and not (
            self._knows_credit() and isinstance(self.scorers[self.first], RewriteScorer)
        ):
            raise RunError(
                Note(
                    "This advantage compares what each token has earned: take a model as the reward that knows it, of "
                    "the recipe seq2seq-reward, and have it judge answers as a whole."
                )
            )
        names: list[str] = []
        unsure = False
        for name, scorer in self.scorers.items():
            if is_judge(scorer):
                here = [name]
            else:
                found, _ = self.reading.columns(name, scorer, [prompt.messages] * 2, ["yes", "no"])
                if all(row is None for row in found.values):  # of a prompt that it cannot read nothing is known
                    return
                here = columns_of(name, found.names)
                unsure |= any(row is not None for row in found.spread)
            self.columns[name] = set(here)
            names += here
        nothing = torch.zeros(2, len(names))
        self.reward(Scores(nothing, tuple(names), nothing if unsure else None))
        if weights := getattr(advantage, "score_weights", ""):
            weighed(weights, names)

    @property
    def first(self) -> str:
        """The name of the scorer that counts where a recipe goes by one."""
        return next(iter(self.scorers))

    def _knows_credit(self) -> bool:
        """Return whether what each token has earned is the whole of what is paid for."""
        return not self.reads_all and self.reading.what == "whole"

    def earned(self, rollout: Rollout) -> Tensor | None:
        """Return which part of the reward each token has earned (B, T), where the one scorer that counts knows it."""
        known = self.credit.get(self.first)
        if known is None or not self._knows_credit():
            return None
        earned = torch.zeros(rollout.mask.shape)
        for row, credit in enumerate(known):
            if credit is not None:
                inside = rollout.mask[row].cpu()
                ids = rollout.tokens.input_ids[row].cpu()[inside].tolist()
                tokens = [str(self.tokenizer.decode([one])) for one in ids]
                earned[row, inside] = torch.tensor(spread_over(credit, tokens))
        return earned.to(self.job.device)

    def compared(self, rollout: Rollout, n: int) -> Tensor:
        """Return how a judge compares each completion with all of its prompt, (B, n, 2): 2 p - 1, and 0 with itself.

        First as it reads the completion first, then as it reads it second. Two of the same words are a tie. Each
        process has the judge read whole groups.
        """
        judge = next(filter(is_judge, self.scorers.values()))
        texts = self.reading.answers(rollout.texts)
        own = list(range(0, len(texts), n))[self.job.rank :: self.job.world_size]
        rows = [row for first in own for row in range(first, first + n)]
        of_group: dict[int, list[tuple[int, int, float, float]]] = {first: [] for first in own}
        for i, j, ahead, behind in judge.duels([list(rollout.prompts[r]) for r in rows], [texts[r] for r in rows]):
            one, other = rows[i], rows[j]
            if one // n != other // n:  # the same words asked twice
                continue
            p, q = 2 * ahead - 1, 2 * behind - 1
            of_group[one - one % n] += [(one, other % n, p, -q), (other, one % n, q, -p)]
        table = torch.full((len(texts), n, 2), math.nan)
        for one in range(len(texts)):
            group = one - one % n
            for place in range(n):
                if texts[one].strip() == texts[group + place].strip():
                    table[one, place] = 0.0
        for some in distributed.gather_rows(self.job, list(of_group.values())):
            for one, place, *told in some:
                table[one, place] = torch.tensor(told)
        return table.to(self.job.device)

    def thought(self, rollout: Rollout, asked: Sequence[Prompt]) -> dict[str, float]:
        """Return how many thoughts did not come to an end, and all else that is known of thoughts judged apart.

        Safety is not to be bought with thoughts that go straight on (card 32); see `training.core.traces`.
        """
        if self.reading.what == "whole":
            return {}
        traces = self.traces(rollout, asked)
        told = {"unfinished_thoughts": sum(not trace.finished for trace in traces) / len(traces)}
        told |= {name: value["estimate"] for name, value in self.told_of(traces).items()}
        if costs := [trace.thoughts_cost for trace in traces if trace.thoughts_cost is not None]:
            told["thoughts_cost"] = sum(costs) / len(costs)
        return told

    def told_of(self, traces: Sequence[Trace]) -> dict[str, Interval]:
        """Return the figures of thoughts and answers, told apart by the prompts' domains where the run names some."""
        judges = {"apart": ("thoughts", "answers"), "answer": ("answers",)}[self.reading.what]
        judged = frozenset(judges if "cost" in self.scorers else ())
        return figures_of_traces(traces, judges=judged, split=bool(self.harmful))

    def traces(self, rollout: Rollout, asked: Sequence[Prompt]) -> list[Trace]:
        """Return what is known of each answer and its thoughts, once the scorers have read them."""
        costs = self.apart.get("cost", [Apart()] * len(asked))
        found = []
        for row, (text, prompt, cost) in enumerate(zip(rollout.texts, asked, costs, strict=True)):
            thoughts, answer = parted(text, opened=self.reading.opened)
            places = rollout.mask[row].nonzero().flatten()
            if thoughts:
                ids = rollout.tokens.input_ids[row, places].tolist()
                places = places[: thinking_tokens(ids, lambda some: text_of(self.tokenizer, some))]
            found.append(
                Trace(
                    harmful=prompt.domain.strip().lower() in self.harmful,
                    finished=answer is not None,
                    turns=reflections(thoughts),
                    entropies=tuple(rollout.entropy[row, places].tolist()) if thoughts else (),
                    thoughts_cost=cost.thoughts,
                    answer_cost=cost.answer,
                )
            )
        return found

    def judged(self, asked: Sequence[Prompt], texts: Sequence[str]) -> dict[str, float]:
        """Return what is to be known of a policy's verdicts, where verdicts are what it writes."""
        told: dict[str, float] = {}
        for scorer in self.scorers.values():
            if isinstance(scorer, Agreement):
                told |= scorer.figures([prompt.messages for prompt in asked], texts)
        return told

    def verdicts(self) -> dict[str, float]:
        """Return how often a judge that reasons could not be read since this was asked, and how often it named A.

        Over all processes, each of which asks it about answers of its own.
        """
        counts = [scorer.count() for scorer in self.scorers.values() if isinstance(scorer, ReasoningJudge)]
        if not counts:
            return {}
        asked, unread, first = distributed.sum_over(self.job, torch.tensor(counts).sum(0)).tolist()
        told = {"unread_verdicts": unread / asked} if asked else {}
        return told | ({"first_named": first / (asked - unread)} if asked > unread else {})

    def notes(self) -> list[Note]:
        """Return what somebody should know of how the scores became a reward."""
        given = self.columns.get(self.first, set())
        if not self.made_for_several or len(given) != 1:
            return []
        return [
            Note(
                "One score of an answer has no worst and no spread: {combine} is that score itself, and this run was "
                "plain. Train the recipe reward-ensemble, or name several principles.",
                combine=self.combines_by,
            )
        ]

    def reward(self, scores: Scores) -> Tensor:
        if self.reads_all:
            return self.combine(scores).float()
        first = [i for i, name in enumerate(scores.names) if name in self.columns[self.first]]
        spread = None if scores.spread is None else scores.spread[:, first]
        if spread is not None and bool(torch.isnan(spread).any()):  # another scorer has one, this one has none
            spread = None
        return self.combine(Scores(scores.values[:, first], tuple(scores.names[i] for i in first), spread)).float()

    def scores(
        self, prompts: Sequence[Prompt], texts: Sequence[str], anchors: Sequence[str] = ()
    ) -> tuple[Scores, Tensor]:
        """Return every scorer's columns of each answer, and which answers could not be read (B,).

        A judge of two answers holds each against its prompt's anchor where there are `anchors` (B), which are answers
        without thoughts, and else against the others to the prompt.
        """
        names: list[str] = []
        columns: list[list[float | None]] = []
        unsure: list[list[float | None]] = []
        self.columns, self.apart, self.credit = {}, {}, {}
        for name, scorer in self.scorers.items():
            own = self._shares(prompts, together=is_judge(scorer) and not anchors)
            rows = [i for share in own for i in share]
            asked, said = [prompts[i].messages for i in rows], [texts[i] for i in rows]
            if anchors and is_judge(scorer):
                found = scorer.against(asked, self.reading.answers(said), [anchors[i] for i in rows])
            else:
                found, apart = self.reading.columns(name, scorer, asked, said)
                self.apart[name] = distributed.gather_shares(self.job, own, apart)
            if isinstance(scorer, RewriteScorer):
                self.credit[name] = distributed.gather_shares(self.job, own, list(found.credit))
            values = distributed.gather_shares(self.job, own, found.values)
            spread = distributed.gather_shares(self.job, own, found.spread)
            here = columns_of(name, found.names)
            self.columns[name] = set(here)
            for place, column in enumerate(here):
                names.append(column)
                columns.append([None if row is None else row[place] for row in values])
                unsure.append([None if row is None else row[place] for row in spread])
        table = _table(columns)
        missing = torch.isnan(table)
        if bool(missing.all(0).any()):
            said = [Note("None of the answers can be scored: they are empty. Check that the policy answers at all.")]
            if self.reading.what != "whole":
                said.append(Note("An answer whose thoughts do not end is none; raise max_new_tokens if they need it."))
            raise RunError(Note.together(said))
        for place, name in enumerate(names):
            known = table[~missing[:, place], place]
            table[missing[:, place], place] = known.max() if name in COSTS else known.min()
        return Scores(table.to(self.job.device), tuple(names), self._spread(unsure)), missing.any(1).to(self.job.device)

    def _spread(self, columns: Sequence[Sequence[float | None]]) -> Tensor | None:
        """Return how unsure a scorer says each score is (B, K), NaN for those without an opinion; None if all are.

        Of an answer that could not be read it is as unsure as it has been of any.
        """
        table = _table(columns)
        known = ~torch.isnan(table)
        if not bool(known.any()):
            return None
        for place in known.any(0).nonzero().flatten().tolist():
            table[~known[:, place], place] = table[known[:, place], place].max()
        return table.to(self.job.device)

    def _shares(self, prompts: Sequence[Prompt], *, together: bool) -> list[list[int]]:
        """Return the rows that this process has scored, one a share, or with `together` all of a prompt in one.

        A judge of rivals has to see all answers to a prompt; by a part of them they win other shares.
        """
        shares: dict[str, list[int]] = {}
        for row, prompt in enumerate(prompts):
            shares.setdefault(canonical(prompt.messages) if together else str(row), []).append(row)
        return [*shares.values()][self.job.rank :: self.job.world_size]


def _table(columns: Sequence[Sequence[float | None]]) -> Tensor:
    """Return K columns of B numbers as (B, K), NaN for what is not known."""
    return torch.tensor([[math.nan if v is None else v for v in column] for column in columns]).T
