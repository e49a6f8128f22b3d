// What a rewritten answer changes in the one it was made from, word by word, while it is written.

import { commonWords } from "./diff.js";

const QUIET = 200;

export function changes(item) {
  startFrom(item);
  const field = item.querySelector("[data-rewrites]");
  if (!field) return;
  const panel = item.querySelector("[data-changes]");
  const text = item.querySelector("[data-changes-text]");
  const before = item.querySelector("[data-answer] .text__raw").textContent;
  let timer = 0;
  const show = () => {
    const { isSame, nodes } = changed(before, field.value);
    panel.hidden = isSame || !nodes;
    if (!panel.hidden) text.replaceChildren(...nodes);
  };
  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(show, QUIET);
  });
  show();
}

// A button that puts one of the answers into a field, to be changed there; what was written already is kept.
function startFrom(item) {
  for (const buttons of item.querySelectorAll("[data-start]")) {
    buttons.hidden = false;
    buttons.addEventListener("click", ({ target }) => {
      const button = target.closest("[data-start-from]");
      if (!button) return;
      const field = document.getElementById(button.dataset.startIn);
      const answer = item.querySelector(`[data-answer="${button.dataset.startFrom}"] .text__raw`).textContent.trim();
      field.value = field.value.trim() ? `${field.value.trimEnd()}\n\n${answer}` : answer;
      field.dispatchEvent(new Event("input", { bubbles: true }));
      field.focus();
    });
  }
}

// Returns whether two texts have the same words, and the second with what was changed marked, unless they are too long.
export function changed(text, other) {
  const [before, after] = [words(text), words(other)];
  const common = commonWords(before, after);
  if (!common) return { isSame: text.trim() === other.trim(), nodes: null };
  const isSame = common[0].size === before.length && common[1].size === after.length;
  return { isSame, nodes: pieces(before, after, common) };
}

// Blanks stay with the word before them, so that the text reads as it was written.
function words(text) {
  return text.trim().match(/\S+\s*/g) ?? [];
}

function pieces(before, after, [inBefore, inAfter]) {
  const found = [];
  let i = 0;
  let j = 0;
  while (i < before.length || j < after.length) {
    const gone = [];
    const come = [];
    while (i < before.length && !inBefore.has(i)) gone.push(before[i++]);
    while (j < after.length && !inAfter.has(j)) come.push(after[j++]);
    if (gone.length) found.push(element("del", gone));
    if (come.length) found.push(element("ins", come));
    if (i < before.length && j < after.length) {
      found.push(after[j]);
      i += 1;
      j += 1;
    }
  }
  return found;
}

function element(name, parts) {
  const made = document.createElement(name);
  made.textContent = parts.join("");
  return made;
}
