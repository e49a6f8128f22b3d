"""Lifts: from a model and a batch to each example's loss. A loss knows numbers only; a lift knows where they come from.

Each lift takes the loss as a function, and its part in `training.recipes.objectives` says what it needs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from training.core.backbone import RewardModel
from training.core.batch import Demonstrations, Labelled, LossOutput, Outcomes, Pairs, People, Rankings
from training.core.heads import POOLING, CritiqueHead, EnsembleHead, GaussianHead, LatentHead, on_sphere
from training.core.losses.latent import divergence
from training.core.masked import masked_mean
from training.core.personal import users_of
from training.core.policy import completion_logits, logps, pair_logps, token_logps

Loss = Callable[..., Tensor]
# A model, a batch of the recipe's view, and the loss.
Objective = Callable[[nn.Module, Any, Loss], LossOutput]


def pair_scores(model: RewardModel, batch: Pairs, loss: Loss, *, annotator_weights: bool) -> LossOutput:
    """Return the loss of (chosen scores, rejected scores, strength), each (P,)."""
    scores = model.pair_scores(batch.tokens)
    chosen, rejected = scores.chunk(2)
    values = loss(chosen, rejected, batch.strength)
    return LossOutput(
        loss=values,
        weight=_weights(batch, annotator_weights),
        metrics={
            "accuracy": _wins(chosen, rejected),
            "margin": (chosen - rejected).detach(),
            "score": (chosen + rejected).detach() / 2,
        },
    )


def rankings(model: RewardModel, batch: Rankings, loss: Loss) -> LossOutput:
    """Return the loss of (scores, ranks, whether there is such a completion), each (U, K), by ranking, (U,)."""
    tokens = batch.tokens
    outputs = model.scores(tokens.input_ids, tokens.attention_mask)
    counts = torch.bincount(batch.of)
    known = torch.arange(int(counts.max()), device=counts.device) < counts.unsqueeze(1)
    scores = torch.zeros(known.shape, device=outputs.device).masked_scatter(known, outputs.float())
    ranks = torch.zeros(known.shape, dtype=torch.long, device=known.device).masked_scatter(known, batch.rank)
    values = loss(scores, ranks, known)
    better = (ranks.unsqueeze(2) < ranks.unsqueeze(1)) & known.unsqueeze(2) & known.unsqueeze(1)
    told, every = better.sum((1, 2)), counts * (counts - 1) / 2
    right = (_wins(scores.unsqueeze(2), scores.unsqueeze(1)) * better).sum((1, 2)) / told  # NaN where all are tied
    return LossOutput(
        loss=values,
        weight=torch.ones_like(values),
        metrics={"accuracy": right, "ties": (every - told) / every},
    )


def _weights(batch: Pairs, annotator_weights: bool) -> Tensor:
    """Return how much each pair counts in the loop's weighted mean, (P,): as who judged it is reliable, or 1."""
    return batch.extra["annotator_weight"] if annotator_weights else torch.ones_like(batch.strength)


def pair_costs(model: RewardModel, batch: Pairs, loss: Loss) -> LossOutput:
    """Return the loss of the costs of the less safe and the safer completion with their labels, (P,).

    The loss gets (unsafer cost, safer cost, unsafer severity, safer severity), each (P,); severity 0 is safe.
    """
    safer, unsafer = model.pair_outputs(batch.tokens)[:, 0].chunk(2)
    severity = {side: batch.extra[f"{side}_severity"] for side in ("chosen", "rejected")}
    values = loss(unsafer, safer, severity["rejected"], severity["chosen"])
    signs = [_right_side(safer, severity["chosen"]), _right_side(unsafer, severity["rejected"])]
    return LossOutput(
        loss=values,
        weight=torch.ones_like(values),
        metrics={
            "accuracy": _wins(unsafer, safer),
            "sign_accuracy": (signs[0] + signs[1]) / 2,
            "margin": (unsafer - safer).detach(),
        },
    )


def _right_side(costs: Tensor, severity: Tensor) -> Tensor:
    """Return (P,): 1 where a cost is above 0 for what is unsafe and below it for what is safe."""
    return ((costs.detach() > 0) == (severity > 0)).float()


def member_scores(model: RewardModel, batch: Pairs, loss: Loss, *, resample: bool) -> LossOutput:
    """Return the mean over the M members of the loss of each, (P,).

    With `resample` every member sees each row of the data 0, 1, 2, … times, as if it had drawn its own data with
    replacement (Poisson with mean 1, the limit of the bootstrap): members that see the same rows in the same order
    differ by their start alone. The draw depends on row and member only, so that it is the same in every epoch and
    whatever the batches.
    """
    assert isinstance(model.head, EnsembleHead | GaussianHead)
    chosen, rejected = model.pair_outputs(batch.tokens).chunk(2)  # (P, M) each
    members = chosen.shape[1]
    strength = batch.strength.unsqueeze(1).expand(-1, members)
    values = loss(chosen.flatten(), rejected.flatten(), strength.flatten()).view(-1, members)
    drawn = torch.ones_like(values)
    if resample and torch.is_grad_enabled():  # measuring takes every row once
        drawn = times_drawn(batch.extra["row"], model.head.seeds)
    mean = (chosen - rejected).mean(1)
    wins = torch.stack([_wins(c, r) for c, r in zip(chosen.unbind(1), rejected.unbind(1), strict=True)], 1)
    return LossOutput(
        loss=(values * drawn).mean(1),
        weight=torch.ones_like(mean),
        metrics={
            "accuracy": _wins(mean, torch.zeros_like(mean)),
            "member_accuracy": wins.mean(1),
            "margin": mean.detach(),
            "disagreement": (chosen - rejected).detach().std(1, correction=0),
        },
    )


def member_targets(model: RewardModel, batch: Pairs, loss: Loss) -> LossOutput:
    """Return the loss of each Gaussian member's mean and deviation against the nominal score of both answers, (P,).

    The target is the score of the frozen reward model that the members stand on. Each member learns from its own sample
    of the rows, see `member_scores`; members with one start and one order of rows would not disagree (card 25).
    """
    assert isinstance(model.head, GaussianHead)
    tokens = batch.tokens
    (pooled,) = model.states(tokens.input_ids, tokens.attention_mask)
    target = model.head.nominal(pooled).detach()  # (2P, 1)
    means, deviations = model.head(pooled), model.head.spread(pooled)  # (2P, M)
    values = loss(means, deviations, target.expand_as(means))
    values = torch.stack(values.chunk(2)).mean(0)  # (P, M)
    drawn = torch.ones_like(values)
    if torch.is_grad_enabled():
        drawn = times_drawn(batch.extra["row"], model.head.seeds)
    chosen, rejected = means.detach().mean(1).chunk(2)
    return LossOutput(
        loss=(values * drawn).mean(1),
        weight=torch.ones_like(batch.strength),
        metrics={
            "accuracy": _wins(chosen, rejected),
            "disagreement": torch.stack(means.detach().std(1, correction=0).chunk(2)).mean(0),
            "deviation": torch.stack(deviations.detach().mean(1).chunk(2)).mean(0),
        },
    )


def yes_no(model: RewardModel, batch: Labelled, loss: Loss) -> LossOutput:
    """Return the loss of log p(Yes) - log p(No) against what people answered, (B,)."""
    tokens = batch.tokens
    logits = model.outputs(tokens.input_ids, tokens.attention_mask)[:, 0]
    labels = batch.labels[:, 0]
    said = (logits.detach() > 0).float()
    right = (said == labels).float()
    missing = torch.full_like(right, float("nan"))
    return LossOutput(
        loss=loss(logits, labels),
        weight=batch.weight,
        metrics={
            "accuracy": right,
            # A model that always says yes is right as often as people do, and never here.
            "accuracy_of_yes": torch.where(labels == 1, right, missing),
            "accuracy_of_no": torch.where(labels == 0, right, missing),
            "said_yes": said,
        },
    )


def verdicts(model: RewardModel, batch: Pairs, loss: Loss) -> LossOutput:
    """Return the loss of log p(A) - log p(B) in both orders of a pair, (P,).

    The batch has the chosen answer first in its first half and second in its other one. A pair that is learned from in
    one order only weighs nothing in the other.
    """
    tokens = batch.tokens
    first, second = model.outputs(tokens.input_ids, tokens.attention_mask)[:, 0].chunk(2)  # (P,) each
    both, seen = batch.extra["both"], batch.extra["chosen_first"]
    weight = torch.where(both > 0, 0.5, seen)
    values = loss(first, second, weight, 1 - torch.where(both > 0, 0.5, seen))
    believed = (first.detach().sigmoid() + 1 - second.detach().sigmoid()) / 2
    return LossOutput(
        loss=values,
        weight=torch.ones_like(values),
        metrics={
            "accuracy": _wins(believed, torch.full_like(believed, 0.5)),
            # 0 where the order in which two answers are read says nothing.
            "inconsistency": (first.detach().sigmoid() + second.detach().sigmoid() - 1).abs(),
            "said_first": ((first.detach() > 0).float() + (second.detach() > 0).float()) / 2,
        },
    )


def critiques(model: RewardModel, batch: Pairs, loss: Loss) -> LossOutput:
    """Return the loss of the scores behind people's critiques and of the critiques' own words, (P,).

    The words of prompt, answer and request are not learned: `completion_mask` is the critique alone.
    """
    head, tokens = model.head, batch.tokens
    assert isinstance(head, CritiqueHead)
    hidden = model.backbone(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask).last_hidden_state
    scores = head.combined(head(POOLING[model.pooling](hidden, tokens.attention_mask)))
    predicts = tokens.completion_mask.roll(-1, dims=1).clone()  # the state at t - 1 predicts the token at t
    predicts[:, -1] = False
    targets = tokens.input_ids[:, 1:][predicts[:, :-1]]
    said = -cross_entropy(head.words(hidden[predicts]), targets, reduction="none")
    logps = torch.zeros(tokens.input_ids.shape, device=said.device).masked_scatter(tokens.completion_mask, said)
    nll = -masked_mean(logps, tokens.completion_mask)
    (chosen, rejected), (chosen_nll, rejected_nll) = scores.chunk(2), nll.chunk(2)
    values = loss(chosen, rejected, chosen_nll, rejected_nll)
    return LossOutput(
        loss=values,
        weight=torch.ones_like(values),
        metrics={
            "accuracy": _wins(chosen, rejected),
            "margin": (chosen - rejected).detach(),
            "critique_nats": (chosen_nll + rejected_nll).detach() / 2,
        },
    )


def people(model: RewardModel, batch: People, loss: Loss) -> LossOutput:
    """Return the loss of each person's gaps between chosen and rejected answers, given the pairs it is known by, (U,).

    In training z is drawn from the posterior, when measuring it is its mean. The draw is a function of the person's
    line and of the head's weights as they stand, so that it is new in each step and the same in however many parts the
    step is computed, and after a crash.
    """
    head = model.head
    assert isinstance(head, LatentHead)
    tokens = batch.tokens
    (states,) = model.states(tokens.input_ids, tokens.attention_mask)
    known, asked = len(batch.known_of), len(batch.asked_of)
    chosen, rejected, better, worse = states.split([known, known, asked, asked])
    mean, log_variance = head.posterior(chosen, rejected, batch.known_of, len(batch))
    z = mean
    if torch.is_grad_enabled():
        stamp = int(head.mean.weight.detach().flatten()[:1].float().cpu().view(torch.int32))
        noise = [
            torch.randn(mean.shape[1], generator=torch.Generator().manual_seed(abs(stamp) * 65_537 + line))
            for line in batch.row.tolist()
        ]
        z = mean + (log_variance / 2).exp() * torch.stack(noise).to(mean.device)
    who = on_sphere(z)[batch.asked_of]
    gaps = head.decode(better, who) - head.decode(worse, who)
    right = _wins(gaps, torch.zeros_like(gaps))
    counts = torch.bincount(batch.asked_of, minlength=len(batch))
    return LossOutput(
        loss=loss(gaps, batch.asked_of, mean, log_variance),
        weight=torch.ones(len(batch), device=gaps.device),
        metrics={
            "accuracy": right.new_zeros(len(batch)).index_add(0, batch.asked_of, right) / counts,
            # Near 0 nothing of the person is read any more: lower kl_weight.
            "kl": divergence(mean, log_variance).detach(),
        },
    )


def times_drawn(rows: Tensor, seeds: Tensor) -> Tensor:
    """Return how often each member has each row in its sample of the data, (P,) and (M,) → (P, M): Poisson, mean 1."""
    state = rows.unsqueeze(1) * 0x9E3779B1 + seeds.unsqueeze(0) * 0x85EBCA77
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        state = (state ^ (state >> shift)) * factor & 0xFFFFFFFF
    uniform = ((state ^ (state >> 16)) & 0xFFFFFF).double() / 0x1000000
    # P(X ≤ k) of a Poisson with mean 1; beyond 6 it is less than one in ten thousand.
    terms = torch.tensor([1 / math.factorial(k) for k in range(7)], dtype=torch.float64, device=rows.device)
    return (uniform.unsqueeze(-1) > (terms.cumsum(0) / math.e)).sum(-1).float()


def pointwise(model: RewardModel, batch: Labelled, loss: Loss) -> LossOutput:
    """Return the loss of (outputs, labels, known), each (B, K), as the mean over the labels that are known, (B,).

    Missing labels are NaN. They are made finite before anything is computed with them: masking a result that is NaN
    would still leave NaN in the gradient.
    """
    known = torch.isfinite(batch.labels)
    labels = torch.where(known, batch.labels, 0.0)
    tokens = batch.tokens
    outputs = model.outputs(tokens.input_ids, tokens.attention_mask, images=tokens.images)
    values = loss(outputs, labels)
    errors = (outputs - labels).abs().detach().masked_fill(~known, float("nan"))
    return LossOutput(
        loss=masked_mean(values, known),
        weight=batch.weight * known.any(-1),
        metrics={f"error_{name}": error for name, error in zip(model.head.names, errors.unbind(1), strict=True)},
    )


def pair_logratios(
    model: nn.Module,
    batch: Pairs,
    loss: Loss,
    *,
    annotator_weights: bool,
    per_token: bool,
    likelihood_weight: float,
) -> LossOutput:
    """Return the loss of the two log-ratios against the frozen reference, log π(y|x) - log π_ref(y|x), each (P,).

    They are sums over the tokens of a completion, or with `per_token` means. With a `likelihood_weight` the mean
    negative log-likelihood of the chosen one's tokens is added, times that (arXiv:2404.19733, eq. 1).
    """
    assert batch.reference_logps is not None
    own = pair_logps(model, batch.tokens)
    chosen, rejected = (own - batch.reference_logps).chunk(2)
    lengths = batch.tokens.completion_mask.sum(-1).clamp(min=1)
    compared = ((own - batch.reference_logps) / lengths).chunk(2) if per_token else (chosen, rejected)
    values = loss(*compared)
    if likelihood_weight:
        values = values - likelihood_weight * (own / lengths).chunk(2)[0]
    return LossOutput(
        loss=values,
        weight=_weights(batch, annotator_weights),
        metrics={
            "accuracy": _wins(*compared),
            "margin": (chosen - rejected).detach(),
            # Both may fall together while the loss looks fine: then the model forgets how to answer at all.
            "chosen_logratio": chosen.detach(),
            "rejected_logratio": rejected.detach(),
            "chosen_logp": own.chunk(2)[0].detach(),
        },
    )


def personal_pairs(
    model: nn.Module,
    batch: Pairs,
    loss: Loss,
    *,
    alpha: float,
    user_penalty: float,
    text_alone: float,
    annotator_weights: bool,
) -> LossOutput:
    """Return α ℓ(pair answered to who judged it) + (1 - α) ℓ(the same pair answered to anybody), (P,).

    arXiv:2402.05133, P-DPO. The reference answers nobody in particular in both. λ |o_u|² of each user is spread over
    that user's pairs, so that the fewer there are the nearer the user stays to what all share. A pair of nobody known
    has the second term alone.

    Where the person says something of their wishes, they are answered behind that; the other terms never read it. Of α
    the share `text_alone` is then the pair behind the text without the soft prompt, as somebody new is answered: where
    both are always there, the soft prompt may take all there is to learn. A pair of nobody known has that alone.
    """
    assert batch.reference_logps is not None
    users, of = users_of(model), batch.extra["user"]
    assert users is not None
    generic = _sums(model, batch, loss, annotator_weights=annotator_weights)
    known, number = of >= 0, of.clamp(min=0)
    read = batch.tokens if batch.informed is None else batch.informed
    own = pair_logps(model, users.placed(read, number.repeat(2)))
    chosen, rejected = (own - batch.reference_logps).chunk(2)
    answered, right, seen = loss(chosen, rejected), _wins(chosen, rejected), known
    if users.profile_tokens:
        says = batch.extra["says"]
        # Of all rows, so that each of several processes that share a model goes through it as often.
        alone = pair_logps(model, read) - batch.reference_logps
        share = torch.where(known, text_alone, 1.0) * says
        answered = (1 - share) * answered + share * loss(*alone.chunk(2))
        right, seen = torch.where(known, right, _wins(*alone.chunk(2))), known | says
    personal = alpha * answered + torch.where(known, user_penalty * users.size(number), 0.0)
    anybody = generic.metrics["accuracy"]
    return replace(
        generic,
        loss=torch.where(seen, personal, 0.0) + (1 - alpha) * generic.loss,
        metrics=generic.metrics
        | {
            # Who is not known and says nothing is answered as anybody.
            "accuracy": torch.where(seen, right, anybody),
            "generic_accuracy": anybody,
            "personal_margin": torch.where(known, (chosen - rejected).detach(), float("nan")),
        },
    )


def pair_margins(model: nn.Module, batch: Pairs, loss: Loss, *, annotator_weights: bool, principles: str) -> LossOutput:
    """Return the loss of the two log-ratios and of how much better a reward model finds the chosen one, each (P,).

    The `principles` were read where the margins were asked for.
    """
    margin = batch.extra["reward_margin"]

    def with_margins(chosen: Tensor, rejected: Tensor) -> Tensor:
        return loss(chosen, rejected, margin)

    found = _sums(model, batch, with_margins, annotator_weights=annotator_weights)
    metrics = {"reward_margin": margin.float(), "reward_agrees": _wins(margin, torch.zeros_like(margin))}
    return replace(found, metrics=found.metrics | metrics)


def pair_gaps(model: nn.Module, batch: Pairs, loss: Loss, *, annotator_weights: bool) -> LossOutput:
    """Return the loss of the two log-ratios against the policy that wrote them and of how far apart people saw them.

    How far is the strength of the preference, (P,): 1 for a clear one, and 1/3 or 2/3 for less.
    """

    def with_gaps(chosen: Tensor, rejected: Tensor) -> Tensor:
        return loss(chosen, rejected, batch.strength)

    return _sums(model, batch, with_gaps, annotator_weights=annotator_weights)


def pair_likelihoods(model: nn.Module, batch: Pairs, loss: Loss, *, annotator_weights: bool) -> LossOutput:
    """Return the loss of the two completions' log-probabilities themselves, (P,): there is no reference."""
    chosen, rejected = pair_logps(model, batch.tokens).chunk(2)
    return LossOutput(
        loss=loss(chosen, rejected),
        weight=_weights(batch, annotator_weights),
        metrics={
            "accuracy": _wins(chosen, rejected),
            "margin": (chosen - rejected).detach(),
            "chosen_logp": chosen.detach(),
        },
    )


def pair_averages(model: nn.Module, batch: Pairs, loss: Loss, *, annotator_weights: bool) -> LossOutput:
    """Return the loss of both completions' mean log-probabilities of a token, (P,): there is no reference.

    A sum would favour short answers, as there is no reference to which both are equally short.
    """
    lengths = batch.tokens.completion_mask.sum(-1).clamp(min=1)
    own = pair_logps(model, batch.tokens)
    chosen, rejected = (own / lengths).chunk(2)
    return LossOutput(
        loss=loss(chosen, rejected),
        weight=_weights(batch, annotator_weights),
        metrics={
            "accuracy": _wins(chosen, rejected),
            "margin": (chosen - rejected).detach(),
            "chosen_logp": own.chunk(2)[0].detach(),
        },
    )


def leftover(model: nn.Module, batch: Outcomes, loss: Loss) -> LossOutput:
    """Return the loss of the completions' log-probabilities, those under the reference, and their advantages, (B,).

    What is not better than expected has none, where it is measured; it is not trained on. Its weight is kept, or a
    measurement would have nothing to be a mean of where no held-out answer was better.
    """
    assert batch.reference_logps is not None
    own = logps(model, batch.tokens)
    return LossOutput(
        loss=loss(own, batch.reference_logps, batch.advantage.clamp(min=0)),
        weight=torch.ones_like(own),
        metrics={
            "advantage": batch.advantage,
            # As it is, not clipped: far from 0 the ratio says nothing any more.
            "logratio": (own - batch.reference_logps).detach(),
            "chosen_logp": own.detach(),
        },
    )


def intuition(model: nn.Module, batch: Demonstrations, loss: Loss, *, mix: float) -> LossOutput:
    """Return the loss of token log-probabilities behind a text that is partly the model's own guess. arXiv:2405.11870.

    Where the completion stands, each token's embedding e(u_t) is mixed with that of what the model would have written
    there, (1 - λ) e(u_t) + λ e(û_t); what is to be said stays u. The guess at t comes from what is before t, so nothing
    of u_t is told by it. Both embeddings are taken as they are, without gradient: else the model could shrink them.
    """
    tokens = batch.tokens
    mask = tokens.completion_mask
    with torch.no_grad():
        guessed = tokens.input_ids.clone()
        guessed[mask] = completion_logits(model, tokens).argmax(-1)
        table = model.get_input_embeddings()  # type: ignore[operator]
        real, own = table(tokens.input_ids), table(guessed)
        embedded = torch.where(mask.unsqueeze(-1), (1 - mix) * real + mix * own, real)
    logits = model(inputs_embeds=embedded, attention_mask=tokens.attention_mask, use_cache=False).logits
    logps = logits[:, :-1].float().log_softmax(-1).gather(-1, tokens.input_ids[:, 1:].unsqueeze(-1)).squeeze(-1)
    logps = torch.cat([torch.zeros_like(logps[:, :1]), logps], 1).masked_fill(~mask, 0.0)
    agreed = masked_mean((guessed == tokens.input_ids).float(), mask)
    return LossOutput(loss=loss(logps, mask), weight=mask.sum(-1) * batch.weight, metrics={"guessed_right": agreed})


def imitation(model: nn.Module, batch: Demonstrations, loss: Loss) -> LossOutput:
    """Return the loss of (token log-probabilities, completion mask), each example weighing its tokens."""
    tokens = batch.tokens
    values = loss(token_logps(model, tokens), tokens.completion_mask)
    return LossOutput(loss=values, weight=tokens.completion_mask.sum(-1) * batch.weight)


def _sums(model: nn.Module, batch: Pairs, loss: Loss, *, annotator_weights: bool) -> LossOutput:
    """Return `pair_logratios` of log-ratios as they are, and nothing beside them."""
    return pair_logratios(
        model, batch, loss, annotator_weights=annotator_weights, per_token=False, likelihood_weight=0.0
    )


def _wins(chosen: Tensor, rejected: Tensor) -> Tensor:
    """Return (P,): 1 where the chosen one is ahead, ½ where they are equal."""
    gap = (chosen - rejected).detach()
    return (gap > 0).float() + 0.5 * (gap == 0).float()
