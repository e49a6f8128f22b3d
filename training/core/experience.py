"""Where rollouts come from: prompts are answered, and the answers read by all whose opinion a recipe needs.

Legend: B completions, T tokens, K scores.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from training.core import backbone, distributed
from training.core.collate import pad
from training.core.decode import generate, prompt_seed, stop_ids
from training.core.heads import Scores
from training.core.job import Job, RunError
from training.core.ladder import on_a_rung
from training.core.part_file import PartFile
from training.core.policy import completion_logits
from training.core.prompts import Prompt
from training.core.reasoning import ReasoningJudge
from training.core.records import canonical
from training.core.rewriting import Credit, RewriteScorer, spread_over
from training.core.rollout import Models, Rollout
from training.core.sampler import text_of
from training.core.scorers import Scorer, columns_of, is_judge
from training.core.stages.combine import weighed
from training.core.stats import Interval
from training.core.thinking import COSTS, Apart, Reading, parted, reflections, thinking_tokens
from training.core.traces import Trace
from training.core.traces import figures as figures_of_traces
from training.core.trainers.offline import called
from training.core.verdicts import Agreement
from training.core.vllm_sampling import Engine
from training.recipes.anchors import ANCHORS
from training.recipes.note import Note


class Experience:
    """The policy and all who look at what it writes: together they make prompts into scored rollouts."""

    def __init__(
        self,
        job: Job,
        models: Models,
        tokenizer: PreTrainedTokenizerBase,
        scorers: dict[str, Scorer],
        *,
        combine: Any,
        needs: frozenset[str],
        references: str,
        n: int,
        temperature: float,
        max_new_tokens: int,
        rows_at_once: int,
        micro_batch: int,
        missing_end_penalty: float,
        reference_answers: int,
        judge_against: str,
        reading: Reading,
        harmful: frozenset[str],
        bf16: bool,
        engine: Engine | None = None,
    ) -> None:
        self.job = job
        self.models = models
        self.tokenizer = tokenizer
        self.scorers = scorers
        self.needs = needs
        self.n = n
        self.temperature = temperature
        self.max_new_tokens = max_new_tokens
        self.rows_at_once = rows_at_once
        self.micro_batch = micro_batch
        self.missing_end_penalty = missing_end_penalty
        self.reference_answers = reference_answers
        self.reading = reading
        self.harmful = harmful  # domains of prompts that ask for harm; none where figures are not told apart by them
        self.bf16 = bf16
        self.engine = engine  # what draws the policy's answers where it is not our own decoding
        self.pad_id = backbone.pad_id_of(tokenizer)
        self.stop = stop_ids(models.policy, tokenizer)
        self.combine = called(combine)
        self.reads_all = combine.reads == "all"
        self.made_for_several = combine.opinions == "several"
        self.combines_by = combine.name
        self.columns: dict[str, set[str]] = {}  # the names of the scores that each scorer gave, once it was asked
        # Rewards of what the reference answers to each prompt, on disk: a resumed run has to go by the same.
        self.references = PartFile(job.folder / references, rank=job.rank)
        # What a judge of two answers holds the policy's against, on disk for the same reason.
        self.has_judge = any(map(is_judge, scorers.values()))
        self.anchored = judge_against != "rivals"
        asks_reference = self.has_judge and judge_against not in ANCHORS
        self.anchors = PartFile(job.folder / f"anchors-{references}", rank=job.rank) if asks_reference else None

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
        if "credit" in self.needs and not (self._knows_credit() and isinstance(self._first(), RewriteScorer)):
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
        self._reward(Scores(nothing, tuple(names), nothing if unsure else None))
        if weights := getattr(advantage, "score_weights", ""):
            weighed(weights, names)

    def _first(self) -> Scorer:
        """Return the scorer that counts where a recipe goes by one."""
        return next(iter(self.scorers.values()))

    def _knows_credit(self) -> bool:
        """Return whether what each token has earned is the whole of what is paid for."""
        return not self.reads_all and self.reading.what == "whole"

    def rollout(self, prompts: Sequence[Prompt], *, stream: str) -> Rollout:
        """Return n scored completions of each prompt, with what the recipe's parts need to know of them."""
        drawn = self._answers(self.models.policy, prompts, n=self.n, stream=stream, engine=self.engine)
        asked = [prompt for prompt in prompts for _ in range(self.n)]
        made = self._written(prompts, drawn)
        logps, entropy = self._read(made, self.models.policy, entropies=True)
        made = replace(made, logps=logps, entropy=entropy)
        if "reference_logps" in self.needs:
            with self.models.at_reference() as reference:
                made = replace(made, reference_logps=self._read(made, reference)[0])
        if "values" in self.needs:
            made = replace(made, values=self._values(made))
        made = self._scored(made, asked)
        if "comparisons" in self.needs:
            made = replace(made, comparisons=self._compared(made))
        if "reference_rewards" in self.needs:
            self._ask_reference(prompts)
            known = torch.tensor([self.references.rows[prompt.id]["rewards"] for prompt in asked])
            made = replace(made, reference_rewards=known.to(self.job.device))
        return made.told(**self._verdicts())

    def _written(self, prompts: Sequence[Prompt], drawn: Sequence[Sequence[tuple[list[int], str, bool]]]) -> Rollout:
        """Return what was drawn to each prompt as one rollout, of which nothing else is known yet."""
        rows = [(prompt, *answer) for prompt, answers in zip(prompts, drawn, strict=True) for answer in answers]
        sequences = [(prompt.ids, ids) for prompt, ids, _, _ in rows]
        shown = [prompt.shown for prompt, *_ in rows]
        group = [number for number, answers in enumerate(drawn) for _ in answers]
        tokens = pad(sequences, self.pad_id, shown)
        if self.job.static_lengths:
            tokens = on_a_rung(tokens, self.pad_id, longest=backbone.longest_input(self.models.policy))
        return Rollout(
            prompts=tuple(prompt.messages for prompt, *_ in rows),
            texts=tuple(text for *_, text, _ in rows),
            tokens=tokens.to(self.job.device),
            group=torch.tensor(group, device=self.job.device),
            ended=torch.tensor([ended for *_, ended in rows], device=self.job.device),
            logps=torch.empty(0),
            entropy=torch.empty(0),
        )

    def _answers(
        self, model: nn.Module, prompts: Sequence[Prompt], *, n: int, stream: str, engine: Engine | None = None
    ) -> list[list[tuple[list[int], str, bool]]]:
        """Return n answers of each prompt as (ids, text, whether it ended), drawn by all processes together.

        By `engine` where there is one, which then has the weights of `model`.
        """
        own = list(prompts[self.job.rank :: self.job.world_size])
        order = sorted(range(len(own)), key=lambda i: len(own[i].ids))
        size = max(1, self.rows_at_once // n)
        found: list[list[tuple[list[int], str, bool]]] = [[] for _ in own]
        for start in range(0, len(order), size):
            some = order[start : start + size]
            sampling: dict[str, Any] = {
                "n": n,
                "temperature": self.temperature,
                "max_new_tokens": self.max_new_tokens,
                "stop": self.stop,
                "seeds": [prompt_seed(self.job.spec.seed, own[i].id, stream) for i in some],
            }
            asked = [own[i].ids for i in some]
            if engine is not None:
                drawn = engine.completions(asked, **sampling)
            else:
                draws = generate(model, asked, pictures=[own[i].shown for i in some], **sampling)
                drawn = [[(draw.ids, draw.ended) for draw in of_prompt] for of_prompt in draws]
            for i, of_prompt in zip(some, drawn, strict=True):
                found[i] = [
                    (ids, text_of(self.tokenizer, ids[:-1] if ended else ids), ended) for ids, ended in of_prompt
                ]
        return distributed.gather_rows(self.job, found)

    @torch.no_grad()
    def _read(self, rollout: Rollout, model: nn.Module, *, entropies: bool = False) -> tuple[Tensor, Tensor]:
        """Return the log-probabilities (B, T) of the tokens under `model`, and the entropies where they are asked for.

        By the trainer's own forward pass, and not as the sampler recorded them: other kernels round otherwise, and then
        the ratios of the first update would not be 1.
        """
        logps = torch.zeros(rollout.mask.shape, device=self.job.device)
        entropy = torch.zeros_like(logps)
        for rows in self._portions(rollout):
            tokens = rollout.tokens.rows(rows)
            with torch.autocast(self.job.device.type, dtype=torch.bfloat16, enabled=self.bf16):
                logits = completion_logits(model, tokens) / self.temperature
            told = logits.log_softmax(-1)
            targets = tokens.input_ids[tokens.completion_mask].unsqueeze(-1)
            logps[rows] = logps[rows].masked_scatter(tokens.completion_mask, told.gather(-1, targets).squeeze(-1))
            if entropies:
                spread = -(told.exp() * told).sum(-1)
                entropy[rows] = entropy[rows].masked_scatter(tokens.completion_mask, spread)
        return distributed.sum_over(self.job, logps), distributed.sum_over(self.job, entropy)

    @torch.no_grad()
    def _values(self, rollout: Rollout) -> Tensor:
        assert self.models.critic is not None
        values = torch.zeros(rollout.mask.shape, device=self.job.device)
        for rows in self._portions(rollout):
            with torch.autocast(self.job.device.type, dtype=torch.bfloat16, enabled=self.bf16):
                values[rows] = self.models.critic(rollout.tokens.rows(rows)).float()
        return distributed.sum_over(self.job, values)

    def _portions(self, rollout: Rollout) -> list[list[int]]:
        """Return this process's rows in portions of a micro-batch.

        In the order of the rows and not of their lengths: a mini-batch of the update then computes the same matrix
        products, and its first ratios are 1 to the last bit.
        """
        own = list(range(len(rollout)))[self.job.rank :: self.job.world_size]
        return [own[i : i + self.micro_batch] for i in range(0, len(own), self.micro_batch)]

    def _scored(self, rollout: Rollout, asked: Sequence[Prompt]) -> Rollout:
        """Return the rollout, whose rows answer `asked`, with its scores, and the one reward that they come to.

        An answer that no scorer can read, an empty one for example, gets the worst of each score: were it left out, a
        policy could learn to fall silent for nothing.
        """
        scores, unreadable = self._scores(asked, rollout.texts, anchored=self.anchored)
        reward = self._reward(scores)
        cut = (~rollout.ended).float()
        told = {
            f"score_{name}": float(column.mean()) for name, column in zip(scores.names, scores.values.T, strict=True)
        }
        told |= {"reward": float(reward.mean()), "unreadable": float(unreadable.float().mean())}
        told |= self._thought(rollout, asked) | self._judged(asked, rollout.texts)
        if len(scores.names) == 1:
            told.pop(f"score_{scores.names[0]}")
        paid = reward - self.missing_end_penalty * cut
        earned = self._earned(rollout)
        return replace(rollout, scores=scores, unreadable=unreadable, reward=paid, credit=earned).told(**told)

    def _earned(self, rollout: Rollout) -> Tensor | None:
        """Return which part of the reward each token has earned (B, T), where the one scorer that counts knows it."""
        known = self.credit.get(next(iter(self.scorers)))
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

    def _compared(self, rollout: Rollout) -> Tensor:
        """Return how a judge compares each completion with all of its prompt, (B, n, 2): 2 p - 1, and 0 with itself.

        First as it reads the completion first, then as it reads it second. Two of the same words are a tie. Each
        process has the judge read whole groups.
        """
        judge = next(filter(is_judge, self.scorers.values()))
        texts = self.reading.answers(rollout.texts)
        own = list(range(0, len(texts), self.n))[self.job.rank :: self.job.world_size]
        rows = [row for first in own for row in range(first, first + self.n)]
        of_group: dict[int, list[tuple[int, int, float, float]]] = {first: [] for first in own}
        for i, j, ahead, behind in judge.duels([list(rollout.prompts[r]) for r in rows], [texts[r] for r in rows]):
            one, other = rows[i], rows[j]
            if one // self.n != other // self.n:  # the same words asked twice
                continue
            p, q = 2 * ahead - 1, 2 * behind - 1
            of_group[one - one % self.n] += [(one, other % self.n, p, -q), (other, one % self.n, q, -p)]
        table = torch.full((len(texts), self.n, 2), math.nan)
        for one in range(len(texts)):
            group = one - one % self.n
            for place in range(self.n):
                if texts[one].strip() == texts[group + place].strip():
                    table[one, place] = 0.0
        for some in distributed.gather_rows(self.job, list(of_group.values())):
            for one, place, *told in some:
                table[one, place] = torch.tensor(told)
        return table.to(self.job.device)

    def _thought(self, rollout: Rollout, asked: Sequence[Prompt]) -> dict[str, float]:
        """Return how many thoughts did not come to an end, and all else that is known of thoughts judged apart.

        Safety is not to be bought with thoughts that go straight on (card 32); see `training.core.traces`.
        """
        if self.reading.what == "whole":
            return {}
        traces = self._traces(rollout, asked)
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

    def _traces(self, rollout: Rollout, asked: Sequence[Prompt]) -> list[Trace]:
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

    def _judged(self, asked: Sequence[Prompt], texts: Sequence[str]) -> dict[str, float]:
        """Return what is to be known of a policy's verdicts, where verdicts are what it writes."""
        told: dict[str, float] = {}
        for scorer in self.scorers.values():
            if isinstance(scorer, Agreement):
                told |= scorer.figures([prompt.messages for prompt in asked], texts)
        return told

    def _verdicts(self) -> dict[str, float]:
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
        given = self.columns.get(next(iter(self.scorers)), set())
        if not self.made_for_several or len(given) != 1:
            return []
        return [
            Note(
                "One score of an answer has no worst and no spread: {combine} is that score itself, and this run was "
                "plain. Train the recipe reward-ensemble, or name several principles.",
                combine=self.combines_by,
            )
        ]

    def _reward(self, scores: Scores) -> Tensor:
        if self.reads_all:
            return self.combine(scores).float()
        first = [i for i, name in enumerate(scores.names) if name in self.columns[next(iter(self.scorers))]]
        spread = None if scores.spread is None else scores.spread[:, first]
        if spread is not None and bool(torch.isnan(spread).any()):  # another scorer has one, this one has none
            spread = None
        return self.combine(Scores(scores.values[:, first], tuple(scores.names[i] for i in first), spread)).float()

    def _scores(self, prompts: Sequence[Prompt], texts: Sequence[str], *, anchored: bool) -> tuple[Scores, Tensor]:
        """Return every scorer's columns of each answer, and which answers could not be read (B,).

        With `anchored` a judge holds each against its prompt's anchor, else against the others to the prompt.
        """
        anchors = self._anchors(prompts) if anchored else []
        names: list[str] = []
        columns: list[list[float | None]] = []
        unsure: list[list[float | None]] = []
        self.columns = {}
        self.apart: dict[str, list[Apart]] = {}  # what thoughts and answers cost, by scorer
        self.credit: dict[str, list[Credit | None]] = {}  # what each token adds, by scorer that knows
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

    def _ask_reference(self, prompts: Sequence[Prompt]) -> None:
        """Have the reference answer the prompts it has not answered in this run yet, and keep the rewards."""
        fresh = [prompt for prompt in prompts if prompt.id not in self.references.rows]
        if not fresh:
            return
        with self.models.at_reference() as reference:
            drawn = self._answers(reference, fresh, n=self.reference_answers, stream="reference")
        asked = [prompt for prompt, answers in zip(fresh, drawn, strict=True) for _ in answers]
        texts = [text for answers in drawn for _, text, _ in answers]
        scores, _ = self._scores(asked, texts, anchored=self.anchored)
        rewards = self._reward(scores).view(len(fresh), -1).tolist()
        for prompt, found in zip(fresh, rewards, strict=True):
            self.references.append({"id": prompt.id, "rewards": found})

    def _anchors(self, prompts: Sequence[Prompt]) -> list[str]:
        """Return what a judge holds the answers to each prompt against; nothing where no judge is among the scorers.

        That is the prompt's own answer, which is known to be good, as in arXiv:2504.04950, or one of the reference,
        drawn once in a run. The reference of a round is the policy that people have now, so the reward is the chance to
        be preferred to what they get. A policy that has grown much better than its anchor is told little by either, so
        begin another round from it.
        """
        if not self.has_judge:
            return []
        if self.anchors is None:
            # Written by a person, or by a model with thoughts of which only the answer was seen.
            return Reading(self.reading.what).answers([prompt.anchor for prompt in prompts])
        fresh = [*{prompt.id: prompt for prompt in prompts if prompt.id not in self.anchors.rows}.values()]
        if fresh:
            with self.models.at_reference() as reference:
                drawn = self._answers(reference, fresh, n=1, stream="anchor")
            for prompt, ((_, text, _),) in zip(fresh, drawn, strict=True):
                self.anchors.append({"id": prompt.id, "text": text})
        return self.reading.answers([self.anchors.rows[prompt.id]["text"] for prompt in prompts])

    def measured(
        self, model: nn.Module, prompts: Sequence[Prompt]
    ) -> tuple[list[float], dict[str, float], list[Trace]]:
        """Return the reward of one answer of `model` to each prompt, what is known of judgements, and of thoughts.

        A judge of rivals holds it against the reference's: alone it has none, and among its own every policy wins half
        of the time.
        """
        drawn = self._answers(model, prompts, n=1, stream="held out")
        texts = [answers[0][1] for answers in drawn]
        scores, _ = self._scores(prompts, texts, anchored=True)
        told = self._judged(prompts, texts) | self._verdicts()
        if self.reading.what == "whole":
            return self._reward(scores).tolist(), told, []
        made = self._written(prompts, drawn)
        traces = self._traces(replace(made, entropy=self._read(made, model, entropies=True)[1]), prompts)
        return self._reward(scores).tolist(), told, traces


def _table(columns: Sequence[Sequence[float | None]]) -> Tensor:
    """Return K columns of B numbers as (B, K), NaN for what is not known."""
    return torch.tensor([[math.nan if v is None else v for v in column] for column in columns]).T
