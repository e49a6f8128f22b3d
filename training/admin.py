"""The administrator's view of training: everything to look at, nothing to edit; states change through services."""

from __future__ import annotations

from django.contrib import admin

from annotation.admin import ReadOnlyAdmin
from training.models import Chat, ChatTurn, GateOrder, GateReport, Loop, ModelVersion, Round, Run, Sample, Snapshot


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    list_display = ("id", "campaign", "kind", "purpose", "state", "step", "total_steps", "attempts", "heartbeat_at")
    list_filter = ("state", "kind")
    list_select_related = ("campaign",)
    search_fields = ("campaign__name", "error")


@admin.register(ModelVersion)
class ModelVersionAdmin(ReadOnlyAdmin):
    list_display = ("label", "campaign", "kind", "number", "state", "parent", "path", "created_at")
    list_filter = ("kind", "state")
    list_select_related = ("campaign", "parent")
    search_fields = ("campaign__name", "path")


@admin.register(Snapshot)
class SnapshotAdmin(ReadOnlyAdmin):
    list_display = ("id", "campaign", "view", "rows", "sha256", "created_at")
    list_filter = ("view",)
    list_select_related = ("campaign",)
    search_fields = ("campaign__name", "sha256")


@admin.register(Loop)
class LoopAdmin(ReadOnlyAdmin):
    list_display = ("campaign", "state", "prompts_path", "created_at")
    list_filter = ("state",)
    list_select_related = ("campaign",)


@admin.register(Round)
class RoundAdmin(ReadOnlyAdmin):
    list_display = ("loop", "index", "state", "policy", "candidate", "note", "created_at", "finished_at")
    list_filter = ("state",)
    list_select_related = ("loop__campaign", "policy", "candidate")


@admin.register(Sample)
class SampleAdmin(ReadOnlyAdmin):
    list_display = ("id", "version", "round", "completion", "logp")
    list_select_related = ("version", "round__loop__campaign", "completion")


@admin.register(GateOrder)
class GateOrderAdmin(ReadOnlyAdmin):
    list_display = ("candidate", "loop", "created_by", "created_at")
    list_select_related = ("candidate", "loop__campaign", "created_by")


@admin.register(GateReport)
class GateReportAdmin(ReadOnlyAdmin):
    list_display = ("candidate", "parent", "verdict", "created_at")
    list_filter = ("verdict",)
    list_select_related = ("candidate", "parent")


@admin.register(Chat)
class ChatAdmin(ReadOnlyAdmin):
    list_display = ("id", "campaign", "user", "policy", "mode", "state", "created_at", "ended_at")
    list_filter = ("state", "mode")
    list_select_related = ("campaign", "user", "policy")
    search_fields = ("campaign__name", "user__username")


@admin.register(ChatTurn)
class ChatTurnAdmin(ReadOnlyAdmin):
    list_display = ("id", "chat", "number", "state", "attempts", "heartbeat_at", "chosen_at")
    list_filter = ("state",)
    list_select_related = ("chat",)
    search_fields = ("error",)
