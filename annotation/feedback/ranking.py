"""Answers put in order, from two to eight of them, with ties.

Payload: ``{"ranks": [1.., …], "comment": str}``, the rank of each completion in canonical order: 1 is best, equal ranks
are ties, and no rank is left out between them (1, 2, 2, 3). Where the campaign has people write when no answer is
better, ``"all": "bad"|"good"`` and ``"written": {"text": str, "is": "better"|"worse"}`` as well. Ordering several
answers at once gives every pair among them for the price of one reading (L. Ouyang et al., "InstructGPT" (2022),
section 3.5).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from annotation.feedback import written
from annotation.feedback.base import Dimension, FeedbackType, Payload, Point
from annotation.feedback.fields import (
    COMMENT_MODES,
    MAX_COMMENT,
    Fields,
    Options,
    comment_schema,
    demonstration_columns,
    letters,
    named_answers,
    pair_columns,
    question_schema,
)
from annotation.feedback.likeness import PAIRS, Likeness
from annotation.messages import Content, completions_column

MOST = 8
DEFAULTS: dict[str, Any] = {
    "question": "In which order do you prefer the answers?",
    "ties": True,
    "write_on_tie": False,
    "comment": "optional",
}


class Ranking(FeedbackType):
    name = "ranking"
    title = "Put answers in order"
    template = "feedback/ranking.html"
    defaults = DEFAULTS
    completions = (2, MOST)
    views = ("pairs", "rankings", "demonstrations")
    layout = "side"
    has_rules = True

    def option_properties(self) -> dict[str, Any]:
        return {
            "question": question_schema(DEFAULTS["question"]),
            "ties": {
                "type": "boolean",
                "title": "Allow ties",
                "description": "Two answers may have the same place.",
                "default": True,
            },
            "write_on_tie": written.option_schema(),
            "comment": comment_schema(),
        }

    def clean_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        reader = Options(options, DEFAULTS)
        reader.question()
        reader.flag("ties", "write_on_tie")
        reader.choice("comment", COMMENT_MODES)
        return reader.finish("Some options of the ranking do not fit; see errors.")

    def context(self, *, options: Mapping[str, Any], shown_order: Sequence[int]) -> dict[str, Any]:
        """Return ``question``, ``ties``, ``comment`` and ``answers``: letter, field, and the ranks to choose from.

        And ``written``, the verdicts after which people write; none unless the campaign asks for it.
        """
        options = {**DEFAULTS, **options}
        count = len(shown_order)
        return {
            "question": options["question"],
            "ties": options["ties"],
            "answers": [
                {"letter": letter, "name": f"rank_{place}", "ranks": [str(rank) for rank in range(1, count + 1)]}
                for place, letter in enumerate(letters(range(count)), start=1)
            ],
            "written": list(written.ASKED) if options["write_on_tie"] else [],
            "max_text": written.MAX_TEXT,
            "comment": options["comment"],
            "max_comment": MAX_COMMENT,
        }

    def parse(self, data: Mapping[str, Any], *, options: Mapping[str, Any], shown_order: Sequence[int]) -> Payload:
        options = {**DEFAULTS, **options}
        reader = Fields(data)
        places = [str(rank) for rank in range(1, len(shown_order) + 1)]
        given = [0] * len(shown_order)
        if options["write_on_tie"] and (verdict := reader.choice("all", tuple(written.ASKED), required=False)):
            payload = {"ranks": [1] * len(shown_order), "all": verdict, "written": written.read(reader, verdict)}
            payload["comment"] = reader.comment(options["comment"])
            reader.finish()
            return payload
        for place, position in enumerate(shown_order, start=1):
            given[position] = int(reader.choice(f"rank_{place}", places, missing="Give this answer a place.") or 0)
        if not reader.errors and not options["ties"]:
            for place, position in enumerate(shown_order, start=1):
                if given.count(given[position]) > 1:
                    reader.refuse(f"rank_{place}", "Another answer has this place, and ties are not allowed here.")
        comment = reader.comment(options["comment"])
        reader.finish()
        # Places may be left out on the screen (1, 3, 3); only the order says something.
        order = sorted(set(given))
        return {"ranks": [order.index(rank) + 1 for rank in given], "comment": comment}

    def initial(self, payload: Payload, *, shown_order: Sequence[int]) -> dict[str, Any]:
        ranks = {f"rank_{place}": str(payload["ranks"][at]) for place, at in enumerate(shown_order, start=1)}
        if "all" in payload:
            ranks = {"all": payload["all"], **written.values(payload)}
        return {**ranks, "comment": payload["comment"]}

    def describe(
        self, payload: Payload, *, options: Mapping[str, Any], shown_order: Sequence[int] | None = None
    ) -> str:
        if "all" in payload:
            return f"All are {payload['all']}"
        answers = named_answers(len(payload["ranks"]), shown_order)
        groups: dict[int, list[str]] = {}
        for name, position in answers:
            groups.setdefault(payload["ranks"][position], []).append(name)
        return " > ".join(" = ".join(groups[rank]) for rank in sorted(groups))

    def rows(
        self,
        view: str,
        payload: Payload,
        *,
        texts: Sequence[Content],
        origins: Sequence[str],
        shown_order: Sequence[int],
    ) -> Iterator[dict[str, Any]]:
        """Yield every pair with an order in "pairs", its strength the gap of the ranks; one row in "rankings".

        "demonstrations" are what came first, its weight 1, and what was written because all were bad.
        """
        ranks, order = payload["ranks"], list(shown_order)
        if view == "rankings":
            yield {
                "completions": completions_column(texts, origins),
                "ranks": ranks,
                "shown_order": order,
                "comment": payload["comment"],
            }
        if view == "demonstrations":
            yield from self._demonstrations(payload, texts=texts, origins=origins)
        if view != "pairs":
            return
        yield from written.pairs(payload, texts=texts, origins=origins)
        for one, other in combinations(range(len(ranks)), 2):
            if ranks[one] == ranks[other]:
                continue
            chosen, rejected = (one, other) if ranks[one] < ranks[other] else (other, one)
            yield {
                **pair_columns(chosen, rejected, texts=texts, origins=origins, shown_order=shown_order),
                "strength": (ranks[rejected] - ranks[chosen]) / (len(ranks) - 1),
                "comment": payload["comment"],
            }

    def _demonstrations(
        self, payload: Payload, *, texts: Sequence[Content], origins: Sequence[str]
    ) -> Iterator[dict[str, Any]]:
        yield from written.demonstration(payload, texts=texts)
        if len(set(payload["ranks"])) == 1 and payload.get("all") != "good":
            return  # nothing was preferred
        for position, rank in enumerate(payload["ranks"]):
            if rank == 1:
                yield demonstration_columns(texts[position], origins[position], weight=1.0, comment=payload["comment"])

    def dimensions(self, options: Mapping[str, Any]) -> list[Dimension]:
        return [Dimension("order", "Which of each two answers is better", ordered=False)]

    def points(self, payload: Payload) -> Iterator[Point]:
        """Yield a point for each pair of answers: two people agree as far as they order the same pairs alike."""
        for number, (one, other) in enumerate(combinations(payload["ranks"], 2)):
            sign = (other > one) - (other < one)
            yield Point("order", number, sign, {1: "first", 0: "neither", -1: "second"}[sign])

    def likenesses(self, options: Mapping[str, Any]) -> list[Likeness]:
        return [Likeness("order", "The order", PAIRS, ("order",))]

    def scale_value(self, payload: Payload) -> int | None:
        """Return 1 or -1 for the better one of two answers, 0 for a tie; None for more than two."""
        if len(payload["ranks"]) != 2:
            return None
        first, second = payload["ranks"]
        return (second > first) - (second < first)

    def tally_labels(self, options: Mapping[str, Any]) -> list[str]:
        first = [f"Answer {letter} came first" for letter in letters(range(MOST))]
        return [*first, *(f"All are {verdict}" for verdict in written.ASKED)] if options.get("write_on_tie") else first

    def tally(self, payload: Payload, *, options: Mapping[str, Any], shown_order: Sequence[int]) -> list[str]:
        if "all" in payload:
            return [f"All are {payload['all']}"]
        answers = named_answers(len(payload["ranks"]), shown_order)
        return [f"Answer {name} came first" for name, position in answers if payload["ranks"][position] == 1]

    def json_schema(self, options: Mapping[str, Any]) -> dict[str, Any]:
        options = {**DEFAULTS, **options}
        rank = {"enum": [str(rank) for rank in range(1, MOST + 1)]}
        properties: dict[str, Any] = {
            "rank_1": {**rank, "description": "Of the answer shown first, 1 is best; rank_2 is the second's."},
            "comment": {"type": "string", "maxLength": MAX_COMMENT},
        }
        required = ["rank_1", *(["comment"] if options["comment"] == "required" else [])]
        if options["write_on_tie"]:
            properties |= {"all": {"enum": list(written.ASKED)}, **written.json_schema()}
            required.remove("rank_1")
        return {"type": "object", "properties": properties, "required": required}
