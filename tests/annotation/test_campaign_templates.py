"""Every built-in template makes a campaign; and what one campaign's settings are makes another one."""

from __future__ import annotations

import json
import tomllib

import pytest

from annotation.campaign_templates import FOLDER, MORE_SETTINGS, templates, unwrapped
from annotation.errors import Invalid
from annotation.feedback import KINDS
from annotation.models import Campaign, Event, Guideline
from annotation.services import campaigns
from annotation.services.settings import settings_from, settings_of
from tests.factories import make_campaign


def test_every_file_is_a_template_and_every_kind_has_one():
    assert {path.stem.replace("_", "-") for path in FOLDER.glob("*.toml")} == set(templates())
    assert len(templates()) >= 10
    assert {one.settings["kind"] for one in templates().values()} == set(KINDS)


@pytest.mark.parametrize("name", sorted(templates()))
@pytest.mark.django_db
def test_a_template_makes_a_campaign(name: str, lead):
    template = templates()[name]
    assert template.settings["wellbeing"] in Campaign.Wellbeing.values
    assert template.version >= 1 and template.title and template.summary.endswith(".") and template.source
    made = campaigns.create(name=name, actor=lead, began_as=template.label, **template.settings)
    options = {**KINDS[made.kind].default_options(), **template.settings["options"]}
    assert made.options == options
    for setting in MORE_SETTINGS:
        assert getattr(made, setting) == template.settings.get(setting, Campaign._meta.get_field(setting).get_default())
    text = Guideline.objects.get(campaign=made).text
    assert text.startswith("## ") and 300 < len(text) < 3000
    assert Event.objects.get(campaign=made, action="campaign.created").detail == {"began_as": template.label}
    KINDS[made.kind].context(options=made.options, shown_order=[0, 1])


def test_no_setting_of_a_template_is_read_over():
    written = {"version", "title", "summary", "source", "kind", "options", "overlap", "lease_seconds", "wellbeing"}
    for path in FOLDER.glob("*.toml"):
        assert set(tomllib.loads(path.read_text())) <= {*written, "guideline", *MORE_SETTINGS}, path.name


def test_where_people_may_read_harm_templates_bound_the_dose():
    for template in templates().values():
        if template.settings["wellbeing"] == Campaign.Wellbeing.LIKELY:
            assert all(template.settings[name] for name in ("daily_limit", "weekly_limit", "rest_after")), template.name


def test_images_have_templates_of_their_own():
    pictured = templates()["beavertails-v"].settings
    assert pictured["options"]["image_severity"] and pictured["options"]["pack"] == "beavertails-v"
    ranked = templates()["mm-rlhf"].settings
    assert len(ranked["options"]["attributes"]) == 3 and len(ranked["options"]["regions"]) == 4
    assert "ties" in ranked["options"] and KINDS[ranked["kind"]].completions[1] >= 5


def test_wrapped_paragraphs_become_one_line_and_lists_stay():
    assert unwrapped("## A title\n\nOne line\nand its rest.\n") == "## A title\n\nOne line and its rest."
    assert unwrapped("- one\n  goes on\n- two\n   - in,\n     too") == "- one goes on\n- two\n   - in, too"
    assert unwrapped("1. first\n2. second\n   of two") == "1. first\n2. second of two"


@pytest.mark.django_db
def test_settings_go_out_and_come_in_again(lead):
    campaign = make_campaign(lead=lead, kind="safety", options={"pack": "beavertails"}, overlap=3, lease_seconds=900)
    settings = settings_of(campaign)
    read = settings_from(json.dumps(settings))
    copy = campaigns.create(name="A copy", actor=lead, **read)
    assert settings_of(copy) == settings
    assert (copy.kind, copy.overlap, copy.options["pack"]) == ("safety", 3, "beavertails")
    assert copy.state == Campaign.State.DRAFT


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no file of campaign settings"),
        ("[]", "no file of campaign settings"),
        ('{"kind": "pairwise"}', "no file of campaign settings"),
        ("[" * 100_000, "no file of campaign settings"),
        (b"\xff\xfe", "no file of campaign settings"),
        ('{"attune_campaign": 2}', "later version"),
        ('{"attune_campaign": 1, "colour": "red"}', "colour"),
        ('{"attune_campaign": 1, "overlap": "two"}', "overlap"),
        ('{"attune_campaign": 1, "overlap": true}', "overlap"),
        ('{"attune_campaign": 1, "options": []}', "options"),
        ('{"attune_campaign": 1, "kind": "pairwize"}', "pairwise"),
        ('{"attune_campaign": 1, "description": "\\u0000"}', "NUL"),
    ],
)
def test_a_file_that_is_none_says_what_is_wrong(text, sentence):
    with pytest.raises(Invalid, match=sentence):
        settings_from(text)
