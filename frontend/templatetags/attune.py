"""What templates of several pages need: safe Markdown, who may see which link, small formats."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django import template
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.templatetags.static import static
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from annotation.access import Action, roles_for
from annotation.messages import Content, Part, images_of, in_words
from annotation.models import Membership, User
from frontend import markdown as renderer
from frontend import numerals
from training.services import presence

register = template.Library()


@register.simple_tag
def static_if_there(path: str) -> str:
    """Return the address of a static file, as good as known: a page about an error fails over nothing."""
    try:
        return static(path)
    except ValueError:  # no list of hashed files, or not in it
        return f"{settings.STATIC_URL}{path}"


@register.filter
def markdown(text: str, below: int = 3) -> SafeString:
    """Return Markdown as HTML that went through the allow-list of `frontend.markdown`.

    The argument is the level of the heading it stands under: ``{{ text|markdown:2 }}`` below an h2.
    """
    return mark_safe(renderer.render(text or "", below=below))  # noqa: S308 - cleaned by nh3


@register.filter
def words(content: Content) -> str:
    """Return what a message or an answer says, for where no image stands."""
    return in_words(content)


@register.filter
def images(content: Content) -> list[Part]:
    """Return the images in a message or an answer."""
    return images_of(content)


@register.simple_tag
def runs_campaigns(user: User | AnonymousUser) -> bool:
    """Return whether this person leads, or engineers, any campaign, and so may open the campaign pages (1 query)."""
    if not isinstance(user, User):
        return False
    if user.is_superuser:
        return True
    return Membership.objects.filter(user=user, role__in=roles_for(Action.READ)).exists()


@register.simple_tag
def workers_away(user: User | AnonymousUser) -> list[presence.Away]:
    """Return the queues without a worker, for who runs campaigns; nothing for others (no query while all are there)."""
    if not isinstance(user, User):
        return []
    away = presence.away()
    return away if away and runs_campaigns(user) else []


@register.filter
def at(values: Mapping[str, Any] | None, name: str) -> Any:
    """Return what `values` has under a name that only the context knows; the empty string when it has nothing."""
    found = values.get(name) if values else None
    return "" if found is None else found


@register.filter
def as_text(value: Any) -> str:
    """Return a value for an input that takes text; a list, which a script may keep as a draft, as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@register.filter
def within(values: Mapping[str, Any] | None, prefix: str) -> dict[str, Any]:
    """Return what `values` has under names that begin with `prefix`, without it."""
    found = (values or {}).items()
    return {name.removeprefix(prefix): value for name, value in found if name.startswith(prefix)}


@register.filter
def percent(share: float | None) -> str:
    """Return a share of 1 as whole per cent, "–" for none."""
    return "–" if share is None else numerals.percent(share)


@register.filter
def duration(seconds: float | None) -> str:
    """Return seconds as people say them: "42 s", "3 min", "1 h 20 min"; "–" for none."""
    if seconds is None:
        return "–"
    if seconds < 90:
        return _("{seconds} s").format(seconds=f"{seconds:.0f}")
    minutes = round(seconds / 60)
    if minutes < 60:
        return _("{minutes} min").format(minutes=minutes)
    return _("{hours} h {minutes} min").format(hours=minutes // 60, minutes=f"{minutes % 60:02d}")
