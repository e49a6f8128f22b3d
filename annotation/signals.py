"""What annotation tells whoever listens; it knows none of them."""

from __future__ import annotations

from django.dispatch import Signal

# Sent with `task`, inside the transaction, when a task got the last judgement it wanted.
task_completed = Signal()
# Sent with `person` and `pseudonym`, inside the transaction, before what a person said is deleted.
person_erased = Signal()
# Sent with `event` and `campaign`, inside the transaction, when something was added to a campaign's audit trail.
event_recorded = Signal()
