// Each turn of a dialogue has its own questions: one turn is marked, and how many are answered is counted.

import { missingIn } from "./form.js";

// `goTo` marks a row. Returns what to call with the row that was marked.
export function turns(list, goTo) {
  const all = [...list.querySelectorAll("[data-turn]")];
  const form = list.closest("form");
  const count = list.querySelector("[data-turns-done] [data-count]");

  const tell = () => {
    const done = all.map((turn) => missingIn(turn, form).size === 0);
    for (const [place, turn] of all.entries()) turn.querySelector("[data-turn-done]").hidden = !done[place];
    count.textContent = String(done.filter(Boolean).length);
  };
  list.addEventListener("input", tell);
  list.addEventListener("click", ({ target }) => {
    const way = target.closest("[data-turn-move]");
    if (!way) return;
    const at = all.findIndex((turn) => "active" in turn.dataset);
    const next = all[Math.min(all.length - 1, Math.max(0, at + Number(way.dataset.turnMove)))];
    goTo(firstOpen(next));
    next.scrollIntoView({ block: "start" });
  });
  tell();
  return (row) => {
    for (const turn of all) turn.toggleAttribute("data-active", turn.contains(row));
  };
}

// The question of a turn that is due: the first without an answer, or else its first.
function firstOpen(turn) {
  const rows = [...turn.querySelectorAll("[data-row]")].filter((row) => row.checkVisibility());
  return rows.find((row) => !row.querySelector("input:checked") && !row.querySelector("textarea")?.value) ?? rows[0];
}

// The question to mark once `row` is answered, where `next` would be due; null when `row` keeps the mark, because its
// turn is not finished or may have one category more.
export function following(row, next, form) {
  const turn = row.closest("[data-turn]");
  if (!turn || turn.contains(next)) return next;
  if (row.matches("[data-words]") || missingIn(turn, form).size > 0) return null;
  return firstOpen(next.closest("[data-turn]"));
}
