// A button on each block of code that copies it as it was written.

import { announce, word } from "./screen.js";

const SAID = 2000; // milliseconds for which the button says that it worked

export function copyButtons(item) {
  for (const block of item.querySelectorAll(".text__rendered pre")) {
    if (block.parentElement.matches(".code")) continue; // a copy of an item that was put aside has them already
    const box = Object.assign(document.createElement("div"), { className: "code" });
    const button = Object.assign(document.createElement("button"), { type: "button", className: "code__copy" });
    button.append(word("copy"));
    block.replaceWith(box);
    box.append(block, button);
  }
  item.addEventListener("click", async ({ target }) => {
    const button = target.closest(".code__copy");
    if (!button) return;
    const done = word((await copied(button.parentElement.querySelector("pre").textContent)) ? "copied" : "not-copied");
    button.textContent = done;
    announce(done);
    setTimeout(() => {
      button.textContent = word("copy");
    }, SAID);
  });
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copiedBySelection(text); // the clipboard is kept from pages that come without TLS
  }
}

function copiedBySelection(text) {
  const focused = document.activeElement;
  const area = Object.assign(document.createElement("textarea"), { value: text, className: "visually-hidden" });
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  focused?.focus({ preventScroll: true });
  return done;
}
