"""The REST interface of annotation, below `/api/`."""

from __future__ import annotations

from django.urls import path

from annotation.api import accounts, exchange, figures, images, imports, schema, views, work

urlpatterns = [
    path("schema/", schema.Document.as_view(), name="api-schema"),
    path("docs/", schema.Browser.as_view(), name="api-docs"),
    path("auth/token/", accounts.create_token, name="api-token"),
    path("auth/logout/", accounts.delete_token, name="api-logout"),
    path("campaign-templates/", views.campaign_templates, name="api-campaign-templates"),
    path("campaigns/", views.CampaignList.as_view(), name="api-campaigns"),
    path("campaigns/<int:campaign_id>/", views.CampaignDetail.as_view(), name="api-campaign"),
    path("campaigns/<int:campaign_id>/settings/", views.campaign_settings, name="api-campaign-settings"),
    path("campaigns/<int:campaign_id>/agree/", work.agree, name="api-agree"),
    path("campaigns/<int:campaign_id>/leave/", work.leave, name="api-leave"),
    path("campaigns/<int:campaign_id>/hand-back/", work.hand_back, name="api-hand-back"),
    path("campaigns/<int:campaign_id>/open/", views.open_campaign, name="api-campaign-open"),
    path("campaigns/<int:campaign_id>/pause/", views.pause_campaign, name="api-campaign-pause"),
    path("campaigns/<int:campaign_id>/close/", views.close_campaign, name="api-campaign-close"),
    path("campaigns/<int:campaign_id>/import/", imports.import_rows, name="api-import"),
    path("campaigns/<int:campaign_id>/import/<int:event_id>/refused/", imports.refused_rows, name="api-import-refused"),
    path("campaigns/<int:campaign_id>/export/", exchange.export, name="api-export"),
    path("campaigns/<int:campaign_id>/export/schema/", exchange.export_schema, name="api-export-schema"),
    path("campaigns/<int:campaign_id>/images/<slug:sha256>/", images.ImageFile.as_view(), name="api-image"),
    path(
        "campaigns/<int:campaign_id>/images/<slug:sha256>/thumbnail/",
        images.ImageThumbnail.as_view(),
        name="api-image-thumbnail",
    ),
    path("campaigns/<int:campaign_id>/tasks/", views.TaskList.as_view(), name="api-tasks"),
    path("campaigns/<int:campaign_id>/feedback/", views.FeedbackList.as_view(), name="api-feedback"),
    path("campaigns/<int:campaign_id>/progress/", figures.progress, name="api-progress"),
    path("campaigns/<int:campaign_id>/progress/mine/", figures.own_progress, name="api-my-progress"),
    path("campaigns/<int:campaign_id>/agreement/", figures.agreement, name="api-agreement"),
    path("campaigns/<int:campaign_id>/next/", work.next_item, name="api-next"),
    path("assignments/<slug:key>/submit/", work.submit, name="api-submit"),
    path("assignments/<slug:key>/skip/", work.skip, name="api-skip"),
    path("assignments/<slug:key>/draft/", work.draft, name="api-draft"),
]
