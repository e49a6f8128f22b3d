"""The administrator's view: people and their roles to edit, everything else to look at.

What people said, and the seats that the queue counts, change through services only; so here they are read-only.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.http import HttpRequest

from annotation.models import (
    Assignment,
    Campaign,
    Completion,
    Event,
    Feedback,
    Guideline,
    Membership,
    Prompt,
    Task,
    User,
)


class ReadOnlyAdmin(admin.ModelAdmin):
    """Shows rows and changes none."""

    show_full_result_count = False  # counting millions of rows for a page footer is not worth it

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(User)
class PeopleAdmin(UserAdmin):
    list_display = ("username", "pseudonym", "is_simulated", "is_staff", "is_active", "last_login")
    list_filter = (*UserAdmin.list_filter, "is_simulated")
    readonly_fields = ("pseudonym",)
    fieldsets = (*(UserAdmin.fieldsets or ()), ("Attune", {"fields": ("pseudonym", "is_simulated")}))


@admin.register(Membership)
class MembershipAdmin(admin.ModelAdmin):
    list_display = ("user", "campaign", "role", "created_at")
    list_filter = ("role",)
    search_fields = ("user__username", "campaign__name")
    autocomplete_fields = ("user", "campaign")
    list_select_related = ("user", "campaign")


@admin.register(Campaign)
class CampaignAdmin(ReadOnlyAdmin):
    list_display = ("name", "state", "kind", "overlap", "created_by", "created_at")
    list_filter = ("state", "kind")
    search_fields = ("name",)
    list_select_related = ("created_by",)


@admin.register(Guideline)
class GuidelineAdmin(ReadOnlyAdmin):
    list_display = ("campaign", "version", "created_by", "created_at")
    list_select_related = ("campaign", "created_by")


@admin.register(Prompt)
class PromptAdmin(ReadOnlyAdmin):
    list_display = ("id", "campaign", "domain", "content_hash")
    search_fields = ("content_hash",)
    list_select_related = ("campaign",)


@admin.register(Completion)
class CompletionAdmin(ReadOnlyAdmin):
    list_display = ("id", "prompt_id", "origin", "content_hash")
    search_fields = ("content_hash", "origin")


@admin.register(Task)
class TaskAdmin(ReadOnlyAdmin):
    list_display = ("external_id", "campaign", "state", "wanted", "done", "seats", "priority", "batch", "is_audit")
    list_filter = ("state", "is_audit", "campaign")
    search_fields = ("external_id",)
    list_select_related = ("campaign",)


@admin.register(Assignment)
class AssignmentAdmin(ReadOnlyAdmin):
    list_display = ("key", "campaign", "user", "state", "slot", "expires_at", "skip_reason")
    list_filter = ("state", "campaign")
    search_fields = ("key", "user__username")
    list_select_related = ("campaign", "user")


@admin.register(Feedback)
class FeedbackAdmin(ReadOnlyAdmin):
    list_display = ("id", "campaign", "user", "kind", "version", "is_current", "created_at")
    list_filter = ("is_current", "campaign")
    search_fields = ("user__username",)
    list_select_related = ("campaign", "user")


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "campaign", "actor", "action", "target")
    list_filter = ("action",)
    search_fields = ("action", "target")
    list_select_related = ("campaign", "actor")
