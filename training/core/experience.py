"""Where rollouts come from: prompts are answered, and the answers read by the policy, its reference and its critic.

Legend: B completions, T tokens, K scores.
"""

from __future__ import annotations

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
from training.core.job import Job
from training.core.ladder import on_a_rung
from training.core.opinions import Opinions
from training.core.part_file import PartFile
from training.core.policy import completion_logits
from training.core.prompts import Prompt
from training.core.rollout import Models, Rollout
from training.core.sampler import text_of
from training.core.thinking import Reading
from training.core.traces import Trace
from training.core.vllm_sampling import Engine
from training.recipes.anchors import ANCHORS


class Experience:
    """The policy, and the opinions of what it writes: together they make prompts into scored rollouts."""

    def __init__(
        self,
        job: Job,
        models: Models,
        tokenizer: PreTrainedTokenizerBase,
        opinions: Opinions,
        *,
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
        bf16: bool,
        engine: Engine | None = None,
    ) -> None:
        self.job = job
        self.models = models
        self.tokenizer = tokenizer
        self.opinions = opinions
        self.needs = needs
        self.n = n
        self.temperature = temperature
        self.max_new_tokens = max_new_tokens
        self.rows_at_once = rows_at_once
        self.micro_batch = micro_batch
        self.missing_end_penalty = missing_end_penalty
        self.reference_answers = reference_answers
        self.bf16 = bf16
        self.engine = engine  # what draws the policy's answers where it is not our own decoding
        self.pad_id = backbone.pad_id_of(tokenizer)
        self.stop = stop_ids(models.policy, tokenizer)
        # Rewards of what the reference answers to each prompt, on disk: a resumed run has to go by the same.
        self.references = PartFile(job.folder / references, rank=job.rank)
        # What a judge of two answers holds the policy's against, on disk for the same reason.
        self.anchored = judge_against != "rivals"
        asks_reference = self.opinions.has_judge and judge_against not in ANCHORS
        self.anchors = PartFile(job.folder / f"anchors-{references}", rank=job.rank) if asks_reference else None

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
            made = replace(made, comparisons=self.opinions.compared(made, self.n))
        if "reference_rewards" in self.needs:
            self._ask_reference(prompts)
            known = torch.tensor([self.references.rows[prompt.id]["rewards"] for prompt in asked])
            made = replace(made, reference_rewards=known.to(self.job.device))
        return made.told(**self.opinions.verdicts())

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
        scores, unreadable = self._scores(asked, rollout.texts)
        reward = self.opinions.reward(scores)
        cut = (~rollout.ended).float()
        told = {
            f"score_{name}": float(column.mean()) for name, column in zip(scores.names, scores.values.T, strict=True)
        }
        told |= {"reward": float(reward.mean()), "unreadable": float(unreadable.float().mean())}
        told |= self.opinions.thought(rollout, asked) | self.opinions.judged(asked, rollout.texts)
        if len(scores.names) == 1:
            told.pop(f"score_{scores.names[0]}")
        paid = reward - self.missing_end_penalty * cut
        earned = self.opinions.earned(rollout)
        return replace(rollout, scores=scores, unreadable=unreadable, reward=paid, credit=earned).told(**told)

    def _scores(self, prompts: Sequence[Prompt], texts: Sequence[str]) -> tuple[Scores, Tensor]:
        """Return what `Opinions.scores` does, held against the prompts' anchors unless rivals are asked for."""
        return self.opinions.scores(prompts, texts, self._anchors(prompts) if self.anchored else ())

    def _ask_reference(self, prompts: Sequence[Prompt]) -> None:
        """Have the reference answer the prompts it has not answered in this run yet, and keep the rewards."""
        fresh = [prompt for prompt in prompts if prompt.id not in self.references.rows]
        if not fresh:
            return
        with self.models.at_reference() as reference:
            drawn = self._answers(reference, fresh, n=self.reference_answers, stream="reference")
        asked = [prompt for prompt, answers in zip(fresh, drawn, strict=True) for _ in answers]
        texts = [text for answers in drawn for _, text, _ in answers]
        scores, _ = self._scores(asked, texts)
        rewards = self.opinions.reward(scores).view(len(fresh), -1).tolist()
        for prompt, found in zip(fresh, rewards, strict=True):
            self.references.append({"id": prompt.id, "rewards": found})

    def _anchors(self, prompts: Sequence[Prompt]) -> list[str]:
        """Return what a judge holds the answers to each prompt against; nothing where no judge is among the scorers.

        That is the prompt's own answer, which is known to be good, as in arXiv:2504.04950, or one of the reference,
        drawn once in a run. The reference of a round is the policy that people have now, so the reward is the chance to
        be preferred to what they get. A policy that has grown much better than its anchor is told little by either, so
        begin another round from it.
        """
        if not self.opinions.has_judge:
            return []
        if self.anchors is None:
            # Written by a person, or by a model with thoughts of which only the answer was seen.
            return Reading(self.opinions.reading.what).answers([prompt.anchor for prompt in prompts])
        fresh = [*{prompt.id: prompt for prompt in prompts if prompt.id not in self.anchors.rows}.values()]
        if fresh:
            with self.models.at_reference() as reference:
                drawn = self._answers(reference, fresh, n=1, stream="anchor")
            for prompt, ((_, text, _),) in zip(fresh, drawn, strict=True):
                self.anchors.append({"id": prompt.id, "text": text})
        return self.opinions.reading.answers([self.anchors.rows[prompt.id]["text"] for prompt in prompts])

    def measured(
        self, model: nn.Module, prompts: Sequence[Prompt]
    ) -> tuple[list[float], dict[str, float], list[Trace]]:
        """Return the reward of one answer of `model` to each prompt, what is known of judgements, and of thoughts.

        A judge of rivals holds it against the reference's: alone it has none, and among its own every policy wins half
        of the time.
        """
        drawn = self._answers(model, prompts, n=1, stream="held out")
        texts = [answers[0][1] for answers in drawn]
        scores, _ = self.opinions.scores(prompts, texts, self._anchors(prompts))
        told = self.opinions.judged(prompts, texts) | self.opinions.verdicts()
        if self.opinions.reading.what == "whole":
            return self.opinions.reward(scores).tolist(), told, []
        made = self._written(prompts, drawn)
        traces = self.opinions.traces(replace(made, entropy=self._read(made, model, entropies=True)[1]), prompts)
        return self.opinions.reward(scores).tolist(), told, traces
