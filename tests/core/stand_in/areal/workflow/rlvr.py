"""The names that the workflow of one turn and one reward takes in AReaL 1.0.4."""

from __future__ import annotations

from typing import Any


class RLVRWorkflow:
    def __init__(
        self,
        reward_fn: Any,
        gconfig: Any,
        tokenizer: Any,
        enable_thinking: bool = False,
        get_input_ids_fn: Any = None,
        data_extract_prompt_fn: Any = None,
    ) -> None:
        self.reward_fn, self.gconfig, self.tokenizer = reward_fn, gconfig, tokenizer
