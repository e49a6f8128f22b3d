"""IFT. By hand at γ = 0.5: losses 1 and 3 weigh 1 + 0.5 · 3 = 2.5 and 3, scaled by 2 / 5.5: (2.5 · 1 + 3 · 3) / 5.5."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from tests.core.worlds import demonstration_rows
from training.core.backbone import start_policy
from training.core.batch import Demonstrations
from training.core.collate import collate_demonstrations, encode
from training.core.losses.ift import ift
from training.core.losses.sft import nll
from training.core.objectives import imitation, intuition
from training.core.records import Tally, parse_demonstration

LOGPS = torch.tensor([[0.0, -1.0, -3.0, 0.0]])
MASK = torch.tensor([[False, True, True, False]])


def test_hand_computed_numbers():
    assert ift(LOGPS, MASK, decay=0.5).item() == pytest.approx(11.5 / 5.5)
    assert ift(LOGPS, MASK, decay=0.0).item() == pytest.approx(2.0)


def test_of_equal_losses_the_earlier_one_weighs_more_and_all_weights_sum_to_their_number():
    logps = torch.full((1, 4), -1.0, requires_grad=True)
    ift(logps, torch.ones(1, 4, dtype=torch.bool), decay=0.9).sum().backward()
    weights = -4 * logps.grad[0]
    assert weights.sum().item() == pytest.approx(4.0)
    assert weights.tolist() == sorted(weights.tolist(), reverse=True) and weights[0] > weights[3]


def test_without_guesses_and_decay_it_is_supervised_fine_tuning(policy):
    model, tokenizer = start_policy(str(policy))
    records = [(i, parse_demonstration(row)) for i, row in enumerate(demonstration_rows(5))]
    batch = collate_demonstrations(encode(records, tokenizer, Tally(), max_length=200), 0)
    assert isinstance(batch, Demonstrations)
    plain = imitation(model, batch, nll)
    same = intuition(model, batch, partial(ift, decay=0.0), mix=0.0)
    torch.testing.assert_close(same.loss, plain.loss, atol=1e-6, rtol=0.0)
    assert torch.equal(same.weight, plain.weight)
    mixed = intuition(model, batch, partial(ift, decay=0.0), mix=0.5)
    assert not torch.allclose(mixed.loss, plain.loss, atol=1e-3)


def test_a_guess_tells_nothing_of_the_token_it_stands_for(policy):
    """Another last token changes what is read nowhere before it: only its own loss changes."""
    model, tokenizer = start_policy(str(policy))
    records = [(0, parse_demonstration(demonstration_rows(1)[0]))]
    batch = collate_demonstrations(encode(records, tokenizer, Tally(), max_length=200), 0)
    others = batch.tokens.input_ids.clone()
    others[0, -1] = (others[0, -1] + 1) % 200
    found = []
    for ids in (batch.tokens.input_ids, others):
        tokens = type(batch.tokens)(ids, batch.tokens.attention_mask, batch.tokens.completion_mask)
        kept: dict[str, torch.Tensor] = {}

        def loss(logps: torch.Tensor, mask: torch.Tensor, kept=kept) -> torch.Tensor:
            kept["logps"] = logps.detach()
            return logps.sum(1)

        intuition(model, Demonstrations(tokens, batch.weight), loss, mix=0.5)
        found.append(kept["logps"][0])
    assert torch.equal(found[0][:-1], found[1][:-1]) and found[0][-1] != found[1][-1]
