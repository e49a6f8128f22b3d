"""The pages: people first, then the annotator's, then (in `lead_urls`) the lead's."""

from __future__ import annotations

from django.urls import include, path
from django.views.i18n import set_language

from frontend.views import (
    account,
    audit,
    chats,
    home,
    invitations,
    later,
    lost_password,
    oidc,
    personal,
    proposals,
    readability,
    second_factor,
    wellbeing,
    work,
)

urlpatterns = [
    path("", home.home, name="home"),
    path("login/", account.sign_in, name="login"),
    path("login/second-step/", second_factor.second_step, name="second-step"),
    path("profile/second-factor/", second_factor.settings_page, name="second-factor"),
    path("login/oidc/", oidc.start, name="oidc"),
    path("login/oidc/callback/", oidc.callback, name="oidc-callback"),
    path("login/lost-password/", lost_password.ask, name="lost-password"),
    path("login/lost-password/<uidb64>/<token>/", lost_password.choose, name="password_reset_confirm"),
    path("logout/", account.sign_out, name="logout"),
    path("language/", set_language, name="set-language"),
    path("invitation/<str:secret>/", invitations.join, name="invitation"),
    path("profile/password/", account.change_password, name="password"),
    path("audit/", audit.server_audit, name="server-audit"),
    path("profile/", account.profile, name="profile"),
    path("profile/data/", personal.personal, name="personal"),
    path("profile/data/file/", personal.personal_file, name="personal-file"),
    path("people/<slug:pseudonym>/data/", personal.personal, name="personal-of"),
    path("people/<slug:pseudonym>/data/file/", personal.personal_file, name="personal-file-of"),
    path("work/<int:campaign_id>/", work.work, name="work"),
    path("work/<int:campaign_id>/agree/", wellbeing.agree, name="work-agree"),
    path("work/<int:campaign_id>/wellbeing/", wellbeing.choices, name="work-wellbeing"),
    path("work/<int:campaign_id>/leave/", wellbeing.leave, name="work-leave"),
    path("work/<int:campaign_id>/stop/", wellbeing.stop, name="work-stop"),
    path("work/<int:campaign_id>/skip/", work.skip, name="work-skip"),
    path("work/<int:campaign_id>/draft/", work.draft, name="work-draft"),
    path("work/<int:campaign_id>/propose/", proposals.propose, name="work-propose"),
    path("work/<int:campaign_id>/readability/", readability.readability, name="work-readability"),
    path("work/<int:campaign_id>/undo/", work.undo, name="work-undo"),
    path("work/<int:campaign_id>/set-aside/", later.set_aside, name="work-set-aside"),
    path("work/<int:campaign_id>/pile/", later.pile, name="work-pile"),
    path("work/<int:campaign_id>/history/", work.history, name="work-history"),
    path("work/<int:campaign_id>/guideline/", work.guideline, name="work-guideline"),
    path("work/<int:campaign_id>/chat/", chats.chat, name="chat"),
    path("work/<int:campaign_id>/chat/answers/", chats.answers, name="chat-answers"),
    path("work/<int:campaign_id>/chat/say/", chats.say, name="chat-say"),
    path("work/<int:campaign_id>/chat/choose/", chats.choose, name="chat-choose"),
    path("work/<int:campaign_id>/chat/end/", chats.end, name="chat-end"),
    path("", include("frontend.lead_urls")),
]
