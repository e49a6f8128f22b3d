// How the two answers are read: scrolled together, as written, with their differences, one at a time.
// The choice stays for the next items of the session.

import { mark, unmark } from "./diff.js";

const chosen = { linked: true, zoom: true, diff: false, raw: false, length: false, show: "both" };

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
  link(answers.map((answer) => answer.querySelector("[data-scroll]")).filter(Boolean)); // turns scroll together as it is
  apply();
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
