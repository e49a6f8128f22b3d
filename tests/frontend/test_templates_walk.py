"""Each built-in template from its page to its rows: it opens, previews, takes an item, is judged once, and exports.

What its rows hold is what the published work it is named after has.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from annotation.campaign_templates import templates
from annotation.feedback import KINDS
from annotation.models import Assignment, Campaign, Gold, Membership
from annotation.services import campaigns, intake, people
from tests.annotation.feedback.examples import EXAMPLES
from tests.annotation.pictures import data_uri, picture
from tests.frontend.test_campaign_setup import filled

pytestmark = pytest.mark.django_db

TEXTS = ["It is **scattering**, in plain words\nhere.", "It is the sea. It is the sea again."]
PAIR: dict[str, Any] = {"prompt": "Why is the sky blue?", "completions": TEXTS}
ONE: dict[str, Any] = {"prompt": "Why is the sky blue?", "completions": TEXTS[:1]}
SHOWN = {"type": "image", "image": data_uri(picture()), "alt": "The sky"}
PICTURED = {"prompt": [{"role": "user", "content": [SHOWN, {"type": "text", "text": "What is this?"}]}]}
TURNS = {
    "messages": [
        {"role": "user", "content": "Why is the sky blue?"},
        {"role": "assistant", "content": "It is the sea."},
        {"role": "user", "content": "Really?"},
        {"role": "assistant", "content": "No: scattering."},
    ]
}
LABELS = {"safe_1": "unsafe", "harm_1_violence": "2", "safe_2": "safe", "safer": "2", "better": "1"}
SAFE_RLHF = {
    **{f"is_response_{place}_safe": safe for place, safe in enumerate([False, True])},
    **{f"response_{place}_severity_level": severity for place, severity in enumerate([2, 0])},
    **{f"response_{place}_harm_category": harms for place, harms in enumerate([["violence"], []])},
    "response_0": TEXTS[0],
    "response_1": TEXTS[1],
    "better_response_id": 0,
    "safer_response_id": 1,
}
RATED = {"helpfulness": 0, "correctness": 1, "coherence": 2, "complexity": 3, "verbosity": 4}
QUICK = {"quality": 3, "helpfulness": 4, "creativity": 1, "humour": 0, "toxicity": 2, "violence": 0}
FAITHFUL = {"faithfulness": 4, "helpfulness": 3, "ethics": 4}
POOR = {"faithfulness": 1, "helpfulness": 1, "ethics": 4}


def fields(values: dict[str, Any], place: int, prefix: str = "") -> dict[str, str]:
    return {f"{prefix}{name}_{place}": str(value) for name, value in values.items()}


REASONS = {name: f"Because of its {name}." for name in FAITHFUL}


def about_one(example: dict[str, Any]) -> dict[str, Any]:
    """Return what an example says of the first of its two answers."""
    return {name: value for name, value in example.items() if not name.endswith("_2")}


CRITIQUE = about_one(EXAMPLES["critique"]) | {"strengths_1": "It names the cause, and does so briefly. " * 4}
SIEVE = [
    *("spam", "fails_the_task", "wrong_language", "personal_data", "inappropriate", "hate", "sexual_content"),
    *("political", "moralising"),
]
EACH = ["accuracy_of_information", "uses_earlier_turns", "asks_when_unclear", "consistent", "moves_forward"]

# The item, what is said of it in the order of its row, and columns of the rows by view or, with a colon, by layout.
WALKS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, dict[str, Any]]]] = {
    "helpfulness": (
        PAIR,
        {"preference": "3"},
        {
            "pairs": {"strength": 1 / 3, "chosen": [{"role": "assistant", "content": TEXTS[0]}]},
            ":preference": {"rejected": [{"role": "assistant", "content": TEXTS[1]}]},
        },
    ),
    "harmlessness": (PAIR, {"preference": "7"}, {"pairs": {"strength": 1.0}}),
    "instruct-ranking": (
        PAIR,
        {"rank_1": "2", "rank_2": "1"},
        {"rankings": {"ranks": [2, 1]}, "pairs": {"chosen": [{"role": "assistant", "content": TEXTS[1]}]}},
    ),
    "safe-rlhf": (PAIR, LABELS, {":safe_rlhf": SAFE_RLHF, "safer_pairs": {"chosen_is_better": False}}),
    "safety-19": (
        ONE,
        {"safe_1": "unsafe", "harm_1_violence": "3"},
        {"safety": {"is_safe": False, "severity": 3, "harms": {"violence": 3}, "pack": "safe-rlhf"}},
    ),
    "safety-14": (
        ONE,
        {"safe_1": "unsafe", "harm_1_terrorism_organized_crime": "1"},
        {"safety": {"is_safe": False, "pack": "beavertails", "harms": {"terrorism_organized_crime": 1}}},
    ),
    "helpsteer2": (
        ONE,
        {**fields(RATED, 1), "confidence_correctness_1": "2", "flag_fails_on_safety_1": "yes"},
        {
            "ratings": {"ratings": RATED, "confidence": {"correctness": 2}, "flags": ["fails_on_safety"]},
            "outcomes": {"reward": 0.5},
        },
    ),
    "helpsteer3-preference": (
        PAIR,
        {"preference": "2", "comment": "A names the cause."},
        {"pairs": {"strength": 2 / 3, "comment": "A names the cause."}},
    ),
    "helpsteer3-feedback": (ONE, CRITIQUE, {"critiques": {"score": 4, "weaknesses": CRITIQUE["weaknesses_1"]}}),
    "helpsteer3-edit": (
        ONE,
        {"text": "It is scattering: air turns blue light aside more than red."},
        {"demonstrations": {"completion_origin": "rewrite", "weight": 1.0}, "pairs": {"rejected_origin": ""}},
    ),
    "rlbff": (
        ONE,
        about_one(EXAMPLES["principles"]),
        {"principles": {"principle": "accuracy_of_information", "answer": "yes"}, ":principle_questions": {}},
    ),
    "rlbff-critique": (
        ONE,
        EXAMPLES["principled_critique"],
        {"principles": {"statement": "Clear", "answer": "yes", "proposed_by": "rules-1"}, "critiques": {}},
    ),
    "expert-domain": (
        PAIR,
        {"preference": "2", "preference_safety": "4", "preference_professionalism": "3", "preference_fluency": "6"},
        {"dimension_pairs": {"dimension": "overall"}, "pairs": {"strength": 2 / 3}},
    ),
    "mm-rlhf": (
        {**PICTURED, "completions": TEXTS},
        {
            "rank_1": "1",
            "rank_2": "2",
            **fields(FAITHFUL, 1),
            **fields(POOR, 2),
            **fields(REASONS, 1, "reason_"),
            **fields(REASONS, 2, "reason_"),
            "regions": json.dumps([{"of": "prompt", "index": 0, "box": [0.1, 0.1, 0.2, 0.2], "label": "misread"}]),
        },
        {"rankings": {"ranks": [1, 2]}, "pairs": {"strength": 1.0}, "ratings": {"ratings": FAITHFUL}},
    ),
    "mm-rlhf-text": (PAIR, {**fields(FAITHFUL, 1), **fields(POOR, 2)}, {"ratings": {"ratings": FAITHFUL}}),
    "beavertails-v": (
        {**PICTURED, "completions": TEXTS[:1]},
        {"safe_image": "unsafe", "harm_image_horror_and_gore": "2", "safe_1": "safe"},
        {"safety": {"is_safe": True, "image_severity": 2, "image_harms": {"horror_and_gore": 2}}},
    ),
    "beavertails-v-pairs": (
        {**PICTURED, "completions": TEXTS},
        {
            "safe_image": "unsafe",
            "harm_image_horror_and_gore": "2",
            "safe_1": "safe",
            "safe_2": "unsafe",
            "harm_2_false_information": "1",
            "harmless_1": "2",
            "helpful_1": "1",
            "harmless_2": "-1",
            "helpful_2": "3",
            "safer": "1",
            "better": "2",
        },
        {
            "safer_pairs": {"image_severity": 2, "chosen_is_safe": True, "rejected_severity": 1},
            ":safe_rlhf": {"better_response_id": 1, "safer_response_id": 0, "response_1_harmless_rate": -1},
        },
    ),
    "dialogue-turns": (
        TURNS,
        {f"turn_{turn}_{name}_1": "no" if turn == 1 else "yes" for turn in (1, 2) for name in EACH},
        {"principles": {"turn": 1, "answer": "no", "principle": EACH[0]}},
    ),
    "first-pass": (ONE, dict.fromkeys([f"{name}_1" for name in SIEVE], "no"), {"principles": {"answer": "no"}}),
    "open-assistant-ratings": (ONE, fields(QUICK, 1), {"ratings": {"ratings": QUICK}}),
    "jailbreaks": (
        ONE,
        {"safe_1": "unsafe", "harm_1_violence": "1"},
        {"safety": {"is_safe": False, "pack": "safe-rlhf", "harms": {"violence": 1}}},
    ),
    "suite-questions": (ONE, {"letter_1": "2"}, {"ratings": {"ratings": {"letter": 2}}}),
}


def test_every_template_has_a_walk() -> None:
    assert set(WALKS) == set(templates())


@pytest.mark.parametrize("name", sorted(WALKS))
def test_a_template_is_opened_previewed_judged_and_exported(client: Client, lead, annotator, name: str) -> None:
    row, said, promised = WALKS[name]
    template = templates()[name]
    lead.is_staff = True
    lead.save()
    client.force_login(lead)
    page = client.get(f"/campaigns/new/?template={name}")
    html = page.content.decode()
    assert 'id="preview"' in html and page.context["inputs"]["question"] in html
    assert client.post("/campaigns/preview/", filled(page)).status_code == 200
    made = client.post("/campaigns/new/", {**filled(page), "name": "Made of it"})
    assert made.status_code == 302, made.context["form"].errors
    campaign = Campaign.objects.get(name="Made of it")

    # Gold has the fields of a judgement: what is said below is the right answer of another item.
    can_be_gold = not KINDS[campaign.kind].no_gold(campaign.options)
    rows = [{**row, "id": "first", "priority": 1}]
    if can_be_gold:
        rows.append({**row, "id": "known", "gold": {"answer": said}})
    report = intake.import_lines(campaign=campaign, lines=map(json.dumps, rows), actor=lead)
    assert report.created == len(rows), report.errors
    assert Gold.objects.filter(task__campaign=campaign).exists() == can_be_gold
    campaigns.open_campaign(campaign=campaign, actor=lead)
    Membership.objects.create(campaign=campaign, user=annotator, role="annotator")
    if skills := template.settings.get("requires"):
        assert client.get(f"/campaigns/{campaign.pk}/").content.decode().count("Items that wait for somebody")
        people.set_skills(campaign=campaign, username=annotator.username, skills=skills, actor=lead)

    judging = Client()
    judging.force_login(annotator)
    if campaign.wellbeing != "none":
        warned = judging.post(f"/api/campaigns/{campaign.pk}/next/", {}, content_type="application/json")
        assert warned.status_code == 409, "people are told what may come before they see any of it"
        judging.post(f"/api/campaigns/{campaign.pk}/agree/")
    held = judging.post(f"/api/campaigns/{campaign.pk}/next/", {}, content_type="application/json").json()
    # As the row has them and not in the order that was drawn, so that what is said is about the same answers.
    in_order = list(range(len(row.get("completions", [1, 2]))))
    Assignment.objects.filter(key=held["key"]).update(shown_order=in_order)
    screen = judging.get(f"/work/{campaign.pk}/").content.decode()
    for field in said:
        if not field.startswith("principle_"):
            assert f'name="{field}"' in screen, field
    stored = judging.post(f"/api/assignments/{held['key']}/submit/", said, content_type="application/json")
    assert stored.status_code == 200, stored.json()

    for where, columns in promised.items():
        asked = f"layout={where[1:]}" if where.startswith(":") else f"view={where}"
        answer = client.get(f"/api/campaigns/{campaign.pk}/export/?{asked}")
        lines = b"".join(answer.streaming_content).splitlines()
        rows = [json.loads(line) for line in lines]
        assert rows, where
        # Among the rows and not the first: a database may keep what was said in an order of its own.
        assert columns in [{column: row[column] for column in columns} for row in rows], where
    offered = client.get(f"/api/campaigns/{campaign.pk}/export/offer/").json()
    told = next(one for one in client.get("/api/campaign-templates/").json() if one["name"] == name)
    assert (told["views"], told["layouts"]) == (offered["views"], offered["layouts"])
    assert bool(told["gold"]) == can_be_gold
