"""The words by which rules know what a clause of a critique is about, and whether it praises or blames.

English only, and far from complete: it finds what people say most often about answers. Each concept has a title in
the words of our starter list, what names it in a campaign's own list, and words of praise and of blame.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{pattern})", re.I)


@dataclass(frozen=True)
class Concept:
    title: str
    names: re.Pattern[str]  # in the title of a campaign's principle
    good: re.Pattern[str]
    bad: re.Pattern[str]


CONCEPTS = (
    Concept(
        "Accuracy of information",
        _words(r"accura|correct|factual|facts|truth"),
        _words(r"accura(?:te|cy)|correct(?:ly|ness)?\b|factual|true\b|right facts|facts are right"),
        _words(
            r"inaccura|incorrect|wrong|error|mistake|untrue|false|mislead|hallucinat|made[- ]up|invent(?:s|ed)"
            r"|outdated"
        ),
    ),
    Concept(
        "Follows every instruction",
        _words(r"follow|instruction|obey|adher"),
        _words(r"follow(?:s|ed|ing)? (?:the |all |every |each )?(?:instruction|prompt|request)|does what was asked"),
        _words(r"ignor(?:e|es|ed|ing)|disregard|instead of what was asked|not what (?:was|I) asked"),
    ),
    Concept(
        "Covers all parts",
        _words(r"cover|complete|comprehensive|thorough|omits?\b"),
        _words(r"complete(?:ly|ness)?\b|comprehensive|thorough|covers|all (?:the )?(?:parts|points|aspects)|detailed"),
        _words(
            r"incomplete|leaves? out|left out|omit|misses|missing|forgets|forgot|lacks? (?:detail|depth|an? )|skips"
            r"|superficial"
        ),
    ),
    Concept(
        "Stays on topic",
        _words(r"on topic|relevan|focus"),
        _words(r"on[- ]topic|relevant|to the point|focus(?:ed|es)"),
        _words(r"off[- ]topic|irrelevant|beside the point|unrelated|digress|tangent"),
    ),
    Concept(
        "Clear",
        _words(r"clear|clarity|understand|readab"),
        _words(r"clear(?:ly|er)?\b|clarity|easy to (?:understand|follow|read)|understandable|readable|plain words"),
        _words(r"unclear|confus|hard to (?:understand|follow|read)|vague|ambiguous|obscure|jargon"),
    ),
    Concept(
        "Well structured",
        _words(r"structur|organi[sz]|format"),
        _words(r"(?:well[- ])?structured|(?:well[- ])?organi[sz]ed|(?:well[- ])?formatted|good (?:structure|format)"),
        _words(r"unstructured|disorgani[sz]ed|wall of text|badly formatted|messy|chaotic"),
    ),
    Concept(
        "Concise",
        _words(r"concis|brev|length|succinct"),
        _words(r"concise|succinct|brief\b|short and|right length"),
        _words(r"verbose|wordy|too long|long[- ]winded|lengthy|rambl|filler|unnecessar"),
    ),
    Concept(
        "No repetition",
        _words(r"repet|repeat|redundan"),
        _words(r"(?!)"),
        _words(r"repetiti|repeat|redundan|says? the same|twice"),
    ),
    Concept(
        "Suitable tone",
        _words(r"tone|polite|friendl|respect"),
        _words(r"polite|friendly|warm\b|respectful|kind\b|empath|(?:good|right|suitable|fitting|appropriate) tone"),
        _words(r"rude|condescend|patroni[sz]|cold\b|dismissive|preach|lectur|sarcastic|(?:wrong|bad) tone"),
    ),
    Concept(
        "Suitable level for the reader",
        _words(r"level|audience|reader|beginner"),
        _words(r"(?:right|good|suitable|appropriate) level|for (?:a )?beginners?|accessible"),
        _words(r"too (?:technical|advanced|simple|basic|complicated)|over (?:my|the reader's) head"),
    ),
    Concept(
        "States uncertainty",
        _words(r"uncertain|confiden|hedg"),
        _words(r"(?:admits|states|says|acknowledges) (?:that it is )?(?:uncertain|unsure|not sure)|caveat|hedges"),
        _words(r"over[- ]?confident|too (?:sure|certain|confident)|as if (?:it were )?certain"),
    ),
    Concept(
        "Cites or points to evidence",
        _words(r"cite|citation|source|evidence|reference"),
        _words(r"cit(?:es|ed|ation)|sources?\b|references?\b|links? to"),
        _words(r"unsourced|unsupported|without (?:any )?(?:source|reference|citation|evidence)"),
    ),
    Concept(
        "Gives examples",
        _words(r"example|illustrat"),
        _words(r"examples?\b|illustrat"),
        _words(r"(?!)"),
    ),
    Concept(
        "Steps follow",
        _words(r"reason|logic|steps|argument"),
        _words(r"logical(?:ly)?\b|well[- ]reasoned|sound reasoning|step by step|consistent"),
        _words(r"illogical|contradict|inconsistent|non sequitur|does(?:n['’]t| not) follow|skips? (?:a )?steps?"),
    ),
    Concept(
        "Code runs as given",
        _words(r"runs|works as|compil"),
        _words(r"(?:code|program|script|it) (?:runs|works|compiles)"),
        _words(r"(?:does(?:n['’]t| not) (?:run|compile|work))|syntax error|crash|bug(?:s|gy)?\b"),
    ),
    Concept(
        "No instructions for harm",
        _words(r"harm|safe|danger"),
        _words(r"safe\b|harmless"),
        _words(r"unsafe|harmful|dangerous|hurt somebody|illegal"),
    ),
    Concept(
        "Refuses only what must be refused",
        _words(r"refus"),
        _words(r"rightly refuses|right to refuse"),
        _words(r"refus(?:es|ed|al)|won['’]t answer|will not answer"),
    ),
)
# Before a cue these turn it round; "not only clear" and "not just clear" do not.
NEGATION = re.compile(
    r"\b(?:not(?! only| just| merely)|no|never|neither|nor|without|hardly|barely|lacks?|lacking|lack of|isn['’]t"
    r"|aren['’]t|wasn['’]t|doesn['’]t|don['’]t|didn['’]t|cannot|can['’]t|couldn['’]t|far from|anything but"
    r"|fails? to|failed to|too little|avoids?|free of)\b",
    re.I,
)
HALF = re.compile(
    r"\b(?:mostly|partly|partially|somewhat|sometimes|largely|almost|nearly|in parts?|in places"
    r"|not (?:entirely|fully|always|completely|quite|very)|could (?:be|have been)(?: a (?:bit|little))?(?: more)?"
    r"|a (?:bit|little))\b",
    re.I,
)
WANTED = re.compile(r"\b(?:should (?:be|have)|needs? to|must be|ought to)\b", re.I)
BLAME = re.compile(
    r"\b(?:bad(?:ly)?|poor(?:ly)?|weak|terrible|awful|insufficient|lacking|problem|fault|fails?)\b", re.I
)
