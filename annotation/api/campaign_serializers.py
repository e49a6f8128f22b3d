"""The JSON shapes of a campaign and its settings, as they come in and as they go out."""

from __future__ import annotations

from typing import Any

from django.utils import translation
from rest_framework import serializers

from annotation.access import Action
from annotation.feedback import KINDS
from annotation.feedback import kind as feedback_kind
from annotation.importing.handed_on import MOST
from annotation.models import Campaign
from annotation.permissions import may
from annotation.reach import out_of_reach
from annotation.services import settings


class _InLists(serializers.Serializer):
    """The settings that stand in a list of campaigns too."""

    description = serializers.CharField(required=False, allow_blank=True, max_length=10_000)
    overlap = serializers.IntegerField(required=False, min_value=1, max_value=50)
    cohort_percent = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=100,
        help_text="So many per cent of the items, drawn at import, are judged by",
    )
    cohort_overlap = serializers.IntegerField(
        required=False, min_value=1, max_value=50, help_text="so many people each."
    )
    overlap_most = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=50,
        help_text="Where judgements leave an answer unsure, more people are asked, up to so many; 0 for never.",
    )
    reserve = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=10_000,
        help_text="So many more judgements, for who comes when all seats are held by others; 0 for none.",
    )
    gold_percent = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=50,
        help_text="So many per cent of what each person is given are items whose answer is known; 0: like any other.",
    )
    check_warn = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=10,
        help_text="Of a person's last ten attention checks, so many missed and they are told; 0 for never.",
    )
    check_pause = serializers.IntegerField(
        required=False, min_value=0, max_value=10, help_text="The same, and they are paused; a lead can lift it."
    )
    test_tries = serializers.IntegerField(
        required=False, min_value=0, max_value=20, help_text="Tries at a test before the first item; 0 for no test."
    )
    test_items = serializers.IntegerField(required=False, min_value=1, max_value=100, help_text="Items of a test.")
    test_percent = serializers.IntegerField(
        required=False, min_value=1, max_value=100, help_text="What is right of a test that is passed, in per cent."
    )
    lease_seconds = serializers.IntegerField(required=False, min_value=60, max_value=86_400)
    wellbeing = serializers.ChoiceField(
        required=False, choices=Campaign.Wellbeing.choices, help_text="What people may have to read."
    )
    support = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=2000,
        help_text="Whom people turn to after reading something bad; Markdown.",
    )
    daily_limit = serializers.IntegerField(
        required=False, min_value=0, max_value=10_000, help_text="Most items of one person in a day; 0 for no limit."
    )
    weekly_limit = serializers.IntegerField(
        required=False, min_value=0, max_value=50_000, help_text="Most items of one person in a week; 0 for no limit."
    )
    rest_after = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=1000,
        help_text="After so many items about something unpleasant in a row: an easier one, or a rest; 0 for never.",
    )
    batch_limit = serializers.IntegerField(
        required=False, min_value=0, max_value=100_000, help_text="Most judgements of one person in a batch; 0 for any."
    )
    batch_share = serializers.IntegerField(
        required=False, min_value=0, max_value=100, help_text="The same, in per cent of what the batch wants."
    )
    about = serializers.ListField(
        required=False,
        child=serializers.CharField(max_length=40),
        help_text="What items are about that people may decline to read; a row may say otherwise.",
    )
    requires = serializers.ListField(
        required=False,
        child=serializers.CharField(max_length=40),
        help_text='What people must be able to do, as words, and languages as "lang:de"; a row may say otherwise.',
    )


class CampaignSettings(_InLists):
    """What a lead sets; left out, a new campaign has what is usual and another one keeps what it has."""

    options = serializers.DictField(required=False, child=serializers.JSONField())
    guideline = serializers.CharField(required=False, allow_blank=True, max_length=200_000)


class CampaignIn(CampaignSettings):
    name = serializers.CharField(max_length=120)
    kind = serializers.ChoiceField(choices=sorted(KINDS), default="pairwise")
    attune_campaign = serializers.IntegerField(
        required=False,
        min_value=settings.FORMAT,
        max_value=settings.FORMAT,
        help_text="Format of settings that were read from another campaign; may be left out.",
    )
    gold = serializers.ListField(
        required=False,
        child=serializers.DictField(child=serializers.JSONField(allow_null=True)),
        max_length=MOST,
        help_text="Items with a right answer, as rows of an import; one that does not fit, and nothing is made.",
    )


class TemplateOut(serializers.Serializer):
    name = serializers.CharField()
    version = serializers.IntegerField()
    title = serializers.CharField()
    summary = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]
    views = serializers.ListField(child=serializers.CharField(), help_text="Which rows its judgements become.")
    layouts = serializers.ListField(
        child=serializers.CharField(), help_text="In whose columns these can be exported besides."
    )
    gold = serializers.ListField(
        child=serializers.CharField(), help_text="What is compared with the right answer; empty where there is none."
    )
    submit_schema = serializers.DictField(
        child=serializers.JSONField(), help_text="JSON Schema of a judgement, which the answer of gold has too."
    )
    settings = serializers.DictField(child=serializers.JSONField())


class CampaignChange(CampaignSettings):
    """The kind cannot change: judgements already there refer to it."""

    name = serializers.CharField(max_length=120, required=False)


class CampaignOut(_InLists):
    """The settings as they are, and what the server adds."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    kind = serializers.CharField()
    state = serializers.ChoiceField(choices=Campaign.State.choices)
    guideline_version = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    roles = serializers.SerializerMethodField()

    def get_fields(self) -> dict[str, Any]:
        """Return the fields, every one of them always there, and first those that say which campaign it is."""
        fields = super().get_fields()
        for one in fields.values():
            one.required = not one.read_only
        first = {name: fields[name] for name in ("id", "name", "kind", "state")}
        return {**first, **fields}

    def get_roles(self, campaign: Campaign) -> list[str]:
        """Return the caller's own roles; `my_memberships` is prefetched by the view."""
        return sorted(membership.role for membership in campaign.my_memberships)  # type: ignore[attr-defined]


class CampaignDetailOut(CampaignOut):
    options = serializers.DictField(child=serializers.JSONField())
    guideline = serializers.SerializerMethodField()
    submit_schema = serializers.SerializerMethodField()
    warnings = serializers.SerializerMethodField(
        help_text="What its leads and engineers should know, such as that items want more people than there are."
    )

    def get_warnings(self, campaign: Campaign) -> list[str]:
        """Return why items wait, or will; nothing to who may not read the campaign's figures."""
        if not may(self.context["user"], campaign, Action.READ):
            return []
        return [one.reason for one in out_of_reach(campaign)]

    def get_guideline(self, campaign: Campaign) -> str:
        guideline = campaign.guidelines.filter(version=campaign.guideline_version).first()
        return guideline.text if guideline else ""

    def get_submit_schema(self, campaign: Campaign) -> dict[str, Any]:
        """Return the JSON schema of what may be sent to `/api/assignments/<key>/submit/` here."""
        with translation.override(None):  # a document for programs
            return feedback_kind(campaign.kind).json_schema(campaign.options)
