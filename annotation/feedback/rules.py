"""What a lead says about several questions together: which is asked only after certain answers, and what is never both.

Both are written as lines, which a form shows as they are and an error quotes::

    Complexity if Helpfulness is 3 or 4
    Helpfulness is 4 and Correctness is 0

Stored are these English words, in one spelling; people read and write them in their language (`rule_words`).
They hold for each answer on its own. A question that is not asked has no value: it is not in the payload.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from annotation.feedback import rule_words
from annotation.feedback.fields import MAX_QUESTION, Fields, Options, key_of
from annotation.storable import unstorable

MOST_RULES = 20
DEFAULTS: dict[str, Any] = {"ask_if": [], "never_both": []}

# Says a word of a rule: in English, or as the reader calls it.
Say = Callable[[str], str]


@dataclass(frozen=True)
class Condition:
    """That a question was answered with one of these values."""

    question: str
    values: tuple[str, ...]

    def holds(self, said: Mapping[str, str]) -> bool:
        return said.get(self.question) in self.values

    def in_words(self, title: str, answers: Mapping[str, str], say: Say) -> str:
        """Return "Question is value or value", with the last word there is for each value."""
        words = {value: word for word, value in answers.items()}
        return f"{title} {say('is')} " + f" {say('or')} ".join(say(words[value]) for value in self.values)


@dataclass(frozen=True)
class Rules:
    asked_if: Mapping[str, Condition] = field(default_factory=dict)
    never_both: Sequence[tuple[str, Condition, Condition]] = ()  # each with its line, as the reader reads it

    def asks(self, question: str, said: Mapping[str, str]) -> bool:
        """Return whether the question is asked after what was said to those before it."""
        condition = self.asked_if.get(question)
        return condition is None or condition.holds(said)

    def check(self, reader: Fields, said: Mapping[str, str], place: int) -> None:
        """Refuse, in `reader`, what excludes each other about the answer shown in this place, from 1."""
        for line, one, other in self.never_both:
            if one.holds(said) and other.holds(said):
                told = _("The rule here: never “{line}”. Change one of the two.")
                reader.refuse(f"{other.question}_{place}", told.format(line=line))

    def marks(self, question: str, place: int) -> dict[str, str]:
        """Return what a template needs to show the question only when it is asked; nothing when it always is."""
        condition = self.asked_if.get(question)
        if condition is None:
            return {}
        return {"asked_if": f"{condition.question}_{place}", "asked_values": " ".join(condition.values)}


def rules_of(options: Mapping[str, Any], titles: Mapping[str, str], answers: Mapping[str, str]) -> Rules:
    """Return the rules of checked options. `titles` by key, in order; `answers`: the value of each word for one."""
    asked = dict(_ask(line, titles, answers) for line in options["ask_if"])
    both = [_never(line, titles, answers) for line in options["never_both"]]
    said = [_never_in_words(pair, titles, answers, rule_words.local) for pair in both]
    return Rules(asked, [(line, *pair) for line, pair in zip(said, both, strict=True)])


def shown(options: Mapping[str, Any], titles: Mapping[str, str], answers: Mapping[str, str]) -> dict[str, Any]:
    """Return checked options with their rules as the reader reads them."""

    def ask(line: str) -> str:
        return _ask_in_words(_ask(line, titles, answers), titles, answers, rule_words.local)

    def never(line: str) -> str:
        return _never_in_words(_never(line, titles, answers), titles, answers, rule_words.local)

    return {
        **options,
        "ask_if": each_said(options["ask_if"], ask),
        "never_both": each_said(options["never_both"], never),
    }


def each_said(lines: Sequence[str], say: Callable[[str], str]) -> list[str]:
    """Return lines as `say` says them; one that is no rule any more, because its question has gone, as it is."""
    said = []
    for line in lines:
        try:
            said.append(say(line))
        except ValueError:
            said.append(line)
    return said


def clean(reader: Options, titles: Mapping[str, str], answers: Mapping[str, str]) -> None:
    """Check both options of a kind with rules, and refuse in `reader` each line that does not fit, with the reason."""

    def ask(line: str) -> str:
        return _ask_in_words(_ask(line, titles, answers), titles, answers, rule_words.english)

    def never(line: str) -> str:
        return _never_in_words(_never(line, titles, answers), titles, answers, rule_words.english)

    clean_lines(reader, "ask_if", ask)
    clean_lines(reader, "never_both", never)
    asked = [line.lower().partition(" if ")[0] for line in reader.values["ask_if"]]
    if len(set(asked)) < len(asked):
        reader.refuse("ask_if", _("A question has one line at most."))


def clean_lines(reader: Options, name: str, read: Callable[[str], str]) -> None:
    """Check an option of lines, each of which `read` returns in the spelling that is stored.

    Refuses in `reader` each line that it raises ValueError for, with the reason.
    """
    value = reader.values[name]
    parts = value.splitlines() if isinstance(value, str) else value
    if not isinstance(parts, list) or any(not isinstance(part, str) for part in parts):
        reader.refuse(name, _("Give a list of texts."))
        reader.values[name] = []
        return
    lines = [" ".join(part.split()) for part in parts if part.strip()]
    reader.values[name] = lines
    if len(lines) > MOST_RULES or any(len(line) > MAX_QUESTION for line in lines):
        told = _("Give at most {most} lines of at most {longest} characters.")
        reader.refuse(name, told.format(most=MOST_RULES, longest=MAX_QUESTION))
    elif reason := unstorable(lines):
        reader.refuse(name, reason)
    else:
        for place, line in enumerate(lines):
            try:
                reader.values[name][place] = read(line)
            except ValueError as wrong:
                reader.refuse(name, _("“{line}”: {wrong}").format(line=line, wrong=wrong))


def option_properties(example: tuple[str, str], *, asked_in: str, words: Sequence[str]) -> dict[str, Any]:
    """Return the JSON Schema of both options. `example` is a line of each, `asked_in` the option of the questions.

    `words` are what a rule may call an answer. A form that lets people choose instead of write reads ``x-rule``.
    """
    answers = [rule_words.local(word) for word in words]
    joining = rule_words.joining()
    lines = {"type": "array", "items": {"type": "string", "maxLength": MAX_QUESTION}, "maxItems": MOST_RULES}
    ask = _("One rule per line, such as: {example}. Else the question is left out.")
    never = _("One rule per line, such as: {example}. Who says both is asked to change one.")
    return {
        "ask_if": {
            **lines,
            "title": _("Ask only if"),
            "description": ask.format(example=in_local_words(example[0])),
            "default": [],
            "x-rule": {"shape": "ask", "asked_in": asked_in, "answers": answers, "words": joining},
        },
        "never_both": {
            **lines,
            "title": _("Never both"),
            "description": never.format(example=in_local_words(example[1])),
            "default": [],
            "x-rule": {"shape": "never", "asked_in": asked_in, "answers": answers, "words": joining},
        },
    }


def _ask(line: str, titles: Mapping[str, str], answers: Mapping[str, str]) -> tuple[str, Condition]:
    """Return the question of a line and when it is asked; raises ValueError with the reason."""
    for match in rule_words.places("if", line):
        question = key_of(line[: match.start()])
        if question in titles:
            asked = condition(line[match.end() :], titles, answers)
            order = list(titles)
            if order.index(asked.question) >= order.index(question):
                told = _("ask {first} before {second}; change their order.")
                raise ValueError(told.format(first=titles[asked.question], second=titles[question]))
            return question, asked
    told = _("write it as “Question if Question is value”; the questions are {questions}.")
    raise ValueError(told.format(questions=", ".join(titles.values())))


def _ask_in_words(asked: tuple[str, Condition], titles: Mapping[str, str], answers: Mapping[str, str], say: Say) -> str:
    question, when = asked
    return f"{titles[question]} {say('if')} {when.in_words(titles[when.question], answers, say)}"


def _never_in_words(
    pair: tuple[Condition, Condition], titles: Mapping[str, str], answers: Mapping[str, str], say: Say
) -> str:
    return f" {say('and')} ".join(one.in_words(titles[one.question], answers, say) for one in pair)


def in_local_words(example: str) -> str:
    """Return an example of a rule, which we wrote, as the reader would write it."""
    return " ".join(rule_words.local(word) for word in example.split(" "))


def _never(line: str, titles: Mapping[str, str], answers: Mapping[str, str]) -> tuple[Condition, Condition]:
    """Return the two conditions of a line; raises ValueError with the reason."""
    reason = ValueError(_("write it as “Question is value and Question is value”."))
    for match in rule_words.places("and", line):
        try:
            one = condition(line[: match.start()], titles, answers)
            other = condition(line[match.end() :], titles, answers)
        except ValueError as wrong:
            reason = wrong
            continue
        if one.question == other.question:
            raise ValueError(_("name two different questions."))
        return one, other
    raise reason


def condition(text: str, titles: Mapping[str, str], answers: Mapping[str, str]) -> Condition:
    """Return what "Question is value or value" says; raises ValueError with the reason."""
    named = {key_of(rule_words.local(title)): key for key, title in titles.items()} | {key: key for key in titles}
    known = rule_words.read_in_both(answers)
    for match in rule_words.places("is", text):
        question = named.get(key_of(text[: match.start()]))
        if question is not None:
            words = rule_words.listed(text[match.end() :])
            unknown = [word for word in words if word not in known]
            if unknown:
                told = _("{word} is no answer; there are {answers}.")
                there = ", ".join(map(rule_words.local, answers))
                raise ValueError(told.format(word=repr(unknown[0] or "nothing"), answers=there))
            return Condition(question, tuple(dict.fromkeys(known[word] for word in words)))
    told = _("{text} names no question and value; the questions are {questions}.")
    questions = ", ".join(map(rule_words.local, titles.values()))
    raise ValueError(told.format(text=repr(text.strip()), questions=questions))
