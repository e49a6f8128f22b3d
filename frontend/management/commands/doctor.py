from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from frontend import doctor


class Command(BaseCommand):
    help = "Look at Python, disk, GPU, database, broker and workers, and say what to do about what is missing."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        findings = doctor.examine()
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            self.stdout.write(f"{finding.level.value}  {finding.name:<{width}}  {finding.state}")
            if finding.advice:
                self.stdout.write(f"{'':<{width + 6}}  {finding.advice}")
        if any(finding.level is doctor.Level.BAD for finding in findings):
            raise SystemExit(1)
