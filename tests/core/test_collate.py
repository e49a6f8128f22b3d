"""Conversations as ids: one end token, the same prompt as when sampling, truncation that is counted."""

from __future__ import annotations

import pytest
import torch

from training.core.backbone import has_plain_template, plain_template
from training.core.collate import (
    collate_pairs,
    encode,
    encode_completion,
    encode_conversation,
    encode_prompt,
    turn_of,
)
from training.core.records import Demonstration, Pair, Refused, Tally
from training.core.tiny import CHAT_TEMPLATE, END, tiny_tokenizer
from training.errors import TrainingError

ASK = [{"role": "user", "content": "Why?"}]

WITHOUT_END = (
    "{%- for m in messages -%}{{- '<|' + m['role'] + '|>' + m['content'] -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)
# As in ChatML: a line break after the end of a turn, which a model never writes.
WITH_A_BREAK = CHAT_TEMPLATE.replace("'<|end|>'", "'<|end|>\\n'")
# An opened turn holds more than a finished one, as in models with a switch for thinking.
WITH_A_THOUGHT = CHAT_TEMPLATE.replace("'<|assistant|>'", "'<|assistant|>(thinks)'")
WITH_A_BLANK = CHAT_TEMPLATE.replace(
    "message['content'] +", "(' ' if message['role'] == 'assistant' else '') + message['content'] +"
)
SILENT = "{%- for m in messages if m['role'] == 'user' -%}{{- m['content'] -}}{%- endfor -%}"


def tokenizer_with(template: str):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    return tokenizer


@pytest.mark.parametrize(
    "template", [CHAT_TEMPLATE, WITHOUT_END, WITH_A_BREAK, WITH_A_THOUGHT, WITH_A_BLANK], ids=range(5)
)
def test_exactly_one_end_token_at_the_end_whatever_the_template_does(template):
    tokenizer = tokenizer_with(template)
    for text in ("Because.", f"Because.{END}", f"Because.{END}{END}\n", " Because.\n"):
        ids = encode_completion(tokenizer, text)
        assert ids[-1] == tokenizer.eos_token_id
        assert ids.count(tokenizer.eos_token_id) == 1


def test_a_completion_stands_after_its_prompt_as_when_it_is_sampled():
    for template in (CHAT_TEMPLATE, WITH_A_THOUGHT, WITH_A_BLANK):
        tokenizer = tokenizer_with(template)
        prompt = encode_prompt(tokenizer, ASK)
        assert encode_conversation(tokenizer, ASK, "Because.")[: len(prompt)] == prompt
    assert tokenizer.decode(encode_conversation(tokenizer, ASK, "No."))[-9:] == f" No.{END}"[-9:]


def test_ordinary_templates_give_the_ids_that_the_template_itself_gives():
    tokenizer = tokenizer_with(CHAT_TEMPLATE)
    whole = [*ASK, {"role": "assistant", "content": "Because."}]
    assert encode_conversation(tokenizer, ASK, "Because.") == tokenizer.apply_chat_template(whole)["input_ids"]


def test_an_end_token_inside_a_completion_is_refused():
    with pytest.raises(Refused, match="ends_inside"):
        encode_completion(tokenizer_with(CHAT_TEMPLATE), f"Be{END}cause")


def test_a_template_that_does_not_write_the_answer_is_named():
    with pytest.raises(TrainingError, match="does not write what the assistant says"):
        turn_of(tokenizer_with(SILENT))


def test_a_tokenizer_without_any_end_is_named():
    tokenizer = tokenizer_with(WITHOUT_END)
    tokenizer.eos_token = None
    with pytest.raises(TrainingError, match="names a token that ends an answer"):
        turn_of(tokenizer)


def test_the_plain_template_ends_an_answer_once_and_is_known_as_plain():
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = None
    tokenizer.chat_template = plain_template(tokenizer)
    assert has_plain_template(tokenizer) and not has_plain_template(tiny_tokenizer())
    assert tokenizer.decode(encode_conversation(tokenizer, ASK, "So.")) == f"Human: Why?\n\nAssistant: So.{END}"


def records(*pairs: Pair):
    return list(enumerate(pairs, start=1))


def test_long_prompts_lose_their_beginning_alike_on_both_sides_and_are_counted():
    tokenizer, tally = tiny_tokenizer(), Tally()
    pair = Pair([{"role": "user", "content": "0123456789" * 10}], chosen="yes", rejected="certainly not")
    (example,) = encode(records(pair), tokenizer, tally, max_length=40)
    assert example.length == 40
    assert example.prompt == encode_prompt(tokenizer, pair.prompt)[-len(example.prompt) :]
    assert example.completions[0] == encode_completion(tokenizer, "yes")
    assert tally.counts["truncated"] == 1
    assert "1 prompts were cut on the left" in " ".join(tally.notes())


def test_an_opening_token_survives_the_cut():
    tokenizer = tiny_tokenizer()
    tokenizer.bos_token = "<|system|>"
    tokenizer.chat_template = "{{ bos_token }}" + CHAT_TEMPLATE
    (example,) = encode(
        records(Pair([{"role": "user", "content": "x" * 99}], chosen="a", rejected="b")),
        tokenizer,
        Tally(),
        max_length=20,
    )
    assert example.prompt[0] == tokenizer.bos_token_id and example.length == 20


def test_rows_that_do_not_fit_are_refused_and_counted_and_the_others_kept():
    tally = Tally()
    kept = encode(
        records(
            Pair(ASK, chosen="x" * 50, rejected="y"),
            Pair(ASK, chosen="fits", rejected="y"),
            Pair(ASK, chosen=f"same{END}", rejected="same"),
        ),
        tiny_tokenizer(),
        tally,
        max_length=30,
    )
    assert [example.line for example in kept] == [2]
    assert tally.counts["refused_too_long"] == 1 and tally.counts["refused_identical"] == 1
    assert "1 rows were left out because they have a completion that does not fit into max_length (lines 1)." in (
        tally.notes()
    )


def test_shapes_of_a_batch_of_pairs():
    tokenizer = tiny_tokenizer()
    pairs = [Pair(ASK, "a", "bb", strength=1 / 3), Pair([{"role": "user", "content": "?"}], "ccc", "d")]
    examples = encode(records(*pairs), tokenizer, Tally(), max_length=99)
    batch = collate_pairs(examples, 7, torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert batch.tokens.input_ids.shape[0] == 4
    assert batch.reference_logps.tolist() == [1.0, 3.0, 2.0, 4.0]  # chosen ones first, as the sequences are
    assert [round(s, 3) for s in batch.strength.tolist()] == [0.333, 1.0]
    for row, example, side in ((0, 0, 0), (1, 1, 0), (2, 0, 1), (3, 1, 1)):
        tokens = batch.tokens
        ids = tokens.input_ids[row][tokens.attention_mask[row].bool()].tolist()
        assert ids == examples[example].prompt + examples[example].completions[side]
        assert tokens.input_ids[row][tokens.completion_mask[row]].tolist() == examples[example].completions[side]


def test_padding_with_the_end_token_does_not_hide_the_real_one():
    tokenizer = tiny_tokenizer()
    examples = encode(records(Pair(ASK, "a", "bbbb")), tokenizer, Tally(), max_length=99)
    batch = collate_pairs(examples, tokenizer.eos_token_id)
    assert batch.tokens.completion_mask.sum(-1).tolist() == [2, 5]


def test_demonstrations_keep_their_weight():
    (example,) = encode([(1, Demonstration(ASK, "So.", weight=2.0))], tiny_tokenizer(), Tally(), max_length=99)
    assert example.value == 2.0 and len(example.completions) == 1
