// Single keys: `data-key="4 t"` on a control makes those keys press it, and "Shift+c" that letter with Shift. A text field is focused instead of pressed,
// and so is a region that scrolls. While a dialog is open only its own keys work.

import { read, write } from "./store.js";

const SWITCH = "attune:keys";
const TYPES = "textarea, select, [contenteditable], input:not([type=radio], [type=checkbox], [type=button], [type=submit])";

export function listenForKeys() {
  document.addEventListener("keydown", pressed);
  const box = document.querySelector("[data-keys-switch]");
  if (!box) return;
  box.checked = read(SWITCH) !== "off";
  box.addEventListener("change", () => write(SWITCH, box.checked ? "on" : "off"));
}

function pressed(event) {
  if (event.defaultPrevented || event.isComposing || event.repeat || event.altKey) return;
  const { target } = event;
  const typing = target.closest?.(TYPES);
  if (typing) {
    if (event.key === "Escape") typing.blur();
    else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) press(event, "Enter");
    return;
  }
  if (event.ctrlKey || event.metaKey || read(SWITCH) === "off") return;
  // Enter on a focused button, link or summary is that control's own; not on one of a dialog that has just closed, which
  // keeps the focus until the next frame.
  if (event.key === "Enter" && target.closest?.("button, a[href], summary, [popover]")?.checkVisibility()) return;
  press(event, event.key) || press(event, byPlace(event.code));
}

// Where the layout has no Latin letters, or digits need Shift, the place of the key counts.
function byPlace(code) {
  return /^(?:Key|Digit|Numpad)(\w)$/.exec(code)?.[1] ?? "";
}

function press(event, key) {
  const name = key.length === 1 ? key.toLowerCase() : key;
  const scope = document.querySelector("[popover]:popover-open, dialog[open]") ?? document;
  const called = (wanted) =>
    [...scope.querySelectorAll("[data-key]")].find((one) => one.dataset.key.split(" ").includes(wanted) && usable(one, scope));
  const control = (event.shiftKey && called(`Shift+${name}`)) || called(name);
  if (!control) return false;
  event.preventDefault();
  if (control.matches(TYPES) || control.matches("[data-scroll], [data-scrolls]")) control.focus();
  else control.click();
  return true;
}

// A control in a closed popover is not there; `checkVisibility` also finds what a stylesheet hides.
function usable(control, scope) {
  if (control.disabled || control.closest("[inert]")) return false;
  // In a list of questions the keys of the marked one count, and of turns those of the marked turn.
  if (control.closest("[data-row]:not([data-active]), [data-turn]:not([data-active])")) return false;
  const popover = control.closest("[popover]");
  return (!popover || popover === scope) && control.checkVisibility();
}
