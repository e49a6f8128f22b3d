"""Built-in templates: campaigns as published work set them up, with a guideline in our own words, ready to be changed.

One TOML file is one template. Its version goes up with every change that could move what people answer; the version a
campaign began with stands in its events.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from django.utils import translation

from annotation.export_formats import offered
from annotation.feedback import kind

FOLDER = Path(__file__).parent
# Settings of a campaign that a template may leave out, and has then as they usually are.
MORE_SETTINGS = (
    *("daily_limit", "weekly_limit", "rest_after", "cohort_percent", "cohort_overlap", "batch_limit", "batch_share"),
    *("about", "requires", "overlap_most", "reserve", "gold_percent", "check_warn", "check_pause"),
    *("test_tries", "test_items", "test_percent"),
)
# In the order in which a lead sees them.
ORDER = (
    *("helpfulness", "harmlessness", "instruct-ranking", "safe-rlhf", "safety-19", "safety-14", "helpsteer2"),
    *("helpsteer3-preference", "helpsteer3-feedback", "helpsteer3-edit", "rlbff", "rlbff-critique"),
    *(
        "expert-domain",
        "mm-rlhf",
        "mm-rlhf-text",
        "beavertails-v",
        "beavertails-v-pairs",
        "dialogue-turns",
        "first-pass",
        "open-assistant-ratings",
        "suite-questions",
        "jailbreaks",
    ),
)


@dataclass(frozen=True)
class CampaignTemplate:
    """A campaign to begin with; `settings` are what `services.campaigns.create` takes, without a name."""

    name: str
    version: int
    title: str
    summary: str
    source: str
    settings: dict[str, Any]

    @property
    def views(self) -> list[str]:
        """Return which rows its judgements become."""
        return offered(kind(self.settings["kind"]), self._options)[0]

    @property
    def layouts(self) -> list[str]:
        """Return in whose columns these rows can be exported besides."""
        return offered(kind(self.settings["kind"]), self._options)[1]

    @property
    def gold(self) -> list[str]:
        """Return what a judgement is compared in with the right answer; none where there is no right answer."""
        one = kind(self.settings["kind"])
        return [like.name for like in one.likenesses(self._options)]

    @property
    def submit_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of a judgement, which the answer of gold has too."""
        with translation.override(None):  # a document for programs
            return kind(self.settings["kind"]).json_schema(self._options)

    @property
    def _options(self) -> dict[str, Any]:
        return kind(self.settings["kind"]).clean_options(self.settings["options"])

    @property
    def label(self) -> str:
        return f"{self.name} {self.version}"


@cache
def templates() -> dict[str, CampaignTemplate]:
    """Return the built-in templates by name."""
    found = {}
    for name in ORDER:
        read = tomllib.loads((FOLDER / f"{name.replace('-', '_')}.toml").read_text(encoding="utf-8"))
        found[name] = CampaignTemplate(
            name=name,
            **{field: read[field] for field in ("version", "title", "summary", "source")},
            settings={
                "kind": read["kind"],
                "options": read["options"],
                "overlap": read["overlap"],
                "lease_seconds": read["lease_seconds"],
                "wellbeing": read["wellbeing"],
                "guideline": unwrapped(read["guideline"]),
                **{field: read[field] for field in MORE_SETTINGS if field in read},
            },
        )
    return found


def unwrapped(text: str) -> str:
    """Return Markdown with each paragraph and list item on one line, however it was wrapped in its file."""
    lines: list[str] = []
    for line in text.strip().splitlines():
        bare = line.strip()
        begins = not bare or bare.startswith(("#", "- ", "> ")) or bare.split(" ")[0].rstrip(".").isdecimal()
        if begins or not lines or not lines[-1]:
            lines.append(line.rstrip())
        else:
            lines[-1] += f" {bare}"
    return "\n".join(lines)
