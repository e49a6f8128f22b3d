"""Completions drawn by vLLM instead of `decode`, where it is installed, there is a GPU, and it can do what is asked.

The one module that imports vLLM, and only where it is used. Written against vLLM 0.28 to 0.30 (of which
`pyproject.toml` says why); tried with a stand-in that takes the same calls, and never on a GPU.

`Engine.generate` takes what `decode.generate` takes and returns the same: prompts and completions are tokens, so that
no text is cut into tokens twice, and a temperature alone shapes the distribution. Log-probabilities are never vLLM's:
its kernels round otherwise, and of what was drawn the policy's own forward pass says how likely it is. Each prompt has
its own seed as there; the answers of a seed are others than `decode` gives.

Which one draws is told by ``ATTUNE_SAMPLER``: ``auto`` (vLLM where it can, else our own), ``own``, or ``vllm`` (refused
where it cannot).
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn

from training.core.backbone import ADAPTER_FILE, adapter_base, is_adapter
from training.core.decode import Draw, completion_logps, places_of_images
from training.core.job import Job, RunError
from training.recipes.note import Note

CHOICES = ("auto", "own", "vllm")
ROWS_AT_ONCE = 8  # completions whose log-probabilities are computed in one forward pass
# The ranks that vLLM makes room for; an adapter takes the next one.
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)


class Engine:
    """vLLM with a policy's weights: a whole model, or a base and the newest adapter on it.

    It holds a copy of the weights of its own on the GPU, which `renewed` keeps at the policy's. It is started by the
    first draw, with `memory` as its share of the GPU, and reads at most `longest` tokens (None: what the model can).
    """

    def __init__(
        self,
        base: str,
        *,
        adapter: Path | None = None,
        rank: int = 0,
        memory: float = 0.3,
        longest: int | None = None,
        dtype: str = "auto",
        trust_remote_code: bool = False,
    ) -> None:
        self.base = base
        self.adapter = adapter
        self.rank = rank
        self.settings: dict[str, Any] = {
            "dtype": dtype,
            "gpu_memory_utilization": memory,
            "max_model_len": longest,
            "trust_remote_code": trust_remote_code,
        }
        self.number = 1 if adapter else 0  # of the adapter: vLLM keeps what it has read under a number
        self._llm: Any = None

    def renewed(self, policy: nn.Module, folder: Path) -> None:
        """Have the next draws come from the `policy` as it is now, whose adapter is written to `folder` for that.

        Under a number of its own, as vLLM would answer with what it has read under the old one; what it has cached of
        prompts goes by that number too. The adapter before it is removed.
        """
        assert isinstance(policy, PeftModel)
        before, self.number = self.adapter, self.number + 1
        self.adapter = folder / str(self.number)
        shutil.rmtree(self.adapter, ignore_errors=True)
        policy.save_pretrained(str(self.adapter))
        if before is not None and before.parent == folder:
            shutil.rmtree(before, ignore_errors=True)

    def completions(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        n: int,
        temperature: float,
        max_new_tokens: int,
        stop: frozenset[int],
        seeds: Sequence[int],
    ) -> list[list[tuple[list[int], bool]]]:
        """Return n completions of each prompt as (ids up to and including the stop token, whether it came to one)."""
        from vllm import SamplingParams

        greedy = temperature == 0
        asked = [
            SamplingParams(
                n=1 if greedy else n,  # vLLM refuses to be asked twice for what is the same
                temperature=temperature,
                top_p=1.0,
                top_k=0,
                min_p=0.0,
                repetition_penalty=1.0,
                seed=None if greedy else seed % 2**31,
                max_tokens=max_new_tokens,
                stop_token_ids=sorted(stop),
                ignore_eos=True,  # it is among the tokens that stop, where it is one of them
                detokenize=False,
            )
            for seed in seeds
        ]
        outputs = self._started().generate(
            [{"prompt_token_ids": list(ids)} for ids in prompts],
            sampling_params=asked,
            use_tqdm=False,
            lora_request=self._request(),
        )
        found = []
        for ids, output in zip(prompts, outputs, strict=True):
            if list(output.prompt_token_ids) != list(ids):
                raise RunError(Note("vLLM answered another prompt than it was asked. Set TRAIN_SAMPLER to own."))
            rows = [_drawn(one, stop) for one in sorted(output.outputs, key=lambda one: one.index)]
            found.append(rows * n if greedy else rows)
        return found

    def generate(
        self,
        model: nn.Module,
        prompts: Sequence[Sequence[int]],
        *,
        n: int,
        temperature: float,
        max_new_tokens: int,
        stop: frozenset[int],
        seeds: Sequence[int],
        watch: Callable[[Sequence[Sequence[int]]], None] | None = None,
        pictures: Sequence[Mapping[str, Tensor]] = (),
    ) -> list[list[Draw]]:
        """Return n completions for each of the prompts as `decode.generate` does, with the nats that `model` gives.

        RunError where there are images to look at, or somebody to `watch`: our own decoding does that.
        """
        if watch is not None or any(pictures):
            raise RunError(Note("vLLM is asked for whole answers to text alone. Set TRAIN_SAMPLER to own."))
        sampling: dict[str, Any] = {"temperature": temperature, "max_new_tokens": max_new_tokens}
        drawn = self.completions(prompts, n=n, stop=stop, seeds=seeds, **sampling)
        rows = [(prompt, ids) for prompt, several in zip(prompts, drawn, strict=True) for ids, _ in several]
        logps = _logps(model, rows, temperature=1.0)
        if temperature == 0:
            sampled = [0.0] * len(rows)
        else:
            sampled = logps if temperature == 1 else _logps(model, rows, temperature=temperature)
        draws = [
            Draw(ids=ids, logp=one, sampled_logp=other, ended=ended)
            for (ids, ended), one, other in zip(itertools.chain.from_iterable(drawn), logps, sampled, strict=True)
        ]
        return [draws[start : start + n] for start in range(0, len(draws), n)]

    def _started(self) -> Any:
        if self._llm is None:
            from vllm import LLM

            room = next((one for one in RANKS if one >= self.rank), RANKS[-1])
            adapters = {"enable_lora": True, "max_loras": 1, "max_lora_rank": room} if self.rank else {}
            self._llm = LLM(
                model=self.base,
                skip_tokenizer_init=True,
                generation_config="vllm",  # nothing of the folder's own: all is said with each prompt
                seed=0,
                **self.settings,
                **adapters,
            )
        return self._llm

    def _request(self) -> Any:
        if self.adapter is None:
            return None
        from vllm.lora.request import LoRARequest

        return LoRARequest(
            lora_name=f"attune-{self.number}", lora_int_id=self.number, lora_path=str(self.adapter.resolve())
        )


def for_folder(
    job: Job, path: str, model: nn.Module, *, prefixed: bool = False, at_hand: bool = False
) -> tuple[Engine | None, list[Note]]:
    """Return vLLM for the policy in `path`, or None where our own decoding is to draw, and what is to be said of that.

    RunError where vLLM was asked for by name and cannot. `prefixed`: its prompts begin with a user's own tokens;
    `at_hand`: the `model` is not what the folder holds.
    """
    if _asked() == "own":
        return None, []
    reason = _lacking(job, model)
    if reason is None and prefixed:
        reason = Note("vLLM does not know the tokens of a policy's users.")
    if reason is None and at_hand:
        reason = Note("vLLM reads weights from a folder, and this policy is in none.")
    if reason is None and is_adapter(path):
        reason = _beyond(json.loads((Path(path) / ADAPTER_FILE).read_text()))
    if reason is not None:
        return _without(reason)
    base, adapter, rank = path, None, 0
    if is_adapter(path):
        adapter = Path(path)
        base, rank = adapter_base(path), int(json.loads((adapter / ADAPTER_FILE).read_text())["r"])
    made = Engine(base, adapter=adapter, rank=rank, memory=_memory(), trust_remote_code=job.spec.trust_remote_code)
    return made, [_SAID]


def for_training(job: Job, path: str, policy: nn.Module, *, longest: int) -> tuple[Engine | None, list[Note]]:
    """Return vLLM for a policy that is trained from `path`, or None, and what is to be said of that, as `for_folder`.

    Its weights are renewed by writing the adapter anew, so that a policy of which all weights change is refused.
    """
    if _asked() == "own":
        return None, []
    reason = _lacking(job, policy)
    if reason is None and not isinstance(policy, PeftModel):
        reason = Note(
            "All weights of this policy change with each update, and vLLM is given an adapter alone. Set lora_rank."
        )
    if reason is not None:
        return _without(reason)
    assert isinstance(policy, PeftModel)
    base = adapter_base(path) if is_adapter(path) else path
    rank = int(policy.peft_config[policy.active_adapter].r)  # type: ignore[attr-defined, index]
    trust = job.spec.trust_remote_code
    return Engine(base, rank=rank, memory=_memory(), longest=longest, trust_remote_code=trust), [_SAID]


_SAID = Note("The answers were drawn by vLLM; their log-probabilities are the policy's own.")


def _asked() -> str:
    told = os.environ.get("ATTUNE_SAMPLER") or "auto"
    if told not in CHOICES:
        raise RunError(Note("ATTUNE_SAMPLER is {told}. Set it to auto, own or vllm.", told=told))
    return told


def _memory() -> float:
    told = os.environ.get("ATTUNE_SAMPLER_MEMORY") or "0.3"
    try:
        share = float(told)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise RunError(Note("ATTUNE_SAMPLER_MEMORY is {told}. Set it to a share of the GPU's memory.", told=told))
    return share


def _lacking(job: Job, model: nn.Module) -> Note | None:
    """Return why vLLM cannot draw from the model here, or None."""
    if not _has_gpu(job):
        return Note("vLLM needs a GPU, and there is none.")
    if importlib.util.find_spec("vllm") is None:
        return Note("vLLM is not installed. Install attune[vllm].")
    if job.world_size > 1:
        return Note("vLLM draws for a run of one process, and this one has {n}.", n=job.world_size)
    if places_of_images(model):
        return Note("vLLM is given text alone here, and this policy reads images.")
    return None


def _has_gpu(job: Job) -> bool:
    return job.device.type == "cuda"


def _beyond(adapter: Mapping[str, Any]) -> Note | None:
    """Return what of an adapter's configuration vLLM has no counterpart of, or None."""
    for name, usual in (("use_dora", False), ("modules_to_save", None), ("bias", "none"), ("peft_type", "LORA")):
        if adapter.get(name, usual) != usual:
            return Note("vLLM has no counterpart of {name} in this adapter. Merge it first.", name=name)
    if int(adapter["r"]) > RANKS[-1]:
        return Note("vLLM has adapters up to rank {n}. Merge it first.", n=RANKS[-1])
    return None


def _without(reason: Note) -> tuple[None, list[Note]]:
    if _asked() == "vllm":
        raise RunError(Note.together([reason, Note("Or set TRAIN_SAMPLER to auto.")]))
    # Where vLLM is not at hand at all, nobody waits for it.
    waited = torch.cuda.is_available() and importlib.util.find_spec("vllm") is not None
    return None, [Note.together([reason, Note("Our own decoding drew the answers.")])] if waited else []


def _drawn(one: Any, stop: frozenset[int]) -> tuple[list[int], bool]:
    ids = [int(token) for token in one.token_ids]
    ended = one.finish_reason == "stop"
    if not ids or ended != (ids[-1] in stop):
        raise RunError(Note("This version of vLLM tells the end of an answer otherwise. Set TRAIN_SAMPLER to own."))
    return ids, ended


def _logps(model: nn.Module, rows: Sequence[tuple[Sequence[int], Sequence[int]]], *, temperature: float) -> list[float]:
    """Return the nats of each (prompt, completion), a few at a time and those of about one length together."""
    order = sorted(range(len(rows)), key=lambda row: len(rows[row][0]) + len(rows[row][1]))
    found = [0.0] * len(rows)
    for start in range(0, len(order), ROWS_AT_ONCE):
        some = order[start : start + ROWS_AT_ONCE]
        told = completion_logps(
            model, [rows[row][0] for row in some], [rows[row][1] for row in some], temperature=temperature
        )
        for row, nats in zip(some, told, strict=True):
            found[row] = nats
    return found
