"""Static files under names that carry their content's hash, ES modules' imports of one another included."""

from __future__ import annotations

from whitenoise.storage import CompressedManifestStaticFilesStorage


class HashedStaticFiles(CompressedManifestStaticFilesStorage):
    # Without this a new page could load an old module from the browser's cache after an upgrade.
    support_js_module_import_aggregation = True
