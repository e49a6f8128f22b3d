// Undo inside an item: Ctrl+Z takes back the last choice, Ctrl+Shift+Z or Ctrl+Y gives it again. In a text field these
// keys are the browser's own; a text that was typed in one go is one step here.

import { fill } from "./draft.js";
import { fieldsOf } from "./form.js";
import { announce, word } from "./screen.js";

const MOST = 200;
const TEXT = "textarea, input[type=text]";
// What the page measures is not what a person said.
const MEASURED = ["assignment", "client_key", "active_seconds", "behaviour"];

export function steps(form) {
  const over = new AbortController();
  const options = { signal: over.signal };
  const before = [];
  const after = [];
  let now = said(form);
  let typing = null; // the text field in which the last change was made

  form.addEventListener("input", ({ target }) => {
    const changed = said(form);
    if (JSON.stringify(changed) === JSON.stringify(now)) return;
    const goesOn = target.matches(TEXT) && target === typing;
    typing = target.matches(TEXT) ? target : null;
    if (!goesOn) before.push(now);
    if (before.length > MOST) before.shift();
    after.length = 0;
    now = changed;
  }, options);
  document.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.altKey || event.target.closest?.(TEXT)) return;
    const key = event.key.toLowerCase();
    if (key === "z" && !event.shiftKey) go(event, before, after, "taken-back");
    else if (key === "y" || key === "z") go(event, after, before, "given-again");
  }, options);

  // The first input that says something else than `other`.
  function changedIn(other) {
    return [...form.elements].find(({ name }) => name && !MEASURED.includes(name) && now[name] !== other[name]);
  }

  function go(event, from, to, said) {
    if (!form.isConnected) return over.abort();
    if (!from.length || document.querySelector("[popover]:popover-open, dialog[open]")) return;
    event.preventDefault();
    to.push(now);
    const left = now;
    now = from.pop();
    typing = null;
    // A choice that was none before: no field of that name is left to fill.
    for (const input of form.querySelectorAll("input[type=radio]:checked")) input.checked = input.name in now;
    fill(form, now);
    // What folds, counts or stores hears of it as of any change.
    (form.querySelector("[data-rows], [data-turns]") ?? form).dispatchEvent(new Event("input", { bubbles: true }));
    changedIn(left)?.dispatchEvent(new Event("restored", { bubbles: true }));
    announce(word(said));
  }
}

function said(form) {
  const fields = fieldsOf(form);
  for (const name of MEASURED) delete fields[name];
  return fields;
}
