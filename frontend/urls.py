"""Pages and both APIs: the table of contents of the web process."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from annotation.api.errors import no_such_address
from frontend.views import health, metrics

urlpatterns = [
    # Looked through from the top: what is asked most comes first.
    path("api/", include("annotation.api.urls")),
    path("api/training/", include("training.api.urls")),
    re_path(r"^api/(?P<rest>(?s:.+))$", no_such_address),  # line ends too, which `path:` does not take
    path("healthz", health.alive, name="healthz"),
    path("readyz", health.ready, name="readyz"),
    path("metrics", metrics.prometheus, name="metrics"),
    # Its own form would ask for no second factor.
    path("admin/login/", RedirectView.as_view(pattern_name="login", query_string=True)),
    path("admin/", admin.site.urls),
    path("", include("frontend.page_urls")),
]
handler500 = "frontend.views.faults.server_error"
