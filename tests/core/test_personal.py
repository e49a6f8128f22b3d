"""A policy that knows its users: each is answered by a soft prompt of their own, everybody else by the model itself."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tests.core.worlds import pair_rows, prompt_rows
from training.core.backbone import load_policy
from training.core.batch import Pairs
from training.core.collate import encode_prompt, pad
from training.core.decode import next_logits
from training.core.job import RunError
from training.core.losses.dpo import dpo
from training.core.objectives import personal_pairs
from training.core.personal import CLUSTERS, INDIVIDUAL, UserTokens, load_users, users_in
from training.core.policy import logps, pair_logps
from training.recipes.users_file import USERS_FILE, forget, known_users

NAMES = ["a", "b", "c"]
OPENING = 1  # the id that texts begin with
PROMPT = [{"role": "user", "content": "the sun"}]
KNOBS = {"max_steps": 3, "batch_size": 6, "micro_batch": 3, "learning_rate": 1e-3, "user_tokens": 2}


def users_on(policy: Path, *, kind: str = INDIVIDUAL, width: int = 2):
    """Return a tiny policy that knows three users, each with numbers of their own."""
    model, tokenizer = load_policy(str(policy))
    wide = model.get_input_embeddings().embedding_dim
    draw = torch.Generator().manual_seed(0)
    shape, own = ((4, width, wide), (3, 4)) if kind == CLUSTERS else ((width, wide), (3, width, wide))
    shared, own = (torch.randn(size, generator=draw) for size in (shape, own))
    users = UserTokens(NAMES, shared, own, opening=[OPENING])
    users.attach(model)
    return model, tokenizer, users


def said(model: nn.Module, users: UserTokens, ids: list[int], user: str) -> torch.Tensor:
    return next_logits(model, [users.before(ids, user)])[0]


@pytest.mark.parametrize("kind", [INDIVIDUAL, CLUSTERS])
def test_users_are_kept_and_forgotten_one_by_one(tmp_path, policy, kind):
    """What is read back is what was said before; without `b` the others hear the very same, and `b` what anybody does.

    Who has each other's names hears what the other heard.
    """
    model, tokenizer, users = users_on(policy, kind=kind)
    ids = encode_prompt(tokenizer, PROMPT)
    before = {name: said(model, users, ids, name) for name in [*NAMES, "stranger"]}
    assert torch.equal(before["stranger"], next_logits(load_policy(str(policy))[0], [ids])[0])
    assert all(not torch.allclose(before[one], before[other]) for one, other in (("a", "b"), ("a", "stranger")))
    users.save(tmp_path / USERS_FILE)
    assert known_users(tmp_path) == NAMES

    def heard(name: str) -> torch.Tensor:
        fresh, _ = load_policy(str(policy))
        found = load_users(str(tmp_path), fresh)
        assert found is not None and not any(p.requires_grad for p in found.parameters())
        return said(fresh, found, ids, name)

    assert torch.equal(heard("b"), before["b"])
    assert forget(tmp_path, "b") and not forget(tmp_path, "b") and known_users(tmp_path) == ["a", "c"]
    assert torch.equal(heard("a"), before["a"]) and torch.equal(heard("c"), before["c"])
    assert torch.equal(heard("b"), before["stranger"])
    users.users = {"a": 1, "b": 0, "c": 2}
    assert torch.equal(said(model, users, ids, "a"), before["b"])
    assert torch.equal(said(model, users, ids, "b"), before["a"])
    for name in ("a", "c"):
        assert forget(tmp_path, name)
    assert torch.equal(heard("a"), before["stranger"]) and known_users(tmp_path) == []


def test_a_user_s_tokens_stand_behind_the_opening_and_are_read_as_embeddings(policy):
    """The same numbers come out where the embeddings are put between those of the text by hand."""
    model, _, users = users_on(policy)
    bos, word, end = OPENING, 40, 2
    V = model.get_input_embeddings().num_embeddings
    assert users.before([bos, word], "b") == [bos, V + 2, V + 3, word]
    assert users.before([word], "b") == [V + 2, V + 3, word] and users.before([word], "?") == [word]
    table = model.get_input_embeddings().weight
    embedded = torch.cat([table[bos : bos + 1], users.shared + users.own[1], table[word : word + 1]])
    by_hand = model(inputs_embeds=embedded[None]).logits[0, -1]
    torch.testing.assert_close(said(model, users, [bos, word], "b"), by_hand)
    # Of sequences of unequal length, with and without an opening, at once; in both ways to read a pair's prompt.
    sequences = [([bos, word, 41], [42, end]), ([word], [42, 43, end]), ([bos, word, 41], [44, 45, 46, end])]
    sequences.append(([word], [47, end]))
    tokens = users.placed(pad(sequences, 0), torch.tensor([1, 2, 1, 2]))
    each = [
        logps(model, pad([(users.before(p, NAMES[u]), c)], 9)) for (p, c), u in zip(sequences, [1, 2] * 2, strict=True)
    ]
    torch.testing.assert_close(logps(model, tokens), torch.cat(each))
    torch.testing.assert_close(pair_logps(model, tokens), torch.cat(each))


def batch_of(users: UserTokens, of: list[int]) -> Pairs:
    sequences = [([1, 40 + n], [50 + n, 51, 2][: 2 + n % 2]) for n in range(len(of))]
    sequences += [([1, 40 + n], [60 + n, 2]) for n in range(len(of))]
    extra = {"user": torch.tensor(of), "annotator_weight": torch.ones(len(of))}
    return Pairs(pad(sequences, 0), torch.ones(len(of)), torch.linspace(-9, -5, 2 * len(of)), extra)


def test_the_loss_is_a_user_s_and_anybody_s_with_the_pull_spread_over_the_user_s_pairs(policy):
    """α ℓ_u + λ |o_u|²/n_u + (1 - α) ℓ of each pair, and (1 - α) ℓ alone of a pair of nobody known."""
    model, _, users = users_on(policy)
    users.pairs = torch.tensor([1.0, 4.0, 2.0])
    batch = batch_of(users, [1, -1, 2])
    loss = partial(dpo, beta=0.1, label_smoothing=0.0)

    def found(alpha: float, penalty: float = 0.0, some: Pairs = batch):
        return personal_pairs(
            model, some, loss, alpha=alpha, user_penalty=penalty, text_alone=0.5, annotator_weights=False
        ).loss

    whose, generic = found(1.0), found(0.0)
    own = pair_logps(model, users.placed(batch.tokens, torch.tensor([1, 0, 2] * 2))) - batch.reference_logps
    expected = loss(*own.chunk(2)) * torch.tensor([1.0, 0.0, 1.0])
    torch.testing.assert_close(whose, expected)
    torch.testing.assert_close(found(0.25), 0.25 * whose + 0.75 * generic)
    squared = users.own.square().sum((1, 2))
    pulled = found(0.25, 0.1) - found(0.25)
    torch.testing.assert_close(
        pulled, 0.1 * torch.stack([squared[1] / 4, squared[0] * 0, squared[2] / 2]), atol=1e-5, rtol=1e-4
    )
    # Padding and company change nothing.
    alone = []
    for row in range(3):
        one = replace(
            batch,
            tokens=batch.tokens.rows([row, 3 + row]),
            reference_logps=batch.reference_logps[[row, 3 + row]],
            extra={name: values[[row]] for name, values in batch.extra.items()},
            strength=torch.ones(1),
        )
        alone.append(found(0.5, 0.1, one))
    torch.testing.assert_close(torch.cat(alone), found(0.5, 0.1))


def trained(do, into: str, **more):
    spec, result = do(more.pop("recipe", "dpo-personal"), into=into, **KNOBS | more)
    folder = Path(spec.output)
    return folder, result, load_file(folder / "model" / "model.safetensors")


def test_with_alpha_zero_it_is_plain_dpo_and_the_reference_never_hears_of_users(do, policy):
    rows = pair_rows(12)
    plain = {name: value for name, value in KNOBS.items() if name != "user_tokens"}
    spec, _ = do("dpo", into="plain", model=policy, rows=rows, **plain)
    expected = load_file(Path(spec.output) / "model" / "model.safetensors")
    folder, _, weights = trained(do, "none", model=policy, rows=rows, alpha=0.0)
    assert set(weights) == set(expected)
    assert all(torch.allclose(weights[name], expected[name], atol=1e-7, rtol=0) for name in expected)
    users = users_in(str(folder / "model"))
    assert users is not None and not users.own.any()
    numbers = [load_file(one / "reference.safetensors")["logps"] for one in (folder, Path(spec.output))]
    assert torch.equal(*(torch.nan_to_num(one) for one in numbers))


def test_people_who_trade_their_names_trade_their_soft_prompts_however_the_batch_is_cut(do, policy):
    rows = pair_rows(12)
    folder, _, weights = trained(do, "one", model=policy, rows=rows, user_penalty=0.0)
    traded = {"person 0": "person 2", "person 2": "person 0"}
    others = [{**row, "annotator": traded.get(row["annotator"], row["annotator"])} for row in rows]
    other, _, same = trained(do, "other", model=policy, rows=others, user_penalty=0.0, micro_batch=1)
    assert all(torch.allclose(weights[name], same[name], atol=1e-5) for name in weights)
    mine, theirs = users_in(str(folder / "model")), users_in(str(other / "model"))
    assert list(mine.users) == ["person 0", "person 1", "person 2"] and mine.own.abs().min(0).values.max() > 0
    torch.testing.assert_close(mine.own, theirs.own[[2, 1, 0]], atol=1e-5, rtol=1e-3)
    # A policy that knows users goes on with them, and meets new ones.
    more = [*rows, {**pair_rows(13)[12], "annotator": "newcomer"}]
    again, _, _ = trained(do, "again", model=folder / "model", rows=more, user_rate=0.0, eval_share=0.0)
    known = users_in(str(again / "model"))
    torch.testing.assert_close(known.own[1:], mine.own)
    assert next(iter(known.users)) == "newcomer" and not known.own[0].any()
    with pytest.raises(RunError, match="Give rows with an annotator"):
        trained(do, "nobody", model=policy, rows=[{**row, "annotator": None} for row in rows])


def test_a_mixture_of_soft_prompts_is_trained(do, policy):
    folder, _, _ = trained(do, "mixed", model=policy, rows=pair_rows(12), user_model="clusters", user_clusters=3)
    users = users_in(str(folder / "model"))
    assert users.kind == CLUSTERS and users.shared.shape[:2] == (3, 2) and users.own.shape == (3, 3)
    assert users.own.any()


def test_the_report_counts_by_user(do, policy):
    rows = [{**row, "annotator": f"person {n % 3}"} for n, row in enumerate(pair_rows(30))]
    folder, result, _ = trained(do, "run", model=policy, rows=rows, eval_share=0.5)
    told = json.loads((folder / result.files["users"]).read_text())["users"]
    assert [row["user"] for row in told] == ["person 0", "person 1", "person 2"]
    assert sum(row["trained_on"] for row in told) == result.counts["trained_on"]
    assert sum(row["pairs"] for row in told) == result.counts["held_out"] == result.metrics["eval_accuracy"]["n"]
    right = sum(row["win_rate"] * row["pairs"] for row in told) / result.counts["held_out"]
    assert right == pytest.approx(result.metrics["eval_accuracy"]["estimate"])
    assert result.counts["users"] == result.counts["users_measured"] == 3


def test_sampling_and_comparing_answer_as_the_policy_answers_the_user(do, policy, tmp_path):
    """Somebody unknown gets what anybody gets; the distance from the policy before is that of what the user gets."""
    _, _, users = users_on(policy, width=2)
    folder = tmp_path / "personal"
    shutil.copytree(policy, folder)
    users.save(folder / USERS_FILE)
    few = {"model": folder, "rows": prompt_rows(3), "samples_per_prompt": 2, "max_new_tokens": 6}
    said, notes = {}, {}
    for user in ("", "a", "b", "stranger"):
        spec, result = do("sample", into=f"as-{user}", user=user, **few)
        lines = (Path(spec.output) / "samples.jsonl").read_text().splitlines()
        said[user] = [[one["text"] for one in json.loads(line)["completions"]] for line in lines]
        notes[user] = [note for note in result.notes if "does not know" in note]
    assert said["stranger"] == said[""] and said["a"] != said[""] and said["b"] not in (said[""], said["a"])
    assert notes["stranger"] and not notes["a"] and not notes[""]

    # Each prompt as whom its row names; a row that names nobody as anybody.
    rows = [
        {**row, **({"user": user} if user else {})} for row, user in zip(prompt_rows(3), ("a", "", "b"), strict=True)
    ]
    spec, result = do("sample", into="each", **{**few, "rows": rows})
    lines = [json.loads(line) for line in (Path(spec.output) / "samples.jsonl").read_text().splitlines()]
    assert [line.get("user", "") for line in lines] == ["a", "", "b"]
    each = [[one["text"] for one in line["completions"]] for line in lines]
    assert each == [said["a"][0], said[""][1], said["b"][2]]
    assert not any("whom it answered" in note for note in result.notes)
    told = do("compare", into="each-compared", reference=str(policy), **{**few, "rows": rows[:1]})[1]
    alone = do("compare", into="a-compared", reference=str(policy), user="a", **{**few, "rows": rows[:1]})[1]
    assert told.metrics["kl"] == alone.metrics["kl"]
    notes = do("sample", into="none", model=policy, rows=rows[:1])[1].notes
    assert any("does not know 1 of the people" in note for note in notes)

    apart = {
        user: do("compare", into=f"compared-{user}", reference=str(policy), user=user, **few)[1].metrics["kl"][
            "estimate"
        ]
        for user in ("", "a")
    }
    assert apart[""] == pytest.approx(0, abs=1e-9), "to anybody it is the policy that it was"
    assert abs(apart["a"]) > 1e-3
