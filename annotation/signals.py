"""What annotation tells whoever listens; it knows none of them."""

from __future__ import annotations

from django.dispatch import Signal

# Sent with `task`, inside the transaction, when a task got the last judgement it wanted.
task_completed = Signal()
