// How the two answers are read: scrolled together, as written, with their differences, one at a time.
// The choice stays for the next items of the session.

import { mark, unmark } from "./diff.js";

const NARROW = matchMedia("(max-width: 56.249rem), (max-height: 34.999rem)"); // as in work.css
const STOPS = "a[href], button, input, summary, [tabindex='0']";
const chosen = { linked: true, zoom: true, diff: false, raw: false, length: false, show: "both" };

// What is asked stays in sight: where it does not fit below the earlier turns, these begin folded.
export function foldEarlier(item) {
  const turns = item.querySelector(".prompt details.turns[open]");
  const box = turns?.closest("[data-scroll], .prompt__scroll");
  if (box && box.scrollHeight > box.clientHeight + 1) turns.open = false;
}

export function readingAids(item) {
  const answers = [...item.querySelectorAll("[data-answer]")];
  const apply = () => {
    item.toggleAttribute("data-raw", chosen.raw);
    item.toggleAttribute("data-diff", chosen.diff);
    item.toggleAttribute("data-length", chosen.length); // not shown at first: a number beside it makes the longer one win
    const show = answers.some((answer) => answer.dataset.answer === chosen.show) ? chosen.show : "both";
    item.querySelector("[data-answers]").dataset.show = show;
    for (const answer of answers) answer.toggleAttribute("data-shown", show === answer.dataset.answer);
    for (const button of item.querySelectorAll("[data-toggle]")) button.ariaPressed = String(chosen[button.dataset.toggle]);
    for (const button of item.querySelectorAll("[data-show][aria-pressed]")) {
      button.ariaPressed = String(button.dataset.show === show);
    }
    if (answers.length !== 2) return;
    for (const kind of [".text__rendered", ".text__raw"]) {
      // A dialogue has several texts: those in the same place are compared.
      const [first, second] = answers.map((answer) => [...answer.querySelectorAll(kind)]);
      for (const text of [...first, ...second]) unmark(text);
      if (chosen.diff) for (const [place, text] of first.entries()) if (second[place]) mark(text, second[place]);
    }
  };
  item.addEventListener("click", (event) => {
    const toggle = event.target.closest("[data-toggle]");
    const show = event.target.closest("button[data-show]");
    if (toggle) chosen[toggle.dataset.toggle] = !chosen[toggle.dataset.toggle];
    else if (show) chosen.show = chosen.show === show.dataset.show ? "both" : show.dataset.show;
    else return;
    apply();
  });
  if (answers.length > 1) tabs(item, answers);
  link(answers.map((answer) => answer.querySelector("[data-scroll]")).filter(Boolean)); // turns scroll together as it is
  apply();
}

// In one column the answers are tabs: Tab shows the next one, Shift and Tab the one before, and past the last or the
// first it goes on as ever, so that nobody is caught. Links and buttons within an answer come before the next answer.
function tabs(item, answers) {
  const only = (answer) => {
    if (!answer.hasAttribute("data-shown")) item.querySelector(`button[data-show="${answer.dataset.answer}"]`).click();
    answer.querySelector("[data-scroll]").focus();
  };
  const pressed = (event) => {
    if (!item.isConnected) document.removeEventListener("keydown", pressed);
    else if (event.key === "Tab" && NARROW.matches && !document.querySelector("[popover]:popover-open, dialog[open]")) turn(event);
  };
  const turn = (event) => {
    const { target, shiftKey } = event;
    const inside = answers.findIndex((answer) => answer.contains(target));
    if (inside < 0 && (shiftKey || !(target === document.body || target.matches("#item-title, #main")))) return;
    const stops = inside < 0 ? [] : [...answers[inside].querySelectorAll(STOPS)].filter((one) => one.checkVisibility());
    if (stops.length && target !== stops.at(shiftKey ? 0 : -1)) return;
    const shown = answers.findIndex((answer) => answer.hasAttribute("data-shown"));
    const next = answers[(inside < 0 ? shown : inside) + (shiftKey ? -1 : 1)];
    if (!next?.querySelector("[data-scroll]") || item.inert) return;
    event.preventDefault();
    only(next);
  };
  document.addEventListener("keydown", pressed);
}

// Scrolls both in proportion, so that the ends of a long and a short answer meet. One's own echo is ignored.
function link(columns) {
  let leader = null;
  let released = 0;
  for (const column of columns) {
    column.addEventListener("scroll", () => {
      if (!chosen.linked || (leader && leader !== column)) return;
      leader = column;
      clearTimeout(released);
      released = setTimeout(() => {
        leader = null;
      }, 120);
      const room = column.scrollHeight - column.clientHeight;
      const share = room > 0 ? column.scrollTop / room : 0;
      for (const other of columns) {
        if (other !== column) other.scrollTop = share * (other.scrollHeight - other.clientHeight);
      }
    });
  }
}
