"""Regions of images: read with care, tied to their image, given back as they were, and none where there is no image."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.errors import Invalid
from annotation.feedback import KINDS, shown_images
from annotation.feedback.regions import pixels
from tests.annotation.feedback.examples import EXAMPLES

LABELS = ["Invented: is not there to be seen", "Misread"]
PLAIN = {"type": "text", "text": "What is this?"}


def image(name: str, width: int = 200, height: int = 100) -> dict[str, Any]:
    return {"type": "image", "image": name, "width": width, "height": height, "alt": ""}


# Two images in the prompt, one in the first answer, none in the second.
CONTENT = {
    "messages": [{"role": "user", "content": [image("p0"), PLAIN, image("p1", 400, 300)]}],
    "completions": [{"text": "A", "parts": [image("a0"), {"type": "text", "text": "A"}]}, {"text": "B"}],
}
OF_PROMPT = {"of": "prompt", "index": 1, "box": [0.25, 0.5, 0.5, 0.25], "label": "misread", "note": " a  wren\n"}
# On the screen the first answer stands in the second place.
OF_ANSWER = {"of": "2", "index": 0, "box": [0, 0, 1, 1], "label": "invented"}
TURNED = [1, 0]


def options_of(kind: str, **options: Any) -> dict[str, Any]:
    cleaned = KINDS[kind].clean_options({"regions": LABELS, **options})
    return dict(shown_images.for_item(cleaned, CONTENT))


def parse(*marked: Any, text: bool = True, **data: Any) -> dict[str, Any]:
    sent = json.dumps(marked) if text else list(marked)
    return KINDS["pairwise"].parse(
        {"preference": "2", "regions": sent, **data}, options=options_of("pairwise"), shown_order=TURNED
    )


def test_a_region_is_tied_to_its_image_and_comes_back_as_it_was_given() -> None:
    payload = parse(OF_PROMPT, OF_ANSWER)
    assert payload["regions"] == {
        "labels": ["invented", "misread"],
        "marked": [
            {
                "of": "prompt",
                "index": 1,
                "image": "p1",
                "width": 400,
                "height": 300,
                "box": [0.25, 0.5, 0.5, 0.25],
                "label": "misread",
                "note": "a wren",
            },
            {
                "of": 0,
                "index": 0,
                "image": "a0",
                "width": 200,
                "height": 100,
                "box": [0.0, 0.0, 1.0, 1.0],
                "label": "invented",
                "note": "",
            },
        ],
    }
    assert json.loads(json.dumps(payload)) == payload
    assert payload == parse(OF_PROMPT, OF_ANSWER, text=False)
    values = KINDS["pairwise"].initial(payload, shown_order=TURNED)
    assert json.loads(values["regions"])[1]["of"] == "2"
    again = KINDS["pairwise"].parse(values, options=options_of("pairwise"), shown_order=TURNED)
    assert again == payload


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_that_shows_answers_takes_them(kind: str) -> None:
    one, options = KINDS[kind], options_of(kind)
    data = {**EXAMPLES[kind], "regions": [OF_PROMPT, OF_ANSWER]}
    payload = one.parse(data, options=options, shown_order=TURNED)
    assert len(payload["regions"]["marked"]) == 2
    assert one.parse(one.initial(payload, shown_order=TURNED), options=options, shown_order=TURNED) == payload
    said = one.describe(payload, options=options, shown_order=TURNED)
    assert said.endswith("marked: Misread (prompt), Invented (answer B)")
    assert one.describe(payload, options=options).endswith("marked: Misread (prompt), Invented (answer 1)")
    assert one.context(options=options, shown_order=TURNED)["regions"]["labels"][0] == {
        "key": "invented",
        "title": "Invented",
        "meaning": "is not there to be seen",
    }
    # An order alone is one row below the answers; with regions to list it needs the panel at the side.
    assert one.layout_in(options) == ("side" if kind == "ranking" else one.layout_in(one.default_options()))
    jsonschema.validate(
        {name: value for name, value in data.items() if value != "0" or "harm" not in name}, one.json_schema(options)
    )
    points = {point.dimension: point.value for point in one.points(payload) if point.dimension.startswith("region_")}
    assert points == {"region_invented": 1, "region_misread": 1}
    assert set(points) <= {dimension.name for dimension in one.dimensions(options)}


def test_what_nobody_marked_counts_as_not_marked() -> None:
    payload = parse()
    assert payload["regions"]["marked"] == []
    points = {point.dimension: point.category for point in KINDS["pairwise"].points(payload)}
    assert points["region_invented"] == points["region_misread"] == "not marked"
    assert "marked" not in KINDS["pairwise"].describe(payload, options=options_of("pairwise"))


def test_an_item_without_images_is_judged_as_ever() -> None:
    kind = KINDS["pairwise"]
    cleaned = kind.clean_options({"regions": LABELS})
    without = {"messages": [{"role": "user", "content": "Why?"}], "completions": [{"text": "A"}, {"text": "B"}]}
    options = shown_images.for_item(cleaned, without)
    payload = kind.parse({"preference": "2", "regions": [OF_PROMPT]}, options=options, shown_order=[0, 1])
    assert "regions" not in payload
    assert "regions" not in kind.context(options=options, shown_order=[0, 1])


@pytest.mark.parametrize(
    ("region", "words"),
    [
        ("a box", "as an object"),
        ({**OF_PROMPT, "index": 2}, "no image of this item"),
        ({**OF_PROMPT, "index": True}, "no image of this item"),
        ({**OF_PROMPT, "of": "1"}, "no image of this item"),
        ({**OF_PROMPT, "of": "9"}, "no image of this item"),
        ({**OF_PROMPT, "of": {}}, "no image of this item"),
        ({**OF_PROMPT, "box": [0, 0, 1]}, "left, top, width and height"),
        ({**OF_PROMPT, "box": [0, 0, "1", 1]}, "left, top, width and height"),
        ({**OF_PROMPT, "box": [0, 0, 1.1, 1]}, "left, top, width and height"),
        ({**OF_PROMPT, "box": [0, 0, 10**400, 1]}, "left, top, width and height"),
        ({**OF_PROMPT, "box": [float("nan"), 0, 1, 1]}, "left, top, width and height"),
        ({**OF_PROMPT, "box": [0.6, 0, 0.5, 1]}, "beyond the edge"),
        ({**OF_PROMPT, "box": [0.6, 0, 0, 1]}, "no area"),
        ({**OF_PROMPT, "label": ""}, "choose one of its labels: invented, misread"),
        ({**OF_PROMPT, "label": ["misread"]}, "choose one of its labels"),
        ({**OF_PROMPT, "note": 7}, "note as text"),
        ({**OF_PROMPT, "note": "x" * 501}, "more than 500 characters"),
        ({**OF_PROMPT, "note": "\x00"}, "NUL"),
    ],
)
def test_what_does_not_fit_is_said_of_the_region_by_its_number(region: Any, words: str) -> None:
    for text in (True, False):
        with pytest.raises(Invalid) as caught:
            parse(OF_PROMPT, region, text=text)
        (reason,) = caught.value.errors["regions"]
        assert reason.startswith("Region 2: ") and words in reason


@pytest.mark.parametrize(
    ("sent", "words"), [("{", "a list"), ("[" * 100_000, "a list"), ({}, "a list"), ([OF_PROMPT] * 51, "at most 50")]
)
def test_what_is_no_list_of_regions_is_refused(sent: Any, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        KINDS["pairwise"].parse({"preference": "", "regions": sent}, options=options_of("pairwise"), shown_order=TURNED)
    assert words in caught.value.errors["regions"][0]
    assert "preference" in caught.value.errors, "both are told at once"


def test_a_hair_beyond_the_edge_is_the_edge() -> None:
    (region,) = parse({**OF_PROMPT, "box": [-0.0001, 0.5, 1.0002, 0.5001]})["regions"]["marked"]
    assert region["box"] == [0.0, 0.5, 1.0, 0.5]


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ([0.25, 0.5, 0.5, 0.25], [100, 150, 200, 75]),
        ([0, 0, 1, 1], [0, 0, 400, 300]),
        ([0.9999, 0.9999, 0.0001, 0.0001], [399, 299, 1, 1]),
    ],
)
def test_pixels_of_a_box(box: list[float], expected: list[int]) -> None:
    assert pixels(box, 400, 300) == expected


@given(left=st.floats(0, 0.99), top=st.floats(0, 0.99), share=st.floats(0.001, 1), width=st.integers(1, 16_000))
@settings(deadline=None)
def test_every_box_that_is_taken_lies_within_its_image(left: float, top: float, share: float, width: int) -> None:
    sent = {**OF_PROMPT, "box": [left, top, (1 - left) * share, (1 - top) * share]}
    (region,) = parse(sent)["regions"]["marked"]
    box = region["box"]
    assert box[0] + box[2] <= 1 + 2e-6 and box[1] + box[3] <= 1 + 2e-6
    x, y, wide, high = pixels(box, width, width)
    assert 0 <= x < x + wide <= width and 0 <= y < y + high <= width


def test_labels_are_lines_like_those_of_other_options() -> None:
    for bad in (["a", "A"], ["?"], ["x" * 501], list(map(str, range(21))), 7, [1]):
        with pytest.raises(Invalid) as caught:
            KINDS["critique"].clean_options({"regions": bad, "colour": "red"})
        assert set(caught.value.errors) == {"regions", "colour"}
    assert KINDS["critique"].clean_options({"regions": "One\n\nTwo: more"})["regions"] == ["One", "Two: more"]
