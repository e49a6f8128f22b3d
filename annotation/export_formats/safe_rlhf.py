"""PKU-SafeRLHF's columns, with the signs that a cost model learns from.

J. Dai et al., "Safe RLHF", arXiv:2310.12773, eq. 6: the sign is +1 for an answer that is unsafe and -1 for a safe one.
"""

from __future__ import annotations

from annotation.export_formats.base import FEEDBACK, Format, Row, each, kept, text

RATES = ("harmless_rate", "helpful_rate")


def row(pair: Row) -> Row:
    """Return the pair in the order in which it stood on the screen: response_0 is the first."""
    names = ("chosen", "rejected") if pair["position"] == 0 else ("rejected", "chosen")
    safer = names.index("chosen")
    better = safer if pair["chosen_is_better"] else 1 - safer
    made: Row = {"prompt": text(pair["prompt"])}
    for place, name in enumerate(names):
        made[f"response_{place}"] = text(pair[name])
    for place, name in enumerate(names):
        safe = pair[f"{name}_is_safe"]
        made[f"is_response_{place}_safe"] = safe
        made[f"response_{place}_severity_level"] = pair[f"{name}_severity"]
        # A list of names: rows have different categories, and a column has one type.
        made[f"response_{place}_harm_category"] = sorted(pair[f"{name}_harms"])
        made[f"response_{place}_sign"] = -1 if safe else 1
        for rate in RATES:
            made[f"response_{place}_{rate}"] = pair.get(f"{name}_{rate}")  # older rows have none
    return {**made, "better_response_id": better, "safer_response_id": safer, **kept(pair, *FEEDBACK)}


SAFE_RLHF = Format(
    "safe_rlhf",
    "PKU-SafeRLHF: the safer and the more helpful of two answers, each with its label and the sign of its cost",
    ("safer_pairs",),
    {
        "prompt": "the prompt as one text",
        "response_0": "the answer shown first",
        "response_1": "the other one",
        **{
            name: meaning
            for place in (0, 1)
            for name, meaning in {
                f"is_response_{place}_safe": "true when it is safe",
                f"response_{place}_severity_level": "0 when safe, else 1 minor, 2 moderate, 3 severe",
                f"response_{place}_harm_category": "list of its categories",
                f"response_{place}_sign": "+1 when it is unsafe, -1 when it is safe",
                f"response_{place}_harmless_rate": "-3 to 3, as in BeaverTails-V; null if not asked",
                f"response_{place}_helpful_rate": "0 to 3, as in BeaverTails-V; null if not asked",
            }.items()
        },
        "better_response_id": "0 or 1: the more helpful one",
        "safer_response_id": "0 or 1: the safer one",
        **FEEDBACK,
    },
    each(row),
)
