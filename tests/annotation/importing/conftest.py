"""What of these tests can run here."""

from __future__ import annotations

from tests.annotation.importing.shared_data import DATA

# A test that is skipped proves nothing, so it is not collected where there is nothing to read.
collect_ignore = [] if DATA.is_dir() else ["test_shared_data.py"]
