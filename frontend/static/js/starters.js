// A button that begins a sentence: its words go to the end of the text, and the cursor behind them.

export function starters(item) {
  item.addEventListener("click", ({ target }) => {
    const button = target.closest("[data-starter]");
    if (!button) return;
    const place = button.closest("[data-starters]");
    const field = place.closest("form").elements.namedItem(place.dataset.starters);
    const words = `${button.firstChild.textContent.replace(/…\s*$/, "").trim()} `;
    const kept = field.value.trimEnd();
    const gap = kept ? "\n" : "";
    if (kept.length + gap.length + words.length > field.maxLength) return;
    field.setRangeText(gap + words, kept.length, field.value.length, "end");
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.focus();
  });
}
