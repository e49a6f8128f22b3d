// A critique and the principles proposed from it: asking for them, where they stand in the critique, one's own.

import { fieldsOf } from "./form.js";
import { post } from "./net.js";

const BEATS = [1000, 1000, 2000, 3000]; // milliseconds from one question to the next; the last one repeats

export function proposals(item) {
  const button = item.querySelector("[data-propose]");
  if (!button) return;
  const { form } = button;
  const { critique } = form.elements;
  const slots = [...form.querySelectorAll("[data-slot]")].map(parts);
  const said = form.querySelector("[data-proposed-said]");
  const panel = form.querySelector("[data-quoted]");
  let asked = 0; // counts questions, so that a late answer to an earlier one is left

  const changed = () => form.dispatchEvent(new Event("input", { bubbles: true }));
  const show = () => {
    count(form, critique);
    for (const slot of slots) lay(slot);
    const full = slots.every((slot) => !slot.row.hidden);
    for (const one of form.querySelectorAll("[data-add]")) one.disabled = full;
    quote(panel, critique.value, slots);
  };

  async function ask(more, beat = 0) {
    const mine = ++asked;
    const result = await post(button.formAction, { ...fieldsOf(form), ...more });
    if (mine !== asked || !item.isConnected) return;
    if (result.kind !== "ok") {
      said.textContent = ["invalid", "conflict"].includes(result.kind) ? result.text : button.dataset.away;
      return;
    }
    if (!result.html) return; // nothing was asked for these words before
    const answer = JSON.parse(result.html);
    if (answer.is_waiting) {
      said.textContent = button.dataset.asking;
      setTimeout(() => mine === asked && ask({ proposal: answer.proposal }, beat + 1), BEATS[Math.min(beat, BEATS.length - 1)]);
      return;
    }
    said.textContent = answer.said;
    const before = slots.filter((slot) => !slot.row.hidden).length;
    for (const [name, value] of Object.entries(answer.fields)) {
      const field = form.elements.namedItem(name);
      if (field && !field.value) field.value = value; // what was written meanwhile stays
    }
    changed();
    const first = slots[before];
    if (first && !first.row.hidden && !document.activeElement.matches("textarea, input")) first.title.focus();
  }

  button.addEventListener("click", (event) => {
    event.preventDefault();
    if (!critique.value.trim()) critique.focus();
    said.textContent = button.dataset.asking;
    ask({});
  });
  form.querySelector("[data-own]").hidden = false;
  form.querySelector("[data-own]").addEventListener("click", ({ target }) => {
    const add = target.closest("[data-add]");
    const free = add && slots.find((slot) => slot.row.hidden);
    if (!free) return;
    free.opened = true;
    free.statement.value = add.dataset.add;
    changed();
    (add.dataset.add ? free.title : free.statement).focus();
  });
  form.addEventListener("change", ({ target }) => {
    const slot = slots.find((one) => one.row.contains(target));
    if (!slot || target.value !== "reject" || slot.by.value) return;
    // One's own is not rejected but taken back.
    target.checked = slot.opened = false;
    slot.statement.value = slot.quote.value = "";
    changed();
  });
  panel.addEventListener("pointerup", () => take(panel, slots, changed));
  panel.addEventListener("keyup", () => take(panel, slots, changed));
  form.addEventListener("input", show);
  new MutationObserver(() => quote(panel, critique.value, slots)).observe(form, { subtree: true, attributeFilter: ["data-active"] });
  show();
  // The page may have been lost while somebody waited.
  if (critique.value.trim() && !slots.some((slot) => slot.by.value)) ask({ only_known: "1" });
}

function parts(row) {
  return {
    row,
    title: row.querySelector("legend"),
    statement: row.querySelector("[data-statement]"),
    quote: row.querySelector("[data-quote]"),
    by: row.querySelector("[data-proposed-by]"),
    answer: row.querySelector("[data-proposed-answer]"),
    told: row.querySelector("[data-by]"),
    opened: false,
  };
}

function count(form, field) {
  const place = form.querySelector(`[data-count-of="${field.name}"]`);
  const words = field.value.trim().split(/\s+/).filter(Boolean).length;
  place.textContent = place.dataset.words.replace("{n}", words);
}

// A slot shows as long as there is something in it, or it was opened for one of one's own.
function lay({ row, statement, quote: evidence, by, answer, told, opened }) {
  const chosen = row.querySelector("input:checked");
  row.hidden = !(opened || statement.value || evidence.value || by.value || chosen);
  row.classList.toggle("slot--proposed", Boolean(by.value));
  row.toggleAttribute("data-rejected", chosen?.value === "reject");
  const label = row.querySelector(`input[value="${answer.value || "none"}"]`)?.dataset.label ?? "";
  const absence = /^(?:no|without|avoids?|free of|never)\b/i.test(statement.value) ? told.dataset.absence : "";
  told.textContent = [by.value && told.dataset.words.replace("{answer}", label), absence].filter(Boolean).join(" · ");
}

// Shows the critique with the passages marked, that of the marked principle above all.
function quote(panel, text, slots) {
  const shown = slots.filter(({ row, quote: { value } }) => !row.hidden && !("rejected" in row.dataset) && value.trim());
  const spans = shown
    .map(({ row, quote: { value } }) => ({ start: text.indexOf(value.trim()), size: value.trim().length, isActive: "active" in row.dataset }))
    .filter(({ start }) => start >= 0)
    .sort((one, other) => other.isActive - one.isActive);
  const kept = [];
  for (const span of spans) {
    if (kept.every(({ start, size }) => span.start >= start + size || span.start + span.size <= start)) kept.push(span);
  }
  kept.sort((one, other) => one.start - other.start);
  const nodes = [];
  let at = 0;
  for (const { start, size, isActive } of kept) {
    const mark = document.createElement("mark");
    mark.textContent = text.slice(start, start + size);
    mark.className = isActive ? "quoted__active" : "";
    nodes.push(text.slice(at, start), mark);
    at = start + size;
  }
  panel.hidden = slots.every(({ row }) => row.hidden) || !text.trim();
  panel.querySelector("[data-quoted-text]").replaceChildren(...nodes, text.slice(at));
}

// What is selected in the critique becomes the evidence of the marked principle.
function take(panel, slots, changed) {
  const selection = document.getSelection();
  const passage = selection?.toString().trim();
  const slot = slots.find(({ row }) => "active" in row.dataset);
  if (!passage || !slot || !panel.contains(selection.anchorNode)) return;
  slot.quote.value = passage.slice(0, slot.quote.maxLength);
  changed();
}
