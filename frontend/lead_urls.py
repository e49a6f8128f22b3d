"""The lead's pages: campaigns, then runs, models and the loop."""

from __future__ import annotations

from django.urls import path

from frontend.views import audit, campaign_setup, campaigns, exports, imports, loops, models, people, quality, runs

urlpatterns = [
    path("campaigns/", campaigns.campaign_list, name="campaigns"),
    path("campaigns/new/", campaign_setup.campaign_new, name="campaign-new"),
    path("campaigns/from-file/", campaign_setup.campaign_from_file, name="campaign-from-file"),
    path("campaigns/<int:campaign_id>/settings.json", campaign_setup.campaign_settings_file, name="campaign-settings"),
    path("campaigns/preview/", campaign_setup.campaign_preview, name="campaign-preview"),
    path("campaigns/<int:campaign_id>/", campaigns.campaign_detail, name="campaign"),
    path("campaigns/<int:campaign_id>/progress/", campaigns.campaign_progress_part, name="campaign-progress"),
    path("campaigns/<int:campaign_id>/state/", campaigns.campaign_state, name="campaign-state"),
    path("campaigns/<int:campaign_id>/priority/", campaigns.batch_priority, name="campaign-priority"),
    path("campaigns/<int:campaign_id>/edit/", campaign_setup.campaign_edit, name="campaign-edit"),
    path("campaigns/<int:campaign_id>/import/", imports.campaign_import, name="campaign-import"),
    path("campaigns/<int:campaign_id>/import/<int:event_id>/errors/", imports.import_errors, name="import-errors"),
    path("campaigns/<int:campaign_id>/import/<slug:token>/", imports.import_preview, name="import-preview"),
    path("campaigns/<int:campaign_id>/people/", people.campaign_people, name="campaign-people"),
    path("campaigns/<int:campaign_id>/audit/", audit.campaign_audit, name="audit"),
    path("campaigns/<int:campaign_id>/quality/", quality.campaign_quality, name="campaign-quality"),
    path("campaigns/<int:campaign_id>/quality/<slug:part>.csv", quality.quality_csv, name="quality-csv"),
    path("campaigns/<int:campaign_id>/export/", exports.campaign_export, name="campaign-export"),
    path("campaigns/<int:campaign_id>/runs/", runs.run_list, name="runs"),
    path("campaigns/<int:campaign_id>/runs/new/<slug:recipe_name>/", runs.run_new, name="run-new"),
    path("runs/<int:run_id>/", runs.run_detail, name="run"),
    path("runs/<int:run_id>/progress/", runs.run_progress, name="run-progress"),
    path("runs/<int:run_id>/log/", runs.run_log, name="run-log"),
    path("runs/<int:run_id>/cancel/", runs.run_cancel, name="run-cancel"),
    path("runs/<int:run_id>/retry/", runs.run_retry, name="run-retry"),
    path("campaigns/<int:campaign_id>/models/", models.model_list, name="models"),
    path("models/<int:version_id>/", models.model_detail, name="model"),
    path("models/<int:version_id>/promote/", models.model_promote, name="model-promote"),
    path("models/<int:version_id>/roll-back/", models.model_roll_back, name="model-roll-back"),
    path("campaigns/<int:campaign_id>/loop/", loops.loop_detail, name="loop"),
    path("campaigns/<int:campaign_id>/loop/new/", loops.loop_new, name="loop-new"),
    path("campaigns/<int:campaign_id>/loop/edit/", loops.loop_edit, name="loop-edit"),
    path("campaigns/<int:campaign_id>/loop/status/", loops.loop_status, name="loop-status"),
    path("campaigns/<int:campaign_id>/loop/action/", loops.loop_action, name="loop-action"),
    path("rounds/<int:round_id>/", loops.round_detail, name="round"),
]
