"""What annotation itself does about its signals."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from annotation.models import Campaign, Event
from annotation.services import webhooks
from annotation.signals import event_recorded


@receiver(event_recorded, dispatch_uid="annotation.tell_of_events")
def tell_of_events(event: Event, campaign: Campaign, **_: Any) -> None:
    """Put a message on its way to whoever wants to be told of such an event. No statement where nobody listens."""
    webhooks.recorded(campaign, action=event.action, target=event.target, detail=event.detail)
