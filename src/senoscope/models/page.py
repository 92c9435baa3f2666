"""A system's catalog row as a page for a person."""

from __future__ import annotations

from senoscope.catalog import Row

_OUTPUTS = {
    "class_logits": "class probabilities",
    "mask_logits": "lesion outline",
    "class_map": "heatmap (the class's evidence at every location)",
    "boxes": "a box around the lesion",
    "contour_logits": "the lesion's contour",
}
_FIDELITY = {
    "exact": "published in full",
    "close": "public parts in full, gaps filled and named",
    "interpretation": "only the idea is public",
}


def render(row: Row) -> str:
    """The row as Markdown: what it is, blocks, inputs and outputs, the paper's recipe, what was not public."""
    facts = row.facts
    side = facts["native_size"]
    gives = [text for key, text in _OUTPUTS.items() if key in facts["gives"]]
    recipe = ", ".join(f"{key} {_value(value)}" for key, value in facts.get("recipe", {}).items())
    lines = [
        f"# {row.name}",
        "",
        f"{row.title} ({facts['year']}). {facts['params']:,} parameters, "
        f"{facts['gmacs']:.3g} GMACs at {side}×{side} px.",
        "",
        str(facts["about"]).strip(),
        "",
        "```",
        str(facts["blocks"]).strip("\n"),
        "```",
        "",
        f"- **Source**: {row.text('source')}",
        f"- **Claimed by the paper**: {row.text('claimed') or 'no figure on breast images'}",
        f"- **Fidelity**: {facts['fidelity']} ({_FIDELITY[facts['fidelity']]})",
        f"- **Takes**: gray images, sides multiples of {facts.get('size_multiple', 1)} px"
        + (", and the lesion's mask" if facts.get("takes_mask") else ""),
        f"- **Learns from**: {', '.join(need for need in facts['needs'] if need != 'image')}",
        f"- **Gives**: {', '.join(gives)}",
        f"- **Recipe**: {recipe or 'the common one'}",
        f"- **Not public, and how the gap was filled**: {str(facts['gaps']).strip()}",
    ]
    if "params_published" in facts:
        note = facts.get("params_published_note", "the paper's count")
        lines.append(f"- **Published parameters**: {facts['params_published']:,} ({note})")
    if "params_differ" in facts:
        lines.append(f"- **Why ours differ**: {facts['params_differ']}")
    if "no_onnx" in facts:
        lines.append(f"- **Not exported to ONNX**: {facts['no_onnx']}")
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
