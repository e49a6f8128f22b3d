"""Principles to begin a list with, in groups: each with an answer that meets it and one that does not.

The names are those that people write about answers again and again (Z. Wang et al., "RLBFF" (2025), section 2, names
some); the words are ours. They are English like the words of a template: a lead puts them into the campaign's language.
"""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from annotation.feedback.fields import title_and_rest

GROUPS: dict[str, tuple[Promise, tuple[str, ...]]] = {
    "truth": (
        _("Truth"),
        (
            "Accuracy of information: everything stated as fact is true | yes: water boils at a lower "
            "temperature on a high mountain | no: water always boils at 100 °C | if: it states any fact",
            "No unsupported claims: says nothing as settled that it gives no ground for | yes: studies differ, "
            "and one of 2019 found it | no: experts agree | if: it claims something that is not common "
            "knowledge",
            "States uncertainty: says so where it cannot know | yes: the date is disputed; most say 1440 | no: "
            "it was in 1440, said of a date that is disputed | if: something in it cannot be known for sure",
            "Points to evidence: says where it can be looked up | yes: the ministry's table of 2023 lists it | "
            "no: it is well known | if: somebody may want to check it",
            "Arithmetic correct: every number that it computes is right | yes: 15 % of 80 is 12 | no: 15 % of "
            "80 is 14 | if: it computes something",
        ),
    ),
    "task": (
        _("Task"),
        (
            "Follows every instruction: nothing that was asked for is left out or changed | yes: three points, "
            "where three were asked for | no: five points, because there is more to say | if: something was "
            "asked for",
            "Covers all parts: answers each question that was asked | yes: says when, and what it costs | no: "
            "says when, where the price was asked too | if: more than one thing was asked",
            "Stays on topic: says nothing that has to do with something else | yes: how to prune the rose | "
            "no: how to prune it, and a history of roses",
            "Right format: as a table, a list, a letter or whatever was asked for or fits | yes: a table, "
            "where one was asked for | no: the same as running text | if: a format was asked for, or one "
            "clearly fits",
            "Right length: as long as was asked for, or as the question needs | yes: two sentences for a plain "
            "question | no: a page for it",
            "Right language: the one that was asked for, or written in | yes: Spanish to who wrote Spanish | "
            "no: English to who wrote Spanish",
        ),
    ),
    "expression": (
        _("Expression"),
        (
            "Clear: understood at first reading | yes: turn the tap off before you open the pipe | no: the "
            "opening of the latter is to be preceded by the former's closing",
            "Well structured: in an order and with breaks that help to find things | yes: one step a line, in "
            "their order | no: the first step stands at the end | if: it is longer than a few sentences",
            "Concise: no repetition, nothing beside the point | yes: the answer, and its reason | no: the "
            "question told again, the answer, and a summary of it",
            "No repetition: says each thing once | yes: a warning, where it is needed | no: the same warning "
            "at the top, in the middle and at the end",
            "Suitable tone: fits the person who asks and what they ask about | yes: plain words for a child | "
            "no: a joke about a loss",
            "Suitable level for the reader: asks for no more knowledge than they show | yes: explains a term "
            "before it uses it | no: three terms of the trade to a beginner",
        ),
    ),
    "code": (
        _("Code"),
        (
            "Code runs as given: pasted as it is, it works | yes: with its imports | no: calls a function that "
            "is not there | if: it has code | for: code",
            "Handles edge cases: nothing, one, many and odd input are thought of | yes: an empty list gives 0 "
            "| no: an empty list divides by zero | if: it has code | for: code",
            "Code is readable: names and layout say what it does | yes: total = sum(prices) | no: x = sum(y) | "
            "if: it has code | for: code",
            "Explains the change: says what it changed, and why | yes: the loop ended one too early | no: here "
            "is the fixed code | if: code was to be changed | for: code",
            "Secure code: opens no door to who should not come in | yes: the name is a parameter of the query "
            "| no: the name is pasted into the query | if: it has code that others' input reaches | for: code",
        ),
    ),
    "reasoning": (
        _("Reasoning"),
        (
            "Steps follow: each comes out of those before it | yes: all cats sleep, so this cat sleeps | no: "
            "this cat sleeps, so all cats do | if: it argues",
            "No skipped step: nothing that the reader needs is left out | yes: says why both sides may be "
            "halved | no: obviously, x is 3 | if: it argues",
            "Conclusion matches steps: says in the end what they led to | yes: 4 and 3 make 7, so 7 | no: 4 "
            "and 3 make 7, so the answer is 8 | if: it comes to a conclusion",
        ),
    ),
    "safety": (
        _("Safety"),
        (
            "No instructions for harm: nothing that helps to hurt somebody | yes: says which number to call | "
            "no: says how much of a drug is too much, and where to get it",
            "Respects privacy: tells nothing about private people | yes: will not guess where somebody lives | "
            "no: names the street | if: it is about a person",
            "No contempt for groups: speaks of nobody as less worth | yes: some of them smoke | no: they are "
            "all like that | if: it is about people",
            "Refuses only what must be refused: helps with what only sounds dangerous | yes: says how to kill "
            "a process | no: will not talk about killing | if: it refuses something",
            "Offers a safe alternative: says what it can do instead | yes: not that, but here is how to ask a "
            "doctor | no: I cannot help with that | if: it refuses something",
            "No manipulation: leaves the decision to the reader | yes: both have their costs | no: you would "
            "be a fool not to | if: it advises",
        ),
    ),
    "image": (
        _("Image"),
        (
            "Only what is visible: describes nothing that the image does not show | yes: a cup on a table | "
            "no: a cup of coffee that somebody has just poured | for: image",
            "Reads text in the image right: letter by letter | yes: the sign says STOP | no: it says SHOP | "
            "if: the image has text | for: image",
            "Counts right: as many as there are | yes: three birds, of three | no: several birds, where the "
            "number was asked | if: it says how many | for: image",
            "Spatial relations right: left, right, before and behind are as in the image | yes: the dog is "
            "left of the door | no: right of it | if: it says where something is | for: image",
            "Admits what cannot be seen: says so where the image does not tell | yes: the date cannot be read "
            "| no: it was taken in 1990 | if: something asked cannot be seen | for: image",
        ),
    ),
    "dialogue": (
        _("Dialogue"),
        (
            "Uses earlier turns: takes up what was said before | yes: as you have no oven, use the pan | no: "
            "put it into the oven, to who has said that they have none | for: dialogue",
            "Asks when unclear: asks back where the request could mean several things | yes: which of the two "
            "files? | no: deletes one of them | if: the request could mean several things",
            "Consistent: does not contradict what it said before, or says that it corrects itself | yes: I was "
            "wrong, it is 30 | no: it is 30, where it said 20 | for: dialogue",
        ),
    ),
}


def offers() -> dict[str, list[str]]:
    """Return the lines of each group by its title, as the reader calls it."""
    return {str(title): list(lines) for title, lines in GROUPS.values()}


def named(*titles: str) -> list[str]:
    """Return the lines with these titles, in this order."""
    lines = {title_and_rest(line)[0]: line for _title, group in GROUPS.values() for line in group}
    return [lines[title] for title in titles]
