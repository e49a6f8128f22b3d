"""The REST interface of training, below `/api/training/`."""

from __future__ import annotations

from django.urls import path

from training.api import chats, explorer, figures, folders, loops, personal, playground, snapshots, views, withdrawal

urlpatterns = [
    path("me/data/", withdrawal.own_data, name="api-own-data"),
    path("me/uses/", withdrawal.own_uses, name="api-own-uses"),
    path("me/erase/", withdrawal.erase_own, name="api-own-erase"),
    path("recipes/", views.recipes, name="api-recipes"),
    path("campaigns/<int:campaign_id>/runs/", views.RunList.as_view(), name="api-runs"),
    path("campaigns/<int:campaign_id>/versions/", views.VersionList.as_view(), name="api-versions"),
    path("campaigns/<int:campaign_id>/snapshots/", snapshots.SnapshotList.as_view(), name="api-snapshots"),
    path("campaigns/<int:campaign_id>/reward-figures/", figures.reward_figures, name="api-reward-figures"),
    path("campaigns/<int:campaign_id>/loop/", loops.LoopDetail.as_view(), name="api-loop"),
    path("campaigns/<int:campaign_id>/loop/pause/", loops.loop_pause, name="api-loop-pause"),
    path("campaigns/<int:campaign_id>/rounds/", loops.RoundList.as_view(), name="api-rounds"),
    path("campaigns/<int:campaign_id>/chats/", chats.ChatList.as_view(), name="api-chats"),
    path("chats/<int:chat_id>/", chats.chat_detail, name="api-chat"),
    path("chats/<int:chat_id>/messages/", chats.chat_say, name="api-chat-say"),
    path("chats/<int:chat_id>/choose/", chats.chat_choose, name="api-chat-choose"),
    path("chats/<int:chat_id>/end/", chats.chat_end, name="api-chat-end"),
    path("campaigns/<int:campaign_id>/playground/", playground.Playground.as_view(), name="api-playground"),
    path("campaigns/<int:campaign_id>/playground/messages/", playground.playground_say, name="api-playground-say"),
    path("campaigns/<int:campaign_id>/playground/items/", playground.playground_save, name="api-playground-save"),
    path("campaigns/<int:campaign_id>/playground/end/", playground.playground_end, name="api-playground-end"),
    path("campaigns/<int:campaign_id>/explorations/", explorer.ExplorationList.as_view(), name="api-explorations"),
    path("explorations/<int:run_id>/", explorer.exploration, name="api-exploration"),
    path("runs/<int:run_id>/", views.run_detail, name="api-run"),
    path("runs/<int:run_id>/cancel/", views.run_cancel, name="api-run-cancel"),
    path("runs/<int:run_id>/retry/", views.run_retry, name="api-run-retry"),
    path("runs/<int:run_id>/log/", views.run_log, name="api-run-log"),
    path("runs/<int:run_id>/metrics/", views.run_metrics, name="api-run-metrics"),
    path("runs/<int:run_id>/answers/", views.run_answers, name="api-run-answers"),
    path("versions/<int:version_id>/", views.version_detail, name="api-version"),
    path("versions/<int:version_id>/people/", personal.people, name="api-version-people"),
    path("versions/<int:version_id>/folder/", folders.version_folder, name="api-version-folder"),
    path("versions/<int:version_id>/merge/", folders.Merging.as_view(), name="api-version-merge"),
    path("versions/<int:version_id>/promote/", views.version_promote, name="api-version-promote"),
    path("versions/<int:version_id>/roll-back/", views.version_roll_back, name="api-version-roll-back"),
    path("snapshots/<int:snapshot_id>/", snapshots.snapshot_detail, name="api-snapshot"),
    path("snapshots/<int:snapshot_id>/rows/", snapshots.snapshot_rows, name="api-snapshot-rows"),
    path("snapshots/<int:snapshot_id>/folder/", snapshots.snapshot_folder, name="api-snapshot-folder"),
    path("snapshots/<int:snapshot_id>/diff/", snapshots.snapshot_difference, name="api-snapshot-diff"),
    path("snapshots/<int:snapshot_id>/overlaps/", snapshots.snapshot_overlaps, name="api-snapshot-overlaps"),
    path("snapshots/<int:snapshot_id>/push/", snapshots.snapshot_push, name="api-snapshot-push"),
    path("rounds/<int:round_id>/", loops.round_detail, name="api-round"),
    path("rounds/<int:round_id>/finish-labelling/", loops.round_finish_labelling, name="api-round-finish-labelling"),
    path("rounds/<int:round_id>/resume/", loops.round_resume, name="api-round-resume"),
    path("rounds/<int:round_id>/cancel/", loops.round_cancel, name="api-round-cancel"),
]
