// A list of questions: one is marked, its keys answer it, and the next one that is open is marked then.

import { missingIn } from "./form.js";
import { following, turns } from "./turns.js";

const ANSWERS = "input[type=radio]";

export function rows(item) {
  const list = item.querySelector("[data-turns], [data-rows]");
  if (!list) return;
  const all = [...list.querySelectorAll("[data-row]")];
  const answers = [...item.querySelectorAll("[data-answer]")];
  const wide = matchMedia("(min-width: 56.25rem) and (min-height: 35rem)");
  const shown = () => all.filter((row) => row.checkVisibility());

  let markTurn = () => {};
  const mark = (row) => {
    for (const one of all) one.toggleAttribute("data-active", one === row);
    markTurn(row);
    row.scrollIntoView({ block: "nearest" });
    const about = row.closest("[data-about]")?.dataset.about;
    for (const answer of answers) {
      answer.toggleAttribute("data-asked", answers.length > 1 && answer.dataset.answer === about);
      if ("asked" in answer.dataset && wide.matches) answer.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
  };
  const move = (by) => {
    const open = shown();
    const at = open.findIndex((row) => "active" in row.dataset);
    mark(open[Math.min(open.length - 1, Math.max(0, at + by))]);
  };

  list.addEventListener("focusin", ({ target }) => {
    const row = target.closest("[data-row]");
    if (row) mark(row);
  });
  list.addEventListener("restored", ({ target }) => {
    const row = target.closest("[data-row]");
    if (row?.checkVisibility()) mark(row);
  });
  list.addEventListener("click", ({ target }) => {
    const way = target.closest("[data-move]");
    if (way) move(Number(way.dataset.move));
  });
  const steps = [...list.querySelectorAll("[data-step]")];
  const unfold = () => {
    let open = true;
    for (const step of steps) {
      step.hidden = !open;
      open &&= missingIn(step, list.closest("form")).size === 0;
    }
  };
  // A question that depends on another one of the same answer shows once that has one of the wanted values.
  const dependent = [...list.querySelectorAll("[data-asked-if]")];
  const ask = () => {
    const { elements } = list.closest("form");
    for (const row of dependent) {
      const source = elements.namedItem(row.dataset.askedIf);
      const isAsked = row.dataset.askedValues.split(" ").includes(source.value);
      row.hidden = !isAsked || source[0].closest("[data-row]").hidden;
    }
  };
  // What an answer was given stands on its card too: the order is seen where it is read.
  const places = all.filter((row) => row.matches("[data-place-of]"));
  const place = () => {
    for (const row of places) {
      const answer = answers.find((one) => one.dataset.answer === row.dataset.about);
      const head = answer?.querySelector(".answer__head");
      if (head) head.dataset.place = row.querySelector(":checked")?.value ?? "";
    }
  };
  for (const when of ["input", "restored"]) list.addEventListener(when, place);
  place();
  list.addEventListener("input", ask);
  ask();
  list.addEventListener("input", unfold);
  unfold();
  // Given by a key of its row, not by arrows inside it: the next question that has no answer yet is due.
  list.addEventListener("change", ({ target }) => {
    const row = target.closest("[data-row]");
    if (!target.matches(ANSWERS) || target === document.activeElement) return;
    const reason = row.querySelector("[data-reason]");
    if (reason && !reason.value.trim()) {
      reason.focus();
      return;
    }
    const open = shown();
    const next = open.slice(open.indexOf(row) + 1).find((one) => one.querySelector(ANSWERS) && !answered(one));
    const due = next && following(row, next, list.closest("form"));
    if (due) mark(due);
  });
  for (const field of list.querySelectorAll("[data-find]")) search(field, mark);
  evidence(item, list);
  if (list.matches("[data-turns]")) markTurn = turns(list, mark);
  mark(shown()[0]);
}

// A category that was not named stands at "none", which is no answer that anybody gave.
function answered(row) {
  return [...row.querySelectorAll("input:checked")].length > 0;
}

// Shows the rows with a word that begins as typed, else those that have the letters anywhere. Enter marks the first one,
// a name before a meaning, and gives the keys back.
function search(field, mark) {
  const group = field.closest("[data-needs-one]");
  const categories = [...group.querySelectorAll("[data-words]")];
  const typed = () => field.value.trim().toLowerCase();
  const has = (row, isThere) => typed().split(/\s+/).every((part) => isThere(row.dataset.words, part));
  const begins = (words, part) => words.split(/[^\p{L}\p{N}]+/u).some((word) => word.startsWith(part));
  const narrow = () => {
    const beginning = categories.filter((row) => has(row, begins));
    const found = beginning.length ? beginning : categories.filter((row) => has(row, (words, part) => words.includes(part)));
    for (const row of categories) row.hidden = !found.includes(row);
    group.querySelector("[data-none-found]").hidden = categories.some((row) => !row.hidden);
  };
  field.addEventListener("input", (event) => {
    event.stopPropagation(); // what is looked for is no part of the answer
    narrow();
  });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    const found = categories.filter((row) => !row.hidden);
    const first = found.find((row) => row.dataset.words.startsWith(typed())) ?? found[0];
    if (!first) return;
    field.value = "";
    field.blur();
    narrow();
    mark(first);
  });
}

// Text selected in an answer becomes the evidence of the marked question, if that is about this answer.
function evidence(item, list) {
  if (!list.querySelector("[data-evidence]")) return;
  item.querySelector("[data-answers]").addEventListener("pointerup", take);
  item.querySelector("[data-answers]").addEventListener("keyup", take);

  function take(event) {
    // A selection is made by the pointer or with Shift; any other key leaves it as it is, and it was taken before.
    if (event.type === "keyup" && !/^(?:Shift|Arrow|Home|End|Page)/.test(event.key)) return;
    const selection = document.getSelection();
    const text = selection?.toString().trim();
    const answer = event.target.closest("[data-answer]");
    if (!text || !answer?.contains(selection.anchorNode)) return;
    const field = list.querySelector("[data-row][data-active] [data-evidence]");
    if (field?.closest("[data-about]").dataset.about !== answer.dataset.answer) return;
    // A critique keeps several passages, a line for each; a principle keeps one.
    const passage = text.replace(/\s+/g, " ");
    const kept = field.dataset.evidence === "add" ? field.value.split("\n").filter((line) => line.trim()) : [];
    if (kept.includes(passage)) return;
    field.value = [...kept, field.dataset.evidence === "add" ? passage : text].join("\n").slice(0, field.maxLength);
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }
}
