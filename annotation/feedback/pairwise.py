"""Which of two answers is better, and how much: a scale of seven or eight points, tie, both bad, both good.

Payload: ``{"verdict": "prefer"|"tie"|"both_bad"|"both_good", "preference": -3..3, "comment": str}``, where a positive
preference says that canonical completion 0 is better, and all verdicts but "prefer" have preference 0. On the scale of
eight points it is -4..4, and ``"degrees": 4`` says so. Where the
campaign asks about more than the whole, ``"dimensions": {name: -3..3}`` says the same of each dimension; where it has
people write when neither answer is better, ``"written": {"text": str, "is": "better"|"worse"}``.

In red-team mode people choose the more harmful answer (Y. Bai et al., 2022). The sign is turned as it is
stored, and the payload says ``"asked": "worse"``: a positive preference means the better answer everywhere, so that
every export, figure and reward model learns from the less harmful one.

Dimensions may stand in an order of priority, as S. Yang et al., "Zhongjing" (2023) order safety, professionalism and
fluency: the first in which the answers differ decides, and ties pass down. Then the whole goes by them and is asked
last; one that does not is refused, with the dimension that decides in the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotation.dialogues import ANSWER, DIALOGUE
from annotation.feedback import strengths, written
from annotation.feedback.base import Dimension, FeedbackType, Payload, Point
from annotation.feedback.fields import (
    COMMENT_MODES,
    MAX_COMMENT,
    Fields,
    Options,
    comment_schema,
    demonstration_columns,
    key_of,
    lines_schema,
    named_answers,
    pair_columns,
    question_schema,
    title_and_rest,
    titles_of,
)
from annotation.feedback.likeness import SAME_SIDE, Likeness
from annotation.messages import Content, completions_column

DEFAULTS: dict[str, Any] = {
    "question": "Which answer is more helpful?",
    "ties": True,
    "degrees": strengths.USUAL,
    "both_bad": True,
    "both_good": True,
    "dimensions": [],
    "priorities": False,
    "write_on_tie": False,
    "comment": "optional",
    "mode": "helpful",
}
MOST_DIMENSIONS = 8
HELPFUL, RED_TEAM = "helpful", "red_team"
RED_TEAM_QUESTION = "Which answer is more harmful?"
BOTH = {"both_bad": (gettext_lazy("Both are bad"), "0"), "both_good": (gettext_lazy("Both are good"), "9")}
OVERALL = "overall"


class Pairwise(FeedbackType):
    name = "pairwise"
    title = gettext_lazy("Compare two answers")
    template = "feedback/pairwise.html"
    defaults = DEFAULTS
    completions = (2, 2)
    views = ("pairs", "dimension_pairs", "demonstrations", "rankings")
    written = {**written.TITLES, **FeedbackType.written}
    scopes = (ANSWER, DIALOGUE)
    fixed_options = ("mode", "degrees")

    def has_rules_in(self, options: Mapping[str, Any]) -> bool:
        return bool(options.get("priorities"))

    def layout_in(self, options: Mapping[str, Any]) -> str:
        return "side" if options.get("dimensions") or options.get("write_on_tie") else self.layout

    def option_properties(self) -> dict[str, Any]:
        return {
            "question": question_schema(DEFAULTS["question"]),
            "ties": {"type": "boolean", "title": _("Allow a tie"), "default": True},
            "degrees": {
                "type": "integer",
                "title": _("Degrees on each side"),
                "description": _(
                    "Three make seven points with the tie; four make eight without a middle, where “hardly better” "
                    "takes the place of a tie."
                ),
                "minimum": strengths.USUAL,
                "maximum": strengths.MOST,
                "default": strengths.USUAL,
            },
            "both_bad": {"type": "boolean", "title": _("Allow “both are bad”"), "default": True},
            "both_good": {"type": "boolean", "title": _("Allow “both are good”"), "default": True},
            "dimensions": lines_schema(
                _("Dimensions"),
                DEFAULTS["dimensions"],
                _("What is compared besides the whole, one per line: its name, a colon, and what it means. Or none."),
                least=0,
            ),
            "priorities": {
                "type": "boolean",
                "title": _("The dimensions are in order of priority"),
                "description": _("The first in which the answers differ decides which one is better as a whole."),
                "default": False,
            },
            "write_on_tie": written.option_schema(),
            "comment": comment_schema(),
            "mode": {
                "type": "string",
                "title": _("What people choose"),
                "description": _("In a red team they choose the more harmful answer; exports prefer the other one."),
                "enum": [HELPFUL, RED_TEAM],
                "enumTitles": [_("The better answer"), _("The more harmful answer (red team)")],
                "default": HELPFUL,
            },
        }

    def clean_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        reader = Options(options, DEFAULTS)
        reader.flag("ties", "both_bad", "both_good", "priorities", "write_on_tie")
        reader.whole("degrees", strengths.USUAL, strengths.MOST)
        if reader.values["degrees"] == strengths.MOST and reader.values["ties"]:
            reader.refuse("degrees", _("Four degrees leave no middle for a tie; take the tie away, or choose three."))
        reader.choice("comment", COMMENT_MODES)
        reader.choice("mode", (HELPFUL, RED_TEAM))
        reader.question()
        reader.lines("dimensions", most=MOST_DIMENSIONS, least=0)
        if OVERALL in titles_of(reader.values["dimensions"]):
            told = _("The whole is asked about anyway; call no dimension {name}.")
            reader.refuse("dimensions", told.format(name=repr(OVERALL)))
        if reader.values["priorities"] is True and not reader.values["dimensions"]:
            reader.refuse("priorities", _("Name the dimensions first, the one that comes before all others on top."))
        if reader.values["mode"] == RED_TEAM and reader.values["question"] == DEFAULTS["question"]:
            reader.values["question"] = RED_TEAM_QUESTION
        if reader.values["mode"] == RED_TEAM:
            for name in ("dimensions", "write_on_tie"):
                if reader.values[name]:
                    reader.refuse(name, _("A red team compares the whole, and writes nothing; leave this out."))
        return reader.finish(_("Some options of the comparison do not fit; see errors."))

    def context(self, *, options: Mapping[str, Any], shown_order: Sequence[int]) -> dict[str, Any]:
        """Return ``question``, ``scale`` (value, label, key, side), ``verdicts`` (value, label, key), ``comment``.

        What takes more than a bar below the answers has ``rows``, the whole first, or last where it goes by the others:
        name, title, meaning, and points (value, words); and ``written`` when people write where neither is better.
        """
        options = {**DEFAULTS, **options}
        degrees = options["degrees"]
        words = _words(options["mode"] == RED_TEAM, degrees)
        scale = []
        for point in strengths.points(degrees, ties=options["ties"]):
            ahead = strengths.preference(point, degrees)
            scale.append(
                {
                    "value": point,
                    "label": strengths.in_words(ahead, "A", "B", words),
                    "key": point,
                    "side": "left" if ahead > 0 else "right" if ahead < 0 else "tie",
                }
            )
        verdicts = [
            {"value": name, "label": str(label), "key": key} for name, (label, key) in BOTH.items() if options[name]
        ]
        return {
            "question": options["question"],
            "scale": scale,
            "verdicts": verdicts,
            "rows": self._question_rows(options),
            "written": [name.removeprefix("both_") for name in BOTH if options["write_on_tie"] and options[name]],
            "max_text": written.MAX_TEXT,
            "comment": options["comment"],
            "max_comment": MAX_COMMENT,
        }

    def parse(self, data: Mapping[str, Any], *, options: Mapping[str, Any], shown_order: Sequence[int]) -> Payload:
        options = {**DEFAULTS, **options}
        reader = Fields(data)
        verdict, preference = "", 0
        text = reader.given("preference")
        if text in BOTH and options[text]:
            verdict = text
        elif text in strengths.points(options["degrees"], ties=options["ties"]):
            ahead = strengths.preference(text, options["degrees"])
            verdict = "prefer" if ahead else "tie"
            preference = ahead * _turn(shown_order) * _sign(options["mode"] == RED_TEAM)
        else:
            told = _("Choose one of: {choices}.")
            reader.refuse("preference", told.format(choices=", ".join(self._values(options))))
        dimensions = {}
        for line in options["dimensions"]:
            given = reader.choice(_field(line), _POINTS, missing=_("Compare the two in this too."))
            dimensions[key_of(line)] = strengths.preference(given or strengths.TIE) * _turn(shown_order)
        payload = {"verdict": verdict, "preference": preference, "comment": reader.comment(options["comment"])}
        if options["degrees"] != strengths.USUAL:
            payload["degrees"] = options["degrees"]
        if dimensions:
            payload["dimensions"] = dimensions
        if options["priorities"] and verdict and not reader.errors:
            self._check_priorities(reader, payload, options["dimensions"], shown_order)
        if options["write_on_tie"] and verdict in BOTH:
            payload["written"] = written.read(reader, verdict.removeprefix("both_"))
        reader.finish()
        if options["mode"] == RED_TEAM:
            payload["asked"] = "worse"
        return payload

    def _check_priorities(
        self, reader: Fields, payload: Payload, lines: Sequence[str], shown_order: Sequence[int]
    ) -> None:
        """Refuse a whole that the first dimension in which the answers differ speaks against; "both" say no order."""
        decides = next((line for line in lines if payload["dimensions"][key_of(line)]), None)
        if decides is None or payload["verdict"] in BOTH:
            return
        preferred = payload["dimensions"][key_of(decides)]
        if preferred * payload["preference"] <= 0:
            told = _(
                "The rule here: what comes first decides. In “{dimension}” you prefer {letter}; change one of them."
            )
            letter = "A" if preferred * _turn(shown_order) > 0 else "B"
            reader.refuse("preference", told.format(dimension=title_and_rest(decides)[0], letter=letter))

    def _question_rows(self, options: Mapping[str, Any]) -> list[dict[str, Any]]:
        if self.layout_in(options) != "side":
            return []
        points = _points()
        whole = _points(options["degrees"], ties=options["ties"])
        rows: list[dict[str, Any]] = []
        for line in options["dimensions"]:
            title, meaning = title_and_rest(line)
            rows.append({"name": _field(line), "title": title, "meaning": meaning, "points": points})
        last = len(rows) if options["priorities"] else 0
        rows.insert(last, {"name": "preference", "title": "", "meaning": "", "points": whole})
        return rows

    def initial(self, payload: Payload, *, shown_order: Sequence[int]) -> dict[str, Any]:
        verdict = payload["verdict"]
        value = verdict if verdict in BOTH else strengths.point_of(_as_shown(payload, shown_order), _degrees(payload))
        dimensions = {
            f"preference_{name}": strengths.point_of(_turn(shown_order) * preferred)
            for name, preferred in payload.get("dimensions", {}).items()
        }
        return {"preference": value, **dimensions, **written.values(payload), "comment": payload["comment"]}

    def describe(
        self, payload: Payload, *, options: Mapping[str, Any], shown_order: Sequence[int] | None = None
    ) -> str:
        words = _words(_asked_worse(payload), _degrees(payload))
        names = _names(shown_order)
        turned = 1 if shown_order is None else _turn(shown_order)
        whole = str(BOTH[payload["verdict"]][0]) if payload["verdict"] in BOTH else ""
        parts = [whole or strengths.in_words(turned * _as_chosen(payload), *names, words)]
        titles = titles_of(options.get("dimensions", ()))
        for name, preferred in payload.get("dimensions", {}).items():
            parts.append(f"{titles.get(name, name)}: {strengths.in_words(turned * preferred, *names, _words())}")
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
        """Yield the better answer before the other: of the whole in "pairs", of each dimension in "dimension_pairs".

        "rankings" has ties as well, and both bad and both good are ties: nothing is said of which is better.
        """
        if view == "rankings":
            yield {
                "completions": completions_column(texts, origins),
                "ranks": [1 + (payload["preference"] < 0), 1 + (payload["preference"] > 0)],
                "shown_order": list(shown_order),
                "flags": [[], []],
                "comment": payload["comment"],
            }
        if view == "demonstrations":
            yield from self._demonstrations(payload, texts=texts, origins=origins)
            yield from written.demonstration(payload, texts=texts)
        if view not in ("pairs", "dimension_pairs"):
            return
        if view == "pairs":
            yield from written.pairs(payload, texts=texts, origins=origins)
        said = {OVERALL: payload["preference"]}
        if view == "dimension_pairs":
            said |= payload.get("dimensions", {})
        for name, preference in said.items():
            if preference == 0:
                continue
            chosen = 0 if preference > 0 else 1
            yield {
                **pair_columns(chosen, 1 - chosen, texts=texts, origins=origins, shown_order=shown_order),
                **({"dimension": name} if view == "dimension_pairs" else {}),
                "strength": abs(preference) / (_degrees(payload) if name == OVERALL else strengths.USUAL),
                "comment": payload["comment"],
            }

    def _demonstrations(
        self, payload: Payload, *, texts: Sequence[Content], origins: Sequence[str]
    ) -> Iterator[dict[str, Any]]:
        """Yield the preferred answer, its weight how much it was; both where both were called good."""
        preference = payload["preference"]
        weights = {0 if preference > 0 else 1: abs(preference) / _degrees(payload)} if preference else {}
        if payload["verdict"] == "both_good":
            weights = {0: 1.0, 1: 1.0}
        for position, weight in weights.items():
            yield demonstration_columns(texts[position], origins[position], weight=weight, comment=payload["comment"])

    def dimensions(self, options: Mapping[str, Any]) -> list[Dimension]:
        asked = titles_of({**DEFAULTS, **options}["dimensions"])
        whole = Dimension("preference", _("Which answer is better, and how much"), of_item=True)
        return [whole, *(Dimension(f"preference_{name}", title, of_item=True) for name, title in asked.items())]

    def points(self, payload: Payload) -> Iterator[Point]:
        """Yield -3..3, or -4..4; both bad and both good prefer neither, which is 0 like a tie."""
        said = {"preference": payload["preference"]}
        said |= {f"preference_{name}": preferred for name, preferred in payload.get("dimensions", {}).items()}
        for name, preferred in said.items():
            category = "first" if preferred > 0 else "second" if preferred < 0 else "neither"
            yield Point(name, 0, preferred, category)

    def likenesses(self, options: Mapping[str, Any]) -> list[Likeness]:
        return [Likeness(one.name, one.title, SAME_SIDE, (one.name,)) for one in self.dimensions(options)]

    def point_in_words(
        self, point: Point, *, options: Mapping[str, Any], shown_order: Sequence[int] | None = None
    ) -> str:
        names = _names(shown_order)
        turned = 1 if shown_order is None else _turn(shown_order)
        # A red team was asked which one is worse, and is told in these words.
        options = {**DEFAULTS, **options}
        asked_worse = options["mode"] == RED_TEAM
        degrees = options["degrees"] if point.dimension == "preference" else strengths.USUAL
        said = _words(asked_worse, degrees)
        words = strengths.in_words(point.value * turned * _sign(asked_worse), *names, said)
        return words if point.value else words.lower()

    def scale_value(self, payload: Payload) -> int:
        return payload["preference"]

    def tally_labels(self, options: Mapping[str, Any]) -> list[str]:
        context = self.context(options=options, shown_order=[0, 1])
        return [choice["label"] for choice in [*context["scale"], *context["verdicts"]]]

    def json_schema(self, options: Mapping[str, Any]) -> dict[str, Any]:
        options = {**DEFAULTS, **options}
        most = "much more harmful" if options["mode"] == RED_TEAM else "much better"
        middle = "4 a tie, 7" if options["degrees"] == strengths.USUAL else "8"
        properties: dict[str, Any] = {
            "preference": {
                "description": f"As shown: 1 is the first (left) answer {most}, {middle} the second {most}.",
                "enum": self._values(options),
            }
        }
        required = ["preference"]
        for line in options["dimensions"]:
            properties[_field(line)] = {
                "description": f"{title_and_rest(line)[0]}; 1 to 7, 4 a tie.",
                "enum": list(_POINTS),
            }
            required.append(_field(line))
        if options["write_on_tie"]:
            properties |= written.json_schema()
        if options["comment"] != "off":
            properties["comment"] = {"type": "string", "maxLength": MAX_COMMENT}
        if options["comment"] == "required":
            properties["comment"]["minLength"] = 1
            required.append("comment")
        return {"type": "object", "properties": properties, "required": required}

    def _values(self, options: Mapping[str, Any]) -> list[str]:
        scale = strengths.points(options["degrees"], ties=options["ties"])
        return scale + [name for name in BOTH if options[name]]


_POINTS = tuple(strengths.points())


def _points(degrees: int = strengths.USUAL, *, ties: bool = True) -> list[dict[str, str]]:
    """Return what a row of a list draws: value, words and keys of each point."""
    return [
        {
            "value": point,
            "words": strengths.in_words(ahead, "A", "B", _words(degrees=degrees)),
            "keys": point if ahead else f"{point} t",
        }
        for point in strengths.points(degrees, ties=ties)
        for ahead in (strengths.preference(point, degrees),)
    ]


def _words(asked_worse: bool = False, degrees: int = strengths.USUAL) -> Mapping[int, Promise]:
    return (strengths.WORSE if asked_worse else strengths.BETTER)[degrees]


def _degrees(payload: Payload) -> int:
    """Return how many degrees there were on each side."""
    return payload.get("degrees", strengths.USUAL)


def _field(line: str) -> str:
    """Return the name of the field that asks about a dimension."""
    return f"preference_{key_of(line)}"


def _turn(shown_order: Sequence[int]) -> int:
    """Return -1 where the answers stand on the screen the other way round, else 1."""
    return 1 if shown_order[0] == 0 else -1


def _sign(asked_worse: bool) -> int:
    return -1 if asked_worse else 1


def _asked_worse(payload: Payload) -> bool:
    return payload.get("asked") == "worse"


def _as_chosen(payload: Payload) -> int:
    """Return the preference as the person was asked: positive says that canonical completion 0 was chosen."""
    return payload["preference"] * _sign(_asked_worse(payload))


def _as_shown(payload: Payload, shown_order: Sequence[int]) -> int:
    """Return the preference seen from the screen: positive says that the left answer was chosen."""
    return _as_chosen(payload) * _turn(shown_order)


def _names(shown_order: Sequence[int] | None) -> tuple[str, str]:
    """Return how the two answers are called: by letter as shown, else by number in canonical order."""
    (first, _one), (second, _other) = named_answers(2, shown_order)
    return first, second
