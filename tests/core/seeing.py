"""Tiny vision-language models of two families, from their configs: LLaVA (CLIP and Llama), Idefics3 (SmolVLM)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    CLIPVisionConfig,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3Processor,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

from training.core.tiny import ROLES, tiny_tokenizer

SIDE, PATCH = 32, 8
TEMPLATE = (
    "{%- for message in messages -%}{{- '<|' + message['role'] + '|>' -}}"
    "{%- if message['content'] is string -%}{{- message['content'] -}}{%- else -%}"
    "{%- for part in message['content'] -%}"
    "{{- '<image>' if part['type'] == 'image' else part['text'] -}}{%- endfor -%}{%- endif -%}"
    "{{- '<|end|>' -}}{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)
FAMILIES = ("llava", "idefics3")


def save_seeing(folder: Path, family: str) -> Path:
    """Write a tiny model that reads images, with its processor, into `folder` and return it."""
    extra = ["<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"]
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": [*ROLES, *extra]})
    tokenizer.chat_template = TEMPLATE
    image_id = int(tokenizer.convert_tokens_to_ids("<image>"))
    ids: dict[str, Any] = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        bos_token_id=None,
        **ids,
    )
    eyes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    torch.manual_seed(0)
    if family == "llava":
        vision = CLIPVisionConfig(image_size=SIDE, patch_size=PATCH, **eyes)
        config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=image_id, **ids)
        model: Any = LlavaForConditionalGeneration(config)
        sizes = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
        reader: Any = LlavaProcessor(
            CLIPImageProcessorPil(**sizes),
            tokenizer,
            patch_size=PATCH,
            vision_feature_select_strategy="default",
            chat_template=TEMPLATE,
            num_additional_image_tokens=1,
        )
    else:
        see = {**eyes, "image_size": SIDE, "patch_size": PATCH}
        config = Idefics3Config(vision_config=see, text_config=text, image_token_id=image_id, scale_factor=2, **ids)
        model = Idefics3ForConditionalGeneration(config)
        edges = {"size": {"longest_edge": SIDE}, "max_image_size": {"longest_edge": SIDE}}
        reader = Idefics3Processor(
            Idefics3ImageProcessorPil(do_image_splitting=False, **edges),
            tokenizer,
            image_seq_len=(SIDE // PATCH) ** 2 // 4,
            chat_template=TEMPLATE,
        )
    model.save_pretrained(folder)
    reader.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
