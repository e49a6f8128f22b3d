"""The pages: people first, then the annotator's, then (in `lead_urls`) the lead's."""

from __future__ import annotations

from django.urls import path

from frontend.views import account, home

urlpatterns = [
    path("", home.home, name="home"),
    path("login/", account.sign_in, name="login"),
    path("logout/", account.sign_out, name="logout"),
    path("profile/", account.profile, name="profile"),
]
