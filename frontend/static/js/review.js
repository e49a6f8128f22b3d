// Costly text is read once more before it is sent: what was written, what it changes, and whether it changes anything.

import { changed } from "./changes.js";

// Shows what is about to be sent of `item`, and calls `send` if the person says so. Returns false where nothing is shown.
export function review(item, form, send) {
  const dialog = item.querySelector("[data-review]");
  if (!dialog || dialog.matches(":popover-open")) return Boolean(dialog);
  const fields = [...form.querySelectorAll("textarea")].filter((field) => field.value.trim() && !field.closest("[data-rejected]"));
  dialog.querySelector("[data-review-texts]").replaceChildren(...fields.flatMap((field) => shown(item, field)));
  const rewritten = form.querySelector("[data-rewrites]");
  dialog.querySelector("[data-review-unchanged]").hidden = !rewritten || !changed(original(item), rewritten.value).isSame;
  dialog.querySelector("[data-send]").onclick = () => {
    dialog.hidePopover();
    send();
  };
  dialog.showPopover();
  dialog.querySelector("[data-send]").focus(); // at once: a quick Enter would still be written into the text behind
  return true;
}

function shown(item, field) {
  const title = document.createElement("h3");
  title.className = "eyebrow";
  const [words] = field.labels;
  title.textContent = [...words.childNodes].find((node) => node.nodeType === Node.TEXT_NODE)?.textContent.trim() ?? "";
  const text = document.createElement("div");
  text.className = "review__text";
  text.dir = "auto";
  const { isSame, nodes } = field.matches("[data-rewrites]") ? changed(original(item), field.value) : {};
  if (nodes && !isSame) text.append(...nodes);
  else text.textContent = field.value;
  return [title, text];
}

const original = (item) => item.querySelector("[data-answer] .text__raw")?.textContent ?? "";
