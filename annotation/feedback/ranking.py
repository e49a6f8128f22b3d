"""Answers put in order, from two to eight of them, with ties.

Payload: ``{"ranks": [1.., …], "comment": str}``, the rank of each completion in canonical order: 1 is best, equal ranks
are ties, and no rank is left out between them (1, 2, 2, 3). Where the campaign has people write when no answer is
better, ``"all": "bad"|"good"`` and ``"written": {"text": str, "is": "better"|"worse"}`` as well. Where it has each
answer rated or flagged before they are ordered, ``"ratings"`` and ``"reasons"`` as `annotation.feedback.scales` has
them, and ``"flags"`` as `annotation.feedback.flags` has them. Ordering several answers at once gives every pair among
them for the price of one reading (L. Ouyang et al., "InstructGPT", 2022, section 3.5); rating and giving reasons first
is the form of "MM-RLHF" (Y.-F. Zhang et al., 2025).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotation.feedback import flags, scales, written
from annotation.feedback.base import Dimension, FeedbackType, Payload, Point
from annotation.feedback.fields import (
    COMMENT_MODES,
    MAX_COMMENT,
    Fields,
    Options,
    answer_columns,
    comment_schema,
    demonstration_columns,
    letters,
    lines_schema,
    named_answers,
    pair_columns,
    question_schema,
    titles_of,
)
from annotation.feedback.likeness import PAIRS, Likeness
from annotation.messages import Content, completions_column

MOST = 8
DEFAULTS: dict[str, Any] = {
    "question": "In which order do you prefer the answers?",
    "ties": True,
    "attributes": [],
    "reasons": "off",
    "flags": [],
    "write_on_tie": False,
    "comment": "optional",
}


class Ranking(FeedbackType):
    name = "ranking"
    title = gettext_lazy("Put answers in order")
    template = "feedback/ranking.html"
    defaults = DEFAULTS
    completions = (2, MOST)
    views = ("pairs", "rankings", "ratings", "demonstrations")
    written = {**written.TITLES, **FeedbackType.written}
    has_rules = True

    def layout_in(self, options: Mapping[str, Any]) -> str:
        """An order alone is one row of places, so that all the room is for the answers."""
        more = ("attributes", "flags", "write_on_tie", "regions")
        return "side" if any(options.get(name) for name in more) else self.layout

    def option_properties(self) -> dict[str, Any]:
        return {
            "question": question_schema(DEFAULTS["question"]),
            "ties": {
                "type": "boolean",
                "title": _("Allow ties"),
                "description": _("Two answers may have the same place."),
                "default": True,
            },
            "attributes": lines_schema(
                _("Rate each answer as well"),
                DEFAULTS["attributes"],
                _("From 0 to 4 on these attributes, before it gets its place. {lines} Or none.").format(
                    lines=scales.LINES
                ),
                least=0,
            ),
            "reasons": scales.reasons_schema(),
            "flags": flags.option_schema(),
            "write_on_tie": written.option_schema(),
            "comment": comment_schema(),
        }

    def clean_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        reader = Options(options, DEFAULTS)
        reader.question()
        reader.flag("ties", "write_on_tie")
        reader.choice("comment", COMMENT_MODES)
        scales.clean(reader, least=0)
        flags.clean(reader)
        for name in ("rank", "order"):
            if name in titles_of(reader.values["attributes"]):
                told = _("The order is asked about anyway; call no attribute {name}.")
                reader.refuse("attributes", told.format(name=repr(name)))
        return reader.finish(_("Some options of the ranking do not fit; see errors."))

    def context(self, *, options: Mapping[str, Any], shown_order: Sequence[int]) -> dict[str, Any]:
        """Return ``question``, ``ties``, ``comment`` and ``answers``: letter, field, and the ranks to choose from.

        An answer has ``rows`` to rate it and ``flags`` (name, title, key) where the campaign asks for them. And
        ``written``, the verdicts after which people write; none unless the campaign asks for it.
        """
        options = {**DEFAULTS, **options}
        count = len(shown_order)
        return {
            "question": options["question"],
            "ties": options["ties"],
            "answers": [
                {
                    "letter": letter,
                    "name": f"rank_{place}",
                    "ranks": [str(rank) for rank in range(1, count + 1)],
                    "rows": [scales.row(line, place, options["reasons"]) for line in options["attributes"]],
                    "flags": flags.drawn(options["flags"], place),
                }
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
        said: dict[str, Any] = self._said_of_each(reader, options, shown_order)
        if options["write_on_tie"] and (verdict := reader.choice("all", tuple(written.ASKED), required=False)):
            ranks = [1] * len(shown_order)
            said |= {"all": verdict, "written": written.read(reader, verdict)}
        else:
            ranks = self._ranks(reader, options, shown_order)
        comment = reader.comment(options["comment"])
        reader.finish()
        return {"ranks": ranks, **said, "comment": comment}

    def _ranks(self, reader: Fields, options: Mapping[str, Any], shown_order: Sequence[int]) -> list[int]:
        places = [str(rank) for rank in range(1, len(shown_order) + 1)]
        given = [0] * len(shown_order)
        for place, position in enumerate(shown_order, start=1):
            given[position] = int(reader.choice(f"rank_{place}", places, missing=_("Give this answer a place.")) or 0)
        if all(given) and not options["ties"]:
            for place, position in enumerate(shown_order, start=1):
                if given.count(given[position]) > 1:
                    reader.refuse(f"rank_{place}", _("Another answer has this place, and ties are not allowed here."))
        # Places may be left out on the screen (1, 3, 3); only the order says something.
        order = sorted(set(given))
        return [order.index(rank) + 1 for rank in given]

    def _said_of_each(self, reader: Fields, options: Mapping[str, Any], shown_order: Sequence[int]) -> dict[str, Any]:
        """Return the ratings and flags of the answers; only those that the campaign asks for."""
        said = scales.read(reader, options, shown_order) if options["attributes"] else {}
        return {**said, **flags.read(reader, options["flags"], shown_order)}

    def initial(self, payload: Payload, *, shown_order: Sequence[int]) -> dict[str, Any]:
        ranks = {f"rank_{place}": str(payload["ranks"][at]) for place, at in enumerate(shown_order, start=1)}
        if "all" in payload:
            ranks = {"all": payload["all"], **written.values(payload)}
        beside = {**scales.values(payload, shown_order), **flags.values(payload, shown_order)}
        return {**ranks, **beside, "comment": payload["comment"]}

    def describe(
        self, payload: Payload, *, options: Mapping[str, Any], shown_order: Sequence[int] | None = None
    ) -> str:
        answers = named_answers(len(payload["ranks"]), shown_order)
        groups: dict[int, list[str]] = {}
        for name, position in answers:
            groups.setdefault(payload["ranks"][position], []).append(name)
        order = " > ".join(" = ".join(groups[rank]) for rank in sorted(groups))
        parts = [str(_ALL[payload["all"]]) if "all" in payload else order]
        titles = titles_of([*options.get("attributes", ()), *options.get("flags", ())])
        for name, position in answers:
            said = scales.in_words(payload["ratings"][position] if "ratings" in payload else {}, titles)
            said += [titles.get(key, key) for key in flags.raised(payload, position)]
            if said:
                parts.append(f"{name}: {', '.join(said)}")
        return "; ".join(parts)

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

        "ratings" has a row for each answer where they were asked for, with its flags. "demonstrations" are what came
        first, its weight 1, and what was written because all were bad.
        """
        ranks, order = payload["ranks"], list(shown_order)
        if view == "rankings":
            yield {
                "completions": completions_column(texts, origins),
                "ranks": ranks,
                "shown_order": order,
                "flags": [flags.raised(payload, position) for position in range(len(ranks))],
                "comment": payload["comment"],
            }
        if view == "ratings":
            for position in range(len(payload.get("ratings", ()))):
                yield {
                    **answer_columns(position, texts=texts, origins=origins, shown_order=shown_order),
                    **scales.columns(payload, position),
                    "flags": flags.raised(payload, position),
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

    def never(self, options: Mapping[str, Any]) -> frozenset[str]:
        """Return what is made of ratings where none are asked for."""
        return frozenset() if options.get("attributes") else frozenset({"ratings", "outcomes"})

    def dimensions(self, options: Mapping[str, Any]) -> list[Dimension]:
        options = {**DEFAULTS, **options}
        return [
            Dimension("order", _("Which of each two answers is better"), ordered=False, of_item=True),
            *(Dimension(key, title) for key, title in titles_of(options["attributes"]).items()),
            *flags.dimensions(options["flags"]),
        ]

    def points(self, payload: Payload) -> Iterator[Point]:
        """Yield a point for each pair of answers: two people agree as far as they order the same pairs alike.

        And one for each rating, and for each flag, raised or not.
        """
        for number, (one, other) in enumerate(combinations(payload["ranks"], 2)):
            sign = (other > one) - (other < one)
            yield Point("order", number, sign, {1: "first", 0: "neither", -1: "second"}[sign])
        yield from scales.points(payload)
        yield from flags.points(payload)

    def point_in_words(
        self, point: Point, *, options: Mapping[str, Any], shown_order: Sequence[int] | None = None
    ) -> str:
        return flags.point_in_words(point) or point.category

    def likenesses(self, options: Mapping[str, Any]) -> list[Likeness]:
        beside = [one for one in super().likenesses(options) if one.name != "order"]
        return [Likeness("order", _("The order"), PAIRS, ("order",)), *beside]

    def scale_value(self, payload: Payload) -> int | None:
        """Return 1 or -1 for the better one of two answers, 0 for a tie; None for more than two."""
        if len(payload["ranks"]) != 2:
            return None
        first, second = payload["ranks"]
        return (second > first) - (second < first)

    def tally_labels(self, options: Mapping[str, Any]) -> list[str]:
        first = [_came_first(letter) for letter in letters(range(MOST))]
        return [*first, *map(str, _ALL.values())] if options.get("write_on_tie") else first

    def tally(self, payload: Payload, *, options: Mapping[str, Any], shown_order: Sequence[int]) -> list[str]:
        if "all" in payload:
            return [str(_ALL[payload["all"]])]
        answers = named_answers(len(payload["ranks"]), shown_order)
        return [_came_first(name) for name, position in answers if payload["ranks"][position] == 1]

    def json_schema(self, options: Mapping[str, Any]) -> dict[str, Any]:
        options = {**DEFAULTS, **options}
        rank = {"enum": [str(rank) for rank in range(1, MOST + 1)]}
        properties: dict[str, Any] = {
            "rank_1": {**rank, "description": "Of the answer shown first, 1 is best; rank_2 is the second's."},
            "comment": {"type": "string", "maxLength": MAX_COMMENT},
            **scales.json_schema(options["attributes"], options["reasons"]),
            **flags.json_schema(options["flags"]),
        }
        rated = [f"{key}_1" for key in titles_of(options["attributes"])]
        reasons = [f"reason_{name}" for name in rated] if options["reasons"] == "required" else []
        required = ["rank_1", *rated, *reasons, *(["comment"] if options["comment"] == "required" else [])]
        if options["write_on_tie"]:
            properties |= {"all": {"enum": list(written.ASKED)}, **written.json_schema()}
            required.remove("rank_1")
        return {"type": "object", "properties": properties, "required": required}


# What a chart says where no answer is better than another.
_ALL = {"bad": gettext_lazy("All are bad"), "good": gettext_lazy("All are good")}


def _came_first(letter: str) -> str:
    return _("Answer {letter} came first").format(letter=letter)
