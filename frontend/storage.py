"""Static files under names that carry their content's hash, our ES modules' imports of one another included."""

from __future__ import annotations

from whitenoise.storage import CompressedManifestStaticFilesStorage


class HashedStaticFiles(CompressedManifestStaticFilesStorage):
    # Without this a new page could load an old module from the browser's cache after an upgrade. Only our own
    # folder: an extension that comes with htmx names a module that its package does not ship.
    patterns = (
        *CompressedManifestStaticFilesStorage.patterns,
        ("js/*.js", CompressedManifestStaticFilesStorage._js_module_import_aggregation_patterns[1]),
    )
