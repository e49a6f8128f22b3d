"""Stands in for vLLM 0.30, which needs a GPU: takes the calls that its offline interface takes, and no other.

Draws by whole forward passes of the Hugging Face model, without a cache. As vLLM does, it refuses n above 1 for greedy
decoding, seeds the n answers of a prompt one after the other, keeps an adapter under its number however its folder
changes, and returns the stop token with the tokens. `LLM.made` are those that were started.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from peft import PeftModel
from transformers import AutoConfig, AutoModelForCausalLM

from vllm.lora.request import LoRARequest


@dataclass
class SamplingParams:
    n: int = 1
    repetition_penalty: float = 1.0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    stop_token_ids: list[int] | None = None
    ignore_eos: bool = False
    max_tokens: int | None = 16
    detokenize: bool = True

    def __post_init__(self) -> None:
        if self.temperature < 1e-5 and self.n > 1:
            raise ValueError(f"n must be 1 when using greedy sampling, got {self.n}.")
        if (self.top_p, self.top_k, self.min_p, self.repetition_penalty) != (1.0, 0, 0.0, 1.0):
            raise ValueError("This stand-in draws from the whole distribution alone.")
        if not self.ignore_eos or self.detokenize:
            raise ValueError("This stand-in has no tokenizer, and so no token of its own that ends a text.")


@dataclass
class CompletionOutput:
    index: int
    token_ids: Sequence[int]
    finish_reason: str
    cumulative_logprob: float


@dataclass
class RequestOutput:
    prompt_token_ids: list[int]
    outputs: list[CompletionOutput]


class LLM:
    made: ClassVar[list[LLM]] = []

    def __init__(
        self,
        model: str,
        *,
        skip_tokenizer_init: bool = False,
        trust_remote_code: bool = False,
        dtype: str = "auto",
        seed: int = 0,
        gpu_memory_utilization: float = 0.9,
        max_model_len: int | None = None,
        enable_lora: bool = False,
        max_loras: int = 1,
        max_lora_rank: int = 16,
        generation_config: str = "auto",
    ) -> None:
        if max_lora_rank not in (1, 8, 16, 32, 64, 128, 256, 320, 512):
            raise ValueError(f"max_lora_rank cannot be {max_lora_rank}")
        if not skip_tokenizer_init or generation_config != "vllm" or not 0 < gpu_memory_utilization < 1:
            raise ValueError("Asked otherwise than this stand-in can.")
        context = AutoConfig.from_pretrained(model).max_position_embeddings
        if max_model_len is not None and max_model_len > context:
            raise ValueError(f"max_model_len {max_model_len} is greater than {context}")
        self.base, self.longest = model, max_model_len or context
        self.adapters: dict[int, Any] = {}
        self.enable_lora, self.max_lora_rank = enable_lora, max_lora_rank
        self.calls = 0
        LLM.made.append(self)

    def generate(
        self,
        prompts: Sequence[dict[str, list[int]]],
        sampling_params: Sequence[SamplingParams],
        *,
        use_tqdm: bool = True,
        lora_request: LoRARequest | None = None,
    ) -> list[RequestOutput]:
        if lora_request is not None and not self.enable_lora:
            raise ValueError("LoRA is not enabled!")
        self.calls += 1
        model = self._model(lora_request)
        outputs = []
        for prompt, asked in zip(prompts, sampling_params, strict=True):
            if set(prompt) != {"prompt_token_ids"} or len(prompt["prompt_token_ids"]) >= self.longest:
                raise ValueError("The prompt is no list of tokens, or too long.")
            drawn = [self._drawn(model, prompt["prompt_token_ids"], asked, index) for index in range(asked.n)]
            outputs.append(RequestOutput(prompt["prompt_token_ids"], drawn))
        return outputs

    def _model(self, asked: LoRARequest | None) -> Any:
        number = asked.lora_int_id if asked else 0
        if number not in self.adapters:
            model = AutoModelForCausalLM.from_pretrained(self.base, dtype=torch.float32)
            if asked is not None:
                model = PeftModel.from_pretrained(model, asked.lora_path)
                if model.peft_config["default"].r > self.max_lora_rank:
                    raise ValueError("LoRA rank is greater than max_lora_rank")
            self.adapters[number] = model.eval()
        return self.adapters[number]

    @torch.inference_mode()
    def _drawn(self, model: Any, prompt: list[int], asked: SamplingParams, index: int) -> CompletionOutput:
        ids = list(prompt)
        chance = torch.Generator().manual_seed((asked.seed or 0) + index)
        for _ in range(asked.max_tokens or 16):
            logits = model(input_ids=torch.tensor([ids])).logits[0, -1].float()
            if asked.temperature < 1e-5:
                token = int(logits.argmax())
            else:
                token = int(torch.multinomial((logits / asked.temperature).softmax(-1), 1, generator=chance))
            ids.append(token)
            if token in (asked.stop_token_ids or ()):
                return CompletionOutput(index, ids[len(prompt) :], "stop", -999.0)
        return CompletionOutput(index, ids[len(prompt) :], "length", -999.0)  # nobody is to believe these nats
