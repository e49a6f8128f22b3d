"""What every kind of feedback must do, whichever it is; a new kind is tested here as soon as it is registered."""

from __future__ import annotations

import copy
import json

import jsonschema
import pytest
from django.utils import translation
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.dataset_views import PROVENANCE, VIEWS
from annotation.errors import Invalid
from annotation.feedback import KINDS
from tests.annotation.feedback.examples import EXAMPLES, asked_for_all

ORDERS = ([0, 1], [1, 0])
TEXTS = ["It is said in plain words, here.", "Something else."]


@pytest.fixture(params=sorted(KINDS))
def kind(request):
    return KINDS[request.param]


def test_there_is_an_example_of_each_kind():
    assert set(EXAMPLES) == set(KINDS)


def test_the_usual_options_are_valid_and_their_own(kind):
    usual = kind.default_options()
    assert kind.clean_options({}) == kind.clean_options(copy.deepcopy(usual)) == usual
    jsonschema.validate(usual, kind.options_schema())
    assert set(kind.options_schema()["properties"]) == set(usual)
    for value in usual.values():
        if isinstance(value, list):
            value.clear()  # what one campaign changes must not change the next one's
    assert kind.default_options() == kind.clean_options({})


def test_an_unknown_option_is_named(kind):
    with pytest.raises(Invalid) as caught:
        kind.clean_options({"colour": "red"})
    assert "colour" in caught.value.errors


@pytest.mark.parametrize("order", ORDERS)
def test_what_was_given_comes_back_and_gives_the_same_again(kind, order):
    options, example = asked_for_all(kind)
    payload = kind.parse(example, options=options, shown_order=order)
    assert json.loads(json.dumps(payload)) == payload
    values = kind.initial(payload, shown_order=order)
    assert kind.parse(values, options=options, shown_order=order) == payload
    given = {name: value for name, value in example.items() if value not in ("", "0")}
    assert given.items() <= values.items()


@pytest.mark.parametrize("name", [name for name, one in sorted(KINDS.items()) if one.completions[1] > 1])
def test_the_place_on_the_screen_is_not_the_place_in_the_payload(name):
    """The same words about what stands left and right are about the other answer when the order is turned."""
    kind = KINDS[name]
    options = kind.default_options()
    as_stored, turned = (kind.parse(EXAMPLES[kind.name], options=options, shown_order=order) for order in ORDERS)
    assert as_stored != turned
    found = [*rows(kind, as_stored, [0, 1]), *rows(kind, turned, [1, 0])]
    assert {row["position"] for row in found if "position" in row} <= {0, 1}
    assert kind.describe(as_stored, options=options, shown_order=[0, 1]) == kind.describe(
        turned, options=options, shown_order=[1, 0]
    )


def rows(kind, payload, order):
    for view in kind.views:
        yield from kind.rows(view, payload, texts=TEXTS, origins=["one", "two"], shown_order=order)


# What `annotation.datasets` adds to rows besides their provenance.
BY_DATASETS = {"prompt", "annotator_weight", "domain", "language"}


@pytest.mark.parametrize("order", ORDERS)
def test_rows_have_the_columns_that_the_view_announces(kind, order):
    options, example = asked_for_all(kind)
    payload = kind.parse(example, options=options, shown_order=order)
    for view in kind.views:
        found = list(kind.rows(view, payload, texts=TEXTS, origins=["one", "two"], shown_order=order))
        assert found
        for row in found:
            assert set(row) == set(VIEWS[view].columns) - set(PROVENANCE) - BY_DATASETS
    assert list(kind.rows("judgements", payload, texts=TEXTS, origins=["", ""], shown_order=order)) == []


def test_what_is_stored_and_exported_is_the_same_in_every_language(kind):
    """Words follow the reader; payloads, rows, points, and the names and values of options do not."""

    def without_words(schema):
        words = (
            "title",
            "description",
            "enumTitles",
            "x-rule",
            "x-offers",
        )  # the last two are what a form offers to choose from
        return {name: {key: value for key, value in one.items() if key not in words} for name, one in schema.items()}

    def told():
        options, example = asked_for_all(kind)
        payload = kind.parse(example, options=options, shown_order=[1, 0])
        json.dumps(kind.options_schema())
        data = {
            "usual": kind.default_options(),
            "options": without_words(kind.options_schema()["properties"]),
            "payload": payload,
            "form": kind.initial(payload, shown_order=[1, 0]),
            "rows": list(rows(kind, payload, [1, 0])),
            "points": list(kind.points(payload)),
        }
        words = [str(kind.title), *kind.tally_labels(options)]
        words += kind.tally(payload, options=options, shown_order=[1, 0])
        return json.dumps(data), words

    with translation.override("en"):
        data, words = told()
    with translation.override("de"):
        in_german, german = told()
        assert set(german[1:]) == set(kind.tally_labels(asked_for_all(kind)[0]))
    assert in_german == data
    assert german[0] != words[0] and german != words


def test_points_and_tallies_keep_to_what_is_announced(kind):
    options, example = asked_for_all(kind)
    payload = kind.parse(example, options=options, shown_order=[0, 1])
    announced = [dimension.name for dimension in kind.dimensions(options)]
    points = list(kind.points(payload))
    assert len(announced) == len(set(announced))
    assert {point.dimension for point in points} == set(announced)
    assert len({(point.dimension, point.place) for point in points}) == len(points)
    said = kind.tally(payload, options=options, shown_order=[0, 1])
    assert said and set(said) <= set(kind.tally_labels(options))


def test_the_schema_takes_the_example_and_names_its_fields(kind):
    schema = kind.json_schema(kind.default_options())
    jsonschema.Draft202012Validator.check_schema(schema)
    about_the_first = {name: value for name, value in EXAMPLES[kind.name].items() if value != "0" or "harm" not in name}
    jsonschema.validate(about_the_first, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({}, schema)
    with pytest.raises(Invalid) as caught:
        kind.parse({}, options=kind.default_options(), shown_order=[0])
    assert set(schema["required"]) <= set(caught.value.errors)


@pytest.mark.parametrize("name", [name for name, one in sorted(KINDS.items()) if one.completions[0] == 1])
def test_one_answer_alone(name):
    kind = KINDS[name]
    one = {name: value for name, value in EXAMPLES[kind.name].items() if not name.endswith("_2")}
    payload = kind.parse(one, options=kind.default_options(), shown_order=[0])
    assert "A" not in kind.describe(payload, options=kind.default_options(), shown_order=[0]).split(":")[0].split()


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-10, 10),
    st.floats(allow_nan=True),
    st.text(max_size=30),
    st.sampled_from(["0", "1", "2", "3", "yes", "safe", "unsafe", "\x00", "\ud800"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_whatever_is_sent_is_stored_or_refused_in_sentences(data):
    name = data.draw(st.sampled_from(sorted(KINDS)))
    one = KINDS[name]
    fields = st.sampled_from([*EXAMPLES[name], "comment", "unheard_of"])
    sent = {**EXAMPLES[name], **data.draw(st.dictionaries(fields, values, max_size=6))}
    order = data.draw(st.sampled_from(ORDERS))
    try:
        payload = one.parse(sent, options=one.default_options(), shown_order=order)
    except Invalid as error:
        assert all(text.endswith(".") for texts in error.errors.values() for text in texts)
        assert error.errors
    else:
        json.dumps(payload, allow_nan=False)
        assert "\x00" not in json.dumps(payload, ensure_ascii=False)
        assert one.parse(one.initial(payload, shown_order=order), options=one.default_options(), shown_order=order)


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_whatever_options_are_sent_are_cleaned_or_refused(data):
    name = data.draw(st.sampled_from(sorted(KINDS)))
    one = KINDS[name]
    lines = st.lists(st.text(max_size=20), max_size=4)
    sent = data.draw(
        st.dictionaries(st.sampled_from(sorted(one.default_options())), st.one_of(values, lines), max_size=4)
    )
    try:
        cleaned = one.clean_options(sent)
    except Invalid as error:
        assert error.errors
    else:
        assert one.clean_options(cleaned) == cleaned
        jsonschema.validate(cleaned, one.options_schema())
        one.context(options=cleaned, shown_order=[0, 1])
