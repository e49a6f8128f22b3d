"""Models from and to folders: policies, reward models, tokenizers, adapters.

A folder written here is one the Hugging Face libraries read: weights as safetensors, the tokenizer beside them, and
``attune.json``, which says what they cannot: the recipe, the base, and for a reward model its head and pooling.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from training.core.batch import Tokens
from training.core.heads import HEADS, POOLING, CritiqueHead, Head, ScalarHead, Scores, YesNoHead, prompt_end, scalar
from training.core.job import RunError
from training.core.personal import apart
from training.core.pictures import Album, Pictures
from training.core.shared_prompt import can_share, shared_ends
from training.recipes.note import Note
from training.recipes.spec import write_json
from training.recipes.users_file import USERS_FILE

HEAD_FILE = "head.safetensors"
NOTE_FILE = "attune.json"
ADAPTER_FILE = "adapter_config.json"
PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json")

HeadMaker = Callable[[int, Sequence[str], Head | None], Head]

PLAIN_NOTE = Note(
    "The tokenizer has no chat template, so conversations are written as plain text: Human: … "
    "Assistant: …. For a model that was trained on another form, put its chat_template into "
    "tokenizer_config.json."
)


def load_tokenizer(path: str, *, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a folder or hub name, with a chat template: its own, or the plain one."""
    tokenizer = _load(AutoTokenizer, path, trust_remote_code=trust_remote_code)
    if not tokenizer.chat_template:
        tokenizer.chat_template = plain_template(tokenizer)
    return tokenizer


def plain_template(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the template for a tokenizer without one. It opens with the token that the tokenizer opens texts with."""
    opening = {tokenizer.bos_token_id: tokenizer.bos_token, tokenizer.cls_token_id: tokenizer.cls_token}
    first = tokenizer("x")["input_ids"][0]
    opener = opening[first] if first is not None and first in opening else ""
    ending = tokenizer.eos_token or tokenizer.sep_token or ""
    return (
        f"{{{{ {opener!r} }}}}"
        "{% for message in messages %}"
        "{% if not loop.first %}{{ '\\n\\n' }}{% endif %}"
        "{{ {'user': 'Human', 'assistant': 'Assistant', 'system': 'System'}[message['role']] + ': ' }}"
        "{{ message['content'] }}"
        "{% if message['role'] == 'assistant' and loop.last %}{{ " + repr(ending) + " }}{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}{{ '\\n\\nAssistant:' }}{% endif %}"
    )


def has_plain_template(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Return whether conversations are written in the plain form because the tokenizer came without a template."""
    return tokenizer.chat_template == plain_template(tokenizer)


def pad_id_of(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the id to pad with. Any will do: what is real is known by mask, never by this value."""
    for candidate in (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.sep_token_id):
        if candidate is not None:
            return int(candidate)
    return 0


def longest_input(model: nn.Module) -> int:
    """Return how many tokens the model can read at once."""
    body = model.backbone if isinstance(model, RewardModel) else model
    config = body.config.get_text_config()  # type: ignore[union-attr, operator]
    longest = int(getattr(config, "max_position_embeddings", None) or 1_000_000)
    # RoBERTa and its kin count positions from behind the padding id.
    return longest - 2 if config.model_type in ("roberta", "xlm-roberta", "camembert") else longest


def is_adapter(path: str) -> bool:
    """Return whether the folder holds an adapter on some base instead of a whole model."""
    return (Path(path) / ADAPTER_FILE).exists()


def adapter_base(path: str) -> str:
    """Return the folder or hub name of the model that the adapter in the folder `path` stands on."""
    return _beside(json.loads((Path(path) / ADAPTER_FILE).read_text())["base_model_name_or_path"], path)


def load_policy(
    path: str,
    *,
    trust_remote_code: bool = False,
    dtype: torch.dtype = torch.float32,
    trainable: bool = False,
) -> tuple[PreTrainedModel | PeftModel, PreTrainedTokenizerBase]:
    """Return the causal language model and the tokenizer of a folder or hub name; an adapter stands on its base.

    The model is in evaluation mode, which is also how it is trained: with dropout the policy would differ from its
    reference before the first step. Only the adapter of an adapter folder can be `trainable`.
    """
    if is_adapter(path):
        base = adapter_base(path)
        auto = _policy_class(base, trust_remote_code)
        inner = _load(auto, base, trust_remote_code=trust_remote_code, dtype=dtype, weights=True)
        model = PeftModel.from_pretrained(inner, path, is_trainable=trainable)
    else:
        auto = _policy_class(path, trust_remote_code)
        model = _load(auto, path, trust_remote_code=trust_remote_code, dtype=dtype, weights=True)
    return model.eval(), load_tokenizer(path, trust_remote_code=trust_remote_code)


def _policy_class(path: str, trust_remote_code: bool) -> Any:
    """Return what loads the language model in `path`: with its eyes, where it has some."""
    config = _load(AutoConfig, path, trust_remote_code=trust_remote_code)
    sees = type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING and type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING
    return AutoModelForImageTextToText if sees else AutoModelForCausalLM


def _beside(base: str, path: str) -> str:
    """Return the base of the adapter in `path`: it may be written relative to the adapter's folder."""
    return str((Path(path) / base).resolve()) if (Path(path) / base).is_dir() else base


class RewardModel(nn.Module):
    """A backbone, a place to read its hidden state, and a head that turns it into one score or several."""

    def __init__(self, backbone: nn.Module, head: Head, *, pooling: str, base: str) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.pooling = pooling
        self.base = base

    def states(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        completion_mask: Tensor | None = None,
        images: Mapping[str, Tensor] | None = None,
    ) -> tuple[Tensor, ...]:
        """Return what the head reads of each sequence (B, T): the state (B, D) that it is judged by, and more."""
        hidden = self.backbone(input_ids=input_ids, attention_mask=attention_mask, **(images or {})).last_hidden_state
        pooled = POOLING[self.pooling](hidden, attention_mask)
        if not self.head.reads_prompt:
            return (pooled,)
        if completion_mask is None:
            raise RunError(Note("This reward model has to be told where the prompt ends."))
        return pooled, prompt_end(hidden, attention_mask, completion_mask)

    def outputs(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        completion_mask: Tensor | None = None,
        images: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Return the head's outputs (B, K), in the order of its names."""
        return self.head(*self.states(input_ids, attention_mask, completion_mask, images))

    def read(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        completion_mask: Tensor | None = None,
        images: Mapping[str, Tensor] | None = None,
    ) -> Scores:
        """Return the outputs with their names and, where the head has one, their spread."""
        states = self.states(input_ids, attention_mask, completion_mask, images)
        return Scores(self.head(*states), self.head.names, self.head.spread(states[0]))

    def scores(self, input_ids: Tensor, attention_mask: Tensor, completion_mask: Tensor | None = None) -> Tensor:
        """Return one score (B,) of each sequence (B, T); higher is better."""
        return self.head.combined(self.outputs(input_ids, attention_mask, completion_mask))

    def pair_outputs(self, tokens: Tokens) -> Tensor:
        """Return the outputs (2·P, K) of P pairs, the chosen ones first; their prompt is read once where it can be."""
        if self.pooling == "last" and not self.head.reads_prompt and not tokens.pictures and can_share(self.backbone):
            return self.head(shared_ends(self.backbone, tokens))
        return self.outputs(tokens.input_ids, tokens.attention_mask, tokens.completion_mask, tokens.images)

    def pair_scores(self, tokens: Tokens) -> Tensor:
        """Return the scores (2·P,) of P pairs, the chosen ones first."""
        return self.head.combined(self.pair_outputs(tokens))

    forward = scores

    @property
    def device(self) -> torch.device:
        return next(self.head.parameters()).device


def is_reward(path: str) -> bool:
    """Return whether the folder holds a reward model made here."""
    return (Path(path) / HEAD_FILE).exists()


def load_reward(
    path: str, *, trust_remote_code: bool = False, dtype: torch.dtype = torch.float32, trainable: bool = False
) -> RewardModel:
    """Return the reward model in a folder, in evaluation mode; its tokenizer is `load_tokenizer` of the same folder."""
    if not is_reward(path):
        raise RunError(Note("{path} is not a reward model. Train one with the recipe bradley-terry first.", path=path))
    note = json.loads((Path(path) / NOTE_FILE).read_text())
    if is_adapter(path):
        inner = _body(_beside(note["base"], path), trust_remote_code=trust_remote_code, dtype=dtype)
        backbone: nn.Module = PeftModel.from_pretrained(inner, path, is_trainable=trainable)
    else:
        backbone = _load(AutoModel, path, trust_remote_code=trust_remote_code, dtype=dtype, weights=True)
    if note["head"] not in HEADS:
        raise RunError(
            Note(
                "{path} has a head of the kind {head}, which this version does not know.", path=path, head=note["head"]
            )
        )
    head = HEADS[note["head"]](width_of(backbone), **note.get("settings", {}))
    head.load_state_dict(load_file(Path(path) / HEAD_FILE))
    return RewardModel(backbone, head, pooling=note["pooling"], base=note["base"]).eval()


def width_of(backbone: nn.Module) -> int:
    """Return the size of a backbone's hidden states."""
    return int(backbone.config.get_text_config().hidden_size)  # type: ignore[operator, union-attr]


def start_reward(
    path: str,
    *,
    head: HeadMaker = scalar,
    names: Sequence[str] = (),
    frozen: bool = False,
    lora_rank: int = 0,
    trust_remote_code: bool = False,
    dtype: torch.dtype = torch.float32,
) -> tuple[RewardModel, PreTrainedTokenizerBase]:
    """Return the reward model to train from `path`: itself if it is one, else a new head on that backbone.

    `head` makes the head out of the width of the states, the `names` of what the data rates, and the head that is
    there; it returns the latter where that is what is wanted.
    With a rank only an adapter and the head are trained: the adapter that `path` has, else a new one. A new head and
    a new adapter take their numbers from torch's global generator, so seed that first.
    """
    load: dict[str, Any] = {"trust_remote_code": trust_remote_code, "dtype": dtype}
    if is_reward(path):
        model = load_reward(path, trainable=lora_rank > 0, **load)
        model.backbone = _as_asked(model.backbone, lora_rank=lora_rank)
        model.head = head(width_of(model.backbone), names, model.head)
    else:
        body = _body(path, **load)
        pooling = "last" if _is_causal(body.config) else "mean"
        width = width_of(body)
        asked = _as_asked(body, lora_rank=lora_rank)
        model = RewardModel(asked, head(width, names, None), pooling=pooling, base=path)
    if not (is_reward(path) and is_adapter(path)):
        model.base = path  # what a new adapter stands on
    tokenizer = load_tokenizer(path, trust_remote_code=trust_remote_code)
    if frozen:
        if lora_rank:
            raise RunError(Note("This recipe trains the head alone, on a frozen model. Set lora_rank to 0."))
        model.backbone.requires_grad_(False)
    if model.head.reads_prompt and model.pooling != "last":
        raise RunError(Note("A gate reads the prompt alone, which only a causal model can. Start from one."))
    if isinstance(model.head, CritiqueHead) and model.pooling != "last":
        raise RunError(Note("A critique is written word by word, which only a causal model can. Start from one."))
    if isinstance(model.head, YesNoHead | CritiqueHead) and _is_new(model.head, path) and model.pooling == "last":
        # A language model can answer in these words, or write, already.
        words = _output_layer(path, **load)
        if isinstance(model.head, YesNoHead):
            words = words[list(answer_ids(tokenizer, model.head.said))]
        model.head.start_from(words)
    return model.eval(), tokenizer


def _is_new(head: Head, path: str) -> bool:
    """Return whether the head was made now, and is not the one that the folder has."""
    return not is_reward(path) or json.loads((Path(path) / NOTE_FILE).read_text())["head"] != head.kind


def _output_layer(path: str, **load: Any) -> Tensor:
    """Return the output layer (V, D) of the language model in `path`, or of the one that a reward model is made of."""
    if is_reward(path):
        base = json.loads((Path(path) / NOTE_FILE).read_text())["base"]
        path = _beside(base, path)
    policy, _ = load_policy(path, **load)
    weight: Tensor = policy.get_output_embeddings().weight.detach()  # type: ignore[operator, union-attr]
    return weight


def answer_ids(tokenizer: PreTrainedTokenizerBase, said: tuple[str, str] = ("Yes", "No")) -> tuple[int, int]:
    """Return the first tokens of two answers, as they stand right behind an opened assistant's turn."""
    first = [tokenizer(text, add_special_tokens=False)["input_ids"][0] for text in said]
    if first[0] == first[1]:
        raise RunError(
            Note(
                "This tokenizer begins {first} and {second} with the same token, so that they cannot be told apart.",
                first=said[0],
                second=said[1],
            )
        )
    return first[0], first[1]


def start_policy(
    path: str, *, lora_rank: int = 0, trust_remote_code: bool = False, dtype: torch.dtype = torch.float32
) -> tuple[PreTrainedModel | PeftModel, PreTrainedTokenizerBase]:
    """Return the policy to train from `path`, all of it or, with a rank, its adapter or a new one."""
    model, tokenizer = load_policy(path, trust_remote_code=trust_remote_code, dtype=dtype, trainable=lora_rank > 0)
    return _as_asked(model, lora_rank=lora_rank).eval(), tokenizer  # type: ignore[return-value]


def _as_asked(model: nn.Module, *, lora_rank: int) -> nn.Module:
    """Return `model` with what is to be trained trainable: an adapter on top, or everything with none left."""
    if isinstance(model, PeftModel):
        if lora_rank:
            return model
        return model.merge_and_unload().requires_grad_(True)  # type: ignore[operator]
    return add_lora(model, rank=lora_rank) if lora_rank else model.requires_grad_(True)


def _body(path: str, *, trust_remote_code: bool, dtype: torch.dtype) -> PreTrainedModel:
    """Return the model below its language-model head; an adapter is merged into it."""
    if is_adapter(path):
        policy, _ = load_policy(path, trust_remote_code=trust_remote_code, dtype=dtype)
        return policy.merge_and_unload().base_model  # type: ignore[operator, union-attr]
    return _load(AutoModel, path, trust_remote_code=trust_remote_code, dtype=dtype, weights=True)


def load_body(path: str, *, trust_remote_code: bool = False, lora_rank: int = 0) -> nn.Module:
    """Return the model below its language-model head, trainable: all of it or, with a rank, an adapter.

    That is the adapter that `path` has, which leaves the base as it is for whoever else stands on it, or a new one.
    """
    if lora_rank and is_adapter(path):
        policy, _ = load_policy(path, trust_remote_code=trust_remote_code, trainable=True)
        body: nn.Module = policy.get_base_model().base_model  # type: ignore[operator, union-attr, assignment]
        return body
    return _as_asked(_body(path, trust_remote_code=trust_remote_code, dtype=torch.float32), lora_rank=lora_rank).eval()


def _is_causal(config: PreTrainedConfig) -> bool:
    """Return whether tokens see only what is before them, so that only the last one has seen everything."""
    if config.is_encoder_decoder:
        raise RunError(Note("Encoder-decoder models cannot be reward models here. Take a causal model or an encoder."))
    if type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        return True
    named = (config.architectures or [""])[0]
    if named.endswith(("ForCausalLM", "LMHeadModel")) and not named.startswith(("Bert", "Roberta")):
        return True
    return type(config) in MODEL_FOR_CAUSAL_LM_MAPPING and type(config) not in MODEL_FOR_MASKED_LM_MAPPING


def add_lora(model: nn.Module, *, rank: int) -> PeftModel:
    """Return `model`, frozen, with a new trainable adapter of that rank on every linear layer but the output.

    Its scale is 2 (alpha = 2·rank). The adapter starts as the identity and takes its numbers from torch's global
    generator, so seed that first.
    """
    causal = isinstance(model, PreTrainedModel) and model.get_output_embeddings() is not None
    config = LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM" if causal else "FEATURE_EXTRACTION",
    )
    return get_peft_model(model, config)  # type: ignore[arg-type]


def save(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    *,
    recipe: str,
    base: str,
    pictures: Pictures | None = None,
) -> None:
    """Write a policy or a reward model with its tokenizer and processor, as `load_policy` or `load_reward` read it."""
    folder.mkdir(parents=True, exist_ok=True)
    note: dict[str, Any] = {"recipe": recipe, "base": base, "head": None}
    body = model
    if isinstance(model, RewardModel):
        body = model.backbone
        note |= {"head": model.head.kind, "pooling": model.pooling, "base": model.base}
        if not isinstance(model.head, ScalarHead):
            note["settings"] = model.head.settings
        save_file({k: v.detach().cpu().contiguous() for k, v in model.head.state_dict().items()}, folder / HEAD_FILE)
    with apart(model) as users:
        body.save_pretrained(folder)  # type: ignore[operator]
    if users is not None:
        users.save(folder / USERS_FILE)
    if pictures is not None:
        pictures.processor.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_json(folder / NOTE_FILE, note)


def reads_images(path: str, *, trust_remote_code: bool = False) -> bool:
    """Return whether the model in `path` is one that reads images and text."""
    config = _load(AutoConfig, path, trust_remote_code=trust_remote_code)
    return type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING


def load_pictures(
    path: str, album: Album, *, answers: bool = False, trust_remote_code: bool = False
) -> Pictures | None:
    """Return the processor of a model that reads images, of whichever base it is; None of one that reads text alone.

    A model that was made from one that reads images, and learned from text alone, has no processor of its own.
    """
    base = adapter_base(path) if is_adapter(path) else path
    made_here = (Path(path) / NOTE_FILE).exists()
    if made_here and not any((Path(path) / name).exists() for name in PROCESSOR_FILES):
        return None
    if not reads_images(base, trust_remote_code=trust_remote_code):
        return None
    more: dict[str, Any] = {"files": album.files, "beside": album.beside, "answers": answers}
    return Pictures(path, trust_remote_code=trust_remote_code, **more)


def _load(auto: Any, path: str, *, trust_remote_code: bool, weights: bool = False, **options: Any) -> Any:
    """Return what `auto` loads from `path`; weights only from safetensors, code only when the spec trusts it."""
    if weights:
        options["use_safetensors"] = True
    try:
        return auto.from_pretrained(path, trust_remote_code=trust_remote_code, **options)
    except (OSError, ValueError, KeyError) as error:
        if not trust_remote_code and "trust_remote_code" in str(error):
            raise RunError(
                Note(
                    "{path} could not be loaded: it comes with code of its own, and running that is switched off "
                    "here. Choose a model of a known kind, or have whoever runs the server read it and set "
                    "TRUST_REMOTE_CODE.",
                    path=path,
                )
            ) from error
        raise RunError(
            Note(
                "{path} could not be loaded: {error} Give the folder of a model with its tokenizer and "
                "safetensors weights, or a hub name that can be reached from here.",
                path=path,
                error=str(error).strip().splitlines()[0],
            )
        ) from error
