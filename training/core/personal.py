"""A policy that answers each of its users differently: a soft prompt of each user's own. arXiv:2402.05133.

A user's T tokens are ids above the vocabulary, V + T·u + t. The table of embeddings is told to look these up among the
users; to everything else, padding, positions, the shared prompt and the cache of what is read, they are tokens as any
other. So a user is a number from the data to the model, and no name ever stands in a text.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from training.core.batch import Tokens
from training.core.collate import Example
from training.core.job import Job, RunError
from training.core.stats import bootstrap_mean
from training.recipes.note import Note
from training.recipes.spec import write_json
from training.recipes.users_file import PREFIX, PROFILE_TOKENS, USERS_FILE

INDIVIDUAL, CLUSTERS = "individual", "clusters"
NAME = "user_tokens"  # of the module on the model
REPORT_FILE = "users.json"
NOBODY = -1  # in the place of a user's number


class UserTokens(nn.Module):
    """The soft prompts of U users, T tokens each as wide as the model's embeddings, D.

    ``individual``: e_u = e_0 + o_u, with e_0 shared. ``clusters``: e_u = Σ_k softmax(w_u)_k V_k, K soft prompts shared.
    Somebody unknown has no tokens at all, so that the generic policy is the model as it stands, for every program that
    reads its folder. (The paper gives e_0 to somebody unknown; here e_0 is what the known ones have in common.)
    """

    pairs: Tensor  # (U,)

    def __init__(
        self,
        users: Sequence[str],
        shared: Tensor,
        own: Tensor,
        *,
        opening: Sequence[int],
        rate: float = 0.0,
        profile_tokens: int = 0,
    ):
        """`shared` is (T, D) with `own` (U, T, D), or (K, T, D) with (U, K); texts begin with an id of `opening`.

        Of what somebody says of their wishes the policy reads `profile_tokens`; 0 where it has not learned to.
        """
        super().__init__()
        self.users = {user: number for number, user in enumerate(users)}
        self.shared = nn.Parameter(shared)
        self.own = nn.Parameter(own)
        self.register_buffer("pairs", torch.ones(len(users)), persistent=False)  # that each is trained on
        self.opening = tuple(opening)
        self.rate = rate  # the learning rate of these numbers
        self.profile_tokens = profile_tokens
        self.first = 0  # the lowest id of a user's token

    @property
    def kind(self) -> str:
        return CLUSTERS if self.shared.dim() == 3 else INDIVIDUAL

    @property
    def length(self) -> int:
        """The tokens of a user, T."""
        return self.shared.shape[-2]

    def forward(self, users: Tensor, places: Tensor) -> Tensor:
        """Return the embeddings (N, D) of tokens `places` (N,) of `users` (N,)."""
        if self.kind == INDIVIDUAL:
            return self.shared[places] + self.own[users, places]
        weights = self.own.softmax(-1)[users]  # (N, K)
        return torch.einsum("nk,knd->nd", weights, self.shared[:, places])

    def size(self, users: Tensor) -> Tensor:
        """Return |o_u|² of users (N,) over the pairs that each is trained on, (N,): summed over the data, |o_u|²."""
        return self.own[users].flatten(1).square().sum(-1) / self.pairs[users]

    def ids(self, user: int) -> list[int]:
        start = self.first + self.length * user
        return list(range(start, start + self.length))

    def before(self, prompt: Sequence[int], user: str) -> list[int]:
        """Return a prompt's ids with the user's tokens behind its opening; as they are for somebody unknown."""
        number = self.users.get(user)
        if number is None:
            return list(prompt)
        opened = int(bool(prompt) and prompt[0] in self.opening)
        return [*prompt[:opened], *self.ids(number), *prompt[opened:]]

    def placed(self, tokens: Tokens, users: Tensor) -> Tokens:
        """Return sequences (B, T), padded on the right, each with the tokens of its user (B,) behind its opening."""
        assert not tokens.pictures and len(users) == len(tokens)
        start = self.first + self.length * users.unsqueeze(1)
        asked = start + torch.arange(self.length, device=users.device)  # (B, T_u)
        opening = torch.tensor(self.opening, dtype=torch.long, device=users.device)
        opened = torch.isin(tokens.input_ids[:, :1], opening)  # (B, 1)

        def joined(own: Tensor, values: Tensor) -> Tensor:
            behind = torch.cat([values[:, :1], own, values[:, 1:]], 1)
            return torch.where(opened, behind, torch.cat([own, values], 1))

        return Tokens(
            joined(asked, tokens.input_ids),
            joined(torch.ones_like(asked), tokens.attention_mask),
            joined(torch.zeros_like(asked, dtype=torch.bool), tokens.completion_mask),
        )

    def attach(self, model: nn.Module) -> None:
        """Make this part of `model`: trained, moved and kept with it, and read where an id is a user's."""
        table: nn.Embedding = model.get_input_embeddings()  # type: ignore[operator, assignment]
        self.first = int(table.num_embeddings)
        setattr(model, NAME, self)
        asked: list[Tensor] = []

        def known(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            asked[:] = [args[0]]
            return (args[0].clamp(max=self.first - 1), *args[1:])

        def looked_up(module: nn.Module, args: tuple[Any, ...], out: Tensor) -> Tensor:
            ids = asked.pop()
            theirs = ids >= self.first
            if not bool(theirs.any()):
                return out
            numbers = ids[theirs] - self.first
            rows = self(numbers // self.length, numbers % self.length).to(out.dtype)
            return out.masked_scatter(theirs.unsqueeze(-1), rows)

        table.register_forward_pre_hook(known)
        table.register_forward_hook(looked_up)

    def save(self, path: Path) -> None:
        numbers = {"shared": self.shared} | {PREFIX + user: self.own[number] for user, number in self.users.items()}
        # In one entry: of several, the order in the file is by chance.
        about = {"kind": self.kind, "opening": self.opening, PROFILE_TOKENS: self.profile_tokens}
        told = {"users": json.dumps(about)}
        save_file({name: value.detach().float().cpu().contiguous() for name, value in numbers.items()}, path, told)


def users_of(model: nn.Module) -> UserTokens | None:
    """Return the users that are attached to a model."""
    found = model._modules.get(NAME)
    assert found is None or isinstance(found, UserTokens)
    return found


@contextmanager
def apart(model: nn.Module) -> Iterator[UserTokens | None]:
    """Within it, the model has no users, as it is saved for programs that know nothing of them."""
    users = users_of(model)
    if users is not None:
        delattr(model, NAME)
    try:
        yield users
    finally:
        if users is not None:
            setattr(model, NAME, users)


def users_in(folder: str) -> UserTokens | None:
    """Return the users of the policy in a folder, not yet attached; None where it knows nobody."""
    path = Path(folder) / USERS_FILE
    if not path.is_file():
        return None
    with safe_open(path, framework="pt") as file:
        told = json.loads(file.metadata()["users"])
        shared = file.get_tensor("shared")
        names = sorted(name for name in file.keys() if name.startswith(PREFIX))  # noqa: SIM118 – it is no mapping
        width = (len(shared),) if told["kind"] == CLUSTERS else tuple(shared.shape)
        own = torch.stack([file.get_tensor(name) for name in names]) if names else torch.zeros(0, *width)
    return UserTokens(
        [name.removeprefix(PREFIX) for name in names],
        shared,
        own,
        opening=told["opening"],
        profile_tokens=told.get(PROFILE_TOKENS, 0),
    ).requires_grad_(False)


def load_users(folder: str, model: nn.Module) -> UserTokens | None:
    """Attach the users of the policy in `folder` to it, and return them; None where it knows nobody."""
    users = users_in(folder)
    if users is not None:
        users.to(next(model.parameters()).device)
        users.attach(model)
    return users


def seat(
    job: Job,
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    examples: list[Example],
    train: Sequence[int],
    *,
    user_tokens: int,
    user_model: str,
    user_clusters: int,
    user_rate: float,
    profile_tokens: int,
) -> list[Example]:
    """Attach a soft prompt for everybody who judged a row of `train`, and return the rows with their users' numbers.

    What is shared starts as embeddings of tokens of the data, drawn as often as they occur; o_u and w_u start at 0, so
    that at first everybody known is alike. A policy that knows users already goes on with them, where they are of this
    kind and length. It reads what people say of their wishes, `profile_tokens` of it, where a row of `train` has such a
    text or the policy before did.
    """
    counts = Counter(examples[i].annotator for i in train if examples[i].annotator)
    if not counts:
        raise RunError(
            Note("No row says who judged it, so that there is nobody to learn to answer. Give rows with an annotator.")
        )
    before = users_in(job.spec.model)
    goes_on = before is not None and before.kind == user_model and before.length == user_tokens
    goes_on = goes_on and before is not None and (user_model == INDIVIDUAL or len(before.shared) == user_clusters)
    names = sorted({*counts, *(before.users if before is not None and goes_on else ())})
    table = model.get_input_embeddings().weight.detach().float()  # type: ignore[operator, union-attr]
    if before is not None and goes_on:
        shared = before.shared.detach().clone()
    else:
        said = Counter(token for i in train for token in examples[i].prompt)
        tokens = sorted(said)
        many = user_tokens * (user_clusters if user_model == CLUSTERS else 1)
        drawn = torch.multinomial(torch.tensor([float(said[one]) for one in tokens]), many, replacement=True)
        shared = table[torch.tensor(tokens)[drawn].to(table.device)].cpu().clone()
        if user_model == CLUSTERS:
            shared = shared.view(user_clusters, user_tokens, -1)
    own = torch.zeros(len(names), *((user_clusters,) if user_model == CLUSTERS else shared.shape))
    if before is not None and goes_on:
        for name, number in before.users.items():
            own[names.index(name)] = before.own[number].detach()
    opening = {tokenizer.bos_token_id, tokenizer.cls_token_id} - {None}
    reads = any(examples[i].informed for i in train) or (before is not None and before.profile_tokens > 0)
    texts = profile_tokens if reads else 0
    users = UserTokens(names, shared, own, opening=sorted(opening), rate=user_rate, profile_tokens=texts)
    users.pairs = torch.tensor([float(max(counts[name], 1)) for name in names])
    users.attach(model)
    users.to(job.device)
    return [replace(example, user=users.users.get(example.annotator, NOBODY)) for example in examples]


def report(
    job: Job,
    users: UserTokens,
    examples: Sequence[Example],
    train: Sequence[int],
    told: dict[str, Tensor],
    held: Sequence[int],
) -> tuple[dict[str, Any], dict[str, int]]:
    """Return figures and counts of how the users' held-out pairs came out; leave ``users.json``, a row for each user.

    A user's win rate is the share of their pairs that the policy, answering them, puts right; beside it that of the
    generic policy. The worst decile is the mean over the tenth of the users, and one at least, with the lowest.
    """
    counts = Counter(examples[i].annotator for i in train)
    rows = []
    for name, number in users.users.items():
        theirs = [i for i in held if examples[i].user == number]
        row: dict[str, Any] = {"user": name, "trained_on": counts[name], "pairs": len(theirs)}
        for key, metric in (("win_rate", "accuracy"), ("generic", "generic_accuracy")):
            row[key] = fmean(float(told[metric][i]) for i in theirs) if theirs else None
        rows.append(row)
    if job.is_main:
        write_json(job.folder / REPORT_FILE, {"users": rows})
    known = [row for row in rows if row["pairs"]]
    figures: dict[str, Any] = {}
    if known:
        for key, name in (("win_rate", "user_win_rate"), ("generic", "generic_win_rate")):
            rates = sorted(row[key] for row in known)
            figures[name] = bootstrap_mean(rates)
            figures[name.replace("win_rate", "worst_decile")] = fmean(rates[: max(len(rates) // 10, 1)])
    return figures, {"users": len(rows), "users_measured": len(known)}
