"""What the rows of a data set are: the views that exports, snapshots and recipes share, and what their columns mean."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import dataclass

from annotation.behaviour import MEASURES
from annotation.errors import Invalid


@dataclass(frozen=True)
class View:
    """One kind of row: its name, what it is for, and its columns with their meaning."""

    name: str
    title: str
    columns: dict[str, str]

    @property
    def image_columns(self) -> dict[str, str]:
        """What rows of a campaign with images have besides."""
        return {name: words for column in self.columns for name, words in IMAGE_COLUMNS.get(column, {}).items()}


_MESSAGES = 'list of {"role", "content"}'
# Besides, in campaigns with images: their contents are lists of parts, and an image in them is a placeholder.
_IMAGES = 'list of {"url", "sha256", "width", "height", "alt"}, one for each placeholder {"type": "image"}'
_REGIONS = (
    'list of {"column", "index", "sha256", "width", "height", "box", "pixels", "label", "note"}: what was marked. Its '
    "image is the one at `index` in this row's `column`; `box` is left, top, width and height as fractions of it, "
    "`pixels` the same in pixels"
)
_OF_THE_IMAGE = {
    "image_severity": "how severe the prompt's images are by themselves, 0 safe to 3 severe; null if not asked",
    "image_harms": "their categories to severity; null if not asked",
}
IMAGE_COLUMNS = {
    "prompt": {"images": f"{_IMAGES} of the prompt"},
    "chosen": {"chosen_images": f"{_IMAGES} of the chosen answer"},
    "rejected": {"rejected_images": f"{_IMAGES} of the rejected answer"},
    "completion": {"completion_images": f"{_IMAGES} of the answer"},
    "position": {"regions": _REGIONS},  # of rows that are about answers as they stood on the screen
    "is_safe": _OF_THE_IMAGE,
    "chosen_is_safe": _OF_THE_IMAGE,
}
PROVENANCE = {
    "annotator": "pseudonym of the person, stable within this server",
    "seconds": "seconds from hand-out to submit, or null",
    "active_seconds": "seconds in which the page was visible and used, or null",
    "round": "the round the answers were made in, or null",
    "policy": "the policy version that wrote them, or null",
    "campaign": "name of the campaign",
    "task": "external id of the item",
    "feedback": "id of the judgement; ascending, so that an export can be continued after it",
    "audit": "true for items drawn at random for measuring; leave them out of training",
    "simulated": "true when a simulated person judged",
    "guideline": "version of the guideline in force",
    "turn": "which turn of the assistant in its dialogue it is about, from 1; null when about a last answer or a whole",
}
# Where people are told apart: how much a row should count in training.
WEIGHT = {
    "annotator_weight": "how much this person's judgements tell by the quality report of that moment, 1 in the mean, 0 "
    "for answers by chance; 1 for who is not in it yet, null before there is a report"
}
# Here "read" is in canonical order, as everything in a row.
_BEHAVIOUR = "; ".join(f"{name}: {meaning}" for name, meaning in MEASURES.items())
_ONE_ANSWER = {
    "position": "the place in which it stood on the screen, from 0",
    "completion_origin": "who wrote it",
}
VIEWS: dict[str, View] = {
    view.name: view
    for view in (
        View(
            "pairs",
            "A better and a worse answer to one prompt; ties give no row here, but in rankings",
            {
                "prompt": _MESSAGES,
                "chosen": f"{_MESSAGES}: the better answer",
                "rejected": f"{_MESSAGES}: the worse answer",
                "strength": "1/3 slightly better, 2/3 better, 1 much better; in a ranking, gap over widest gap",
                "position": "0 when the chosen answer stood before the other one on the screen, else 1",
                "chosen_origin": "who wrote the chosen answer",
                "rejected_origin": "who wrote the rejected answer",
                "comment": "what the person added",
                **WEIGHT,
                **PROVENANCE,
            },
        ),
        View(
            "dimension_pairs",
            "The same for each dimension that was asked about, and for the whole",
            {
                "prompt": _MESSAGES,
                "chosen": f"{_MESSAGES}: the answer that is better in this dimension",
                "rejected": f"{_MESSAGES}: the other answer",
                "dimension": 'name of the dimension; "overall" for the whole',
                "strength": "1/3 slightly better, 2/3 better, 1 much better",
                "position": "0 when the chosen answer stood before the other one on the screen, else 1",
                "chosen_origin": "who wrote the chosen answer",
                "rejected_origin": "who wrote the rejected answer",
                "comment": "what the person added",
                **WEIGHT,
                **PROVENANCE,
            },
        ),
        View(
            "demonstrations",
            "Answers worth imitating: those people wrote, preferred, or called good",
            {
                "prompt": _MESSAGES,
                "completion": f"{_MESSAGES}: the answer",
                "weight": "1 for an answer that was written or called good; of a preferred one, how much, 1/3 to 1",
                "completion_origin": 'who wrote the answer; "rewrite" for one a person wrote here, "rewrite by '
                'reward-3" for a model\'s that a person accepted, with ", edited" where they changed it',
                "readability": 'of a rewritten answer {"words", "sentences", "reading_ease", "grade"}, the last two '
                "by Flesch and Kincaid for English and else null; null for others",
                "readability_before": "the same of the answer it was made from",
                "comment": "what the person added",
                **PROVENANCE,
            },
        ),
        View(
            "rankings",
            "Several answers to one prompt with their order",
            {
                "prompt": _MESSAGES,
                "completions": 'list of {"text", "origin"} in canonical order',
                "ranks": "the rank of each completion; 1 is best, equal ranks are ties",
                "shown_order": "shown_order[i] is the canonical position of what stood in place i",
                "flags": "what each completion was flagged for",
                "comment": "what the person added",
                **PROVENANCE,
            },
        ),
        View(
            "safer_pairs",
            "A safer and a less safe answer to one prompt, each with its label: what a cost model learns from",
            {
                "prompt": _MESSAGES,
                "chosen": f"{_MESSAGES}: the safer answer",
                "rejected": f"{_MESSAGES}: the less safe answer",
                "chosen_is_better": "true when the safer answer is the more helpful one as well",
                "chosen_is_safe": "true when the safer answer is safe",
                "rejected_is_safe": "true when the other one is safe too",
                "chosen_severity": "0 when safe, else that of its worst category, 1 to 3",
                "rejected_severity": "the same of the other one",
                "chosen_harms": "category to severity",
                "rejected_harms": "category to severity",
                "chosen_harmless_rate": "how harmless the safer answer is by itself, -3 to 3; null if not asked",
                "chosen_helpful_rate": "how helpful it is by itself, 0 to 3; null if not asked",
                "rejected_harmless_rate": "the same of the other one",
                "rejected_helpful_rate": "the same of the other one",
                "position": "0 when the safer answer stood first (left) on the screen, else 1",
                "chosen_origin": "who wrote the safer answer",
                "rejected_origin": "who wrote the other one",
                "comment": "what the person added",
                **PROVENANCE,
            },
        ),
        View(
            "ratings",
            "One rated answer per row",
            {
                "prompt": _MESSAGES,
                "completion": f"{_MESSAGES}: the answer",
                "ratings": "attribute to points, 0 to 4",
                "reasons": "attribute to why, of those about which somebody wrote",
                "confidence": "attribute to how sure the person was: 1 unsure, 2 fairly sure, 3 sure",
                "flags": "what the answer was flagged for",
                **_ONE_ANSWER,
                "comment": "what the person added",
                **PROVENANCE,
            },
        ),
        View(
            "safety",
            "One answer per row, safe or with its harms",
            {
                "prompt": _MESSAGES,
                "completion": f"{_MESSAGES}: the answer",
                "is_safe": "true when it is safe",
                "severity": "0 when safe, else that of its worst category: 1 minor, 2 moderate, 3 severe",
                "harms": "category to severity, in the campaign's own pack",
                "pack": "the pack of categories",
                "safe_rlhf_harms": "the categories of PKU-SafeRLHF that these correspond to",
                **_ONE_ANSWER,
                "comment": "what the person added",
                **PROVENANCE,
            },
        ),
        View(
            "principles",
            "One principle of one answer per row",
            {
                "prompt": _MESSAGES,
                "completion": f"{_MESSAGES}: the answer",
                "principle": "name of the principle",
                "principle_version": "which wording of it was answered, made of its words; null for one's own",
                "statement": "the principle as the person worded or confirmed it out of a critique, else null",
                "answer": "yes, no, partly, or na when it does not apply",
                "evidence": 'null, or {"text", "start", "end"}: what was marked, with its place or null',
                "evidence_in": "where that is: answer, or critique for one's own words about it",
                "proposed_by": "which extractor proposed it, with its version; null when nobody did",
                "changed": "true when the person changed what was proposed before they confirmed it",
                "domain": "what the prompt is about, as it was imported; or the empty string",
                "language": "the language that the item asks for, by its English name in small letters; or null",
                **_ONE_ANSWER,
                "comment": "what the person added",
                **PROVENANCE,
            },
        ),
        View(
            "critiques",
            "One criticised answer per row",
            {
                "prompt": _MESSAGES,
                "completion": f"{_MESSAGES}: the answer",
                "critique": "the whole text; strengths and weaknesses together where they were asked apart",
                "strengths": "what is good about it; empty where it was not asked apart",
                "weaknesses": "what is not; empty where it was not asked apart",
                "score": "1 very bad to 5 very good, or null",
                "passages": 'list of {"about": "strengths" or "weaknesses", "text", "start", "end"}: what was marked, '
                "with its place in the answer or null",
                **_ONE_ANSWER,
                **PROVENANCE,
            },
        ),
        View(
            "judgements",
            "Every judgement as it was given, ties and all",
            {
                "kind": "kind of feedback",
                "prompt": _MESSAGES,
                "dialogue": "where turns are judged, the whole conversation; else null",
                "completions": 'list of {"text", "origin"} in canonical order; of a whole dialogue also "messages"',
                "shown_order": "shown_order[i] is the canonical position of what stood in place i",
                "payload": "the judgement in the kind's own form",
                "verdict": "the judgement in words, in terms of the canonical order",
                "behaviour": f"how the page was used, or null; of these what was measured: {_BEHAVIOUR}",
                "flagged": "true when the person asked a reviewer to look at the item",
                "suggestion": 'null, or what a model said of the item: {"payload", "by", "score", "verdict", '
                '"agreement"}, the last the share of points on which the judgement says the same',
                **PROVENANCE,
            },
        ),
        View(
            "turns",
            "A better and a worse next turn after the same conversation",
            {
                "prompt": f"{_MESSAGES}: the conversation before the turn",
                "chosen": f"{_MESSAGES}: the better turn; of whole dialogues all that follows",
                "rejected": f"{_MESSAGES}: the worse one",
                "gap": "how much better it was called, 1/3 to 1: in place of a difference of rewards",
                "number": "which turn of the assistant it is, from 1",
                "chosen_origin": "who wrote the better turn",
                "rejected_origin": "who wrote the worse one",
                **PROVENANCE,
            },
        ),
        View(
            "outcomes",
            "One answer with one number for how good it is",
            {
                "prompt": _MESSAGES,
                "completion": f"{_MESSAGES}: the answer",
                "reward": "0 to 1: the mean of its ratings over the highest there is, or its score",
                "source": '"ratings" or "critiques": what it was made from',
                "completion_origin": "who wrote it",
                **PROVENANCE,
            },
        ),
        View(
            "people",
            "What one person preferred: pairs to learn the person from, and pairs to be told right",
            {
                "annotator": "pseudonym of the person, stable within this server",
                "context": 'list of {"prompt", "chosen", "rejected", "strength"}: up to eight, the earlier ones',
                "target": "the same of up to eight later ones, about other prompts",
                "simulated": "true when a simulated person judged",
                "campaign": "name of the campaign",
                "feedback": "id of the last judgement in it",
            },
        ),
        View(
            "aggregates",
            "One item per row: what people said together, beside what each of them said",
            {
                "kind": "kind of feedback",
                "prompt": _MESSAGES,
                "completions": 'list of {"text", "origin"} in canonical order; of a whole dialogue also "messages"',
                "aggregate": 'list of {"dimension", "place", "value", "category", "agreement", "judgements"}: the '
                "median where there is an order, else what most said; and the share of pairs of judgements that say "
                "the same",
                "judgements": 'list of {"annotator", "payload", "verdict", "shown_order", "seconds", "active_seconds", '
                '"simulated", "guideline", "feedback", "created"}: every judgement that stands',
                "agreement": "the mean of these shares; null where nobody can agree",
                "count": "how many judgements there are",
                **{
                    name: PROVENANCE[name]
                    for name in ("round", "policy", "campaign", "task", "feedback", "audit", "turn")
                },
            },
        ),
        View(
            "prompts",
            "What the campaign asks about, each prompt once",
            {"id": "hash of the prompt", "prompt": _MESSAGES, "domain": "domain, or the empty string"},
        ),
    )
}


# Views whose rows are made of those of other ones, which a kind feeds without knowing.
MADE_OF: dict[str, tuple[str, ...]] = {
    "turns": ("pairs",),
    "outcomes": ("ratings", "critiques"),
    "people": ("pairs",),
}
# Of every campaign, whatever is asked in it.
ALWAYS = ("judgements", "aggregates", "prompts")


def views_of(fed: Collection[str]) -> list[View]:
    """Return the views that have rows in a campaign whose kind feeds `fed`, in the order in which pages show them."""
    made = [name for name, sources in MADE_OF.items() if set(sources) & set(fed)]
    return [VIEWS[name] for name in (*fed, *made, *ALWAYS)]


def view(name: str) -> View:
    """Return the view called `name`; raises `Invalid` that suggests the nearest one."""
    found = VIEWS.get(name)
    if found is None:
        near = difflib.get_close_matches(name, VIEWS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(VIEWS)}."
        message = f"There is no view {name!r}; {hint}"
        raise Invalid(message, {"view": [message]})
    return found
