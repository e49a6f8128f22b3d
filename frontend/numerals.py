"""Numbers as the reader's language writes them: what decimals are set off with, and where the per cent sign stands."""

from __future__ import annotations

from django.utils.formats import get_format, number_format
from django.utils.translation import gettext as _


def decimal(text: str) -> str:
    """Return a number that Python formatted, such as "0.25" or "1e-05", with the language's decimal separator."""
    return text.replace(".", str(get_format("DECIMAL_SEPARATOR")))


def undecimal(text: str) -> str:
    """Return a number that a person typed as Python reads it; a point is taken in every language."""
    return text.replace(str(get_format("DECIMAL_SEPARATOR")), ".")


def grouped(value: float) -> str:
    """Return a number without decimals, its thousands apart."""
    return number_format(f"{value:.0f}", decimal_pos=0, use_l10n=True, force_grouping=True)


def percent(share: float) -> str:
    """Return a share of 1 as per cent."""
    # Translators: a share, such as 85%.
    return _("{number}%").format(number=f"{100 * share:.0f}")


def span(low: str, high: str) -> str:
    """Return an interval in words."""
    # Translators: an interval, such as 40% to 60%.
    return _("{low} to {high}").format(low=low, high=high)
