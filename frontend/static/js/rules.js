// Rules between questions, chosen instead of written: selects above a text area that stays what is sent. The lines are
// the same as without a script, and what cannot be shown as selects stays in the text.

import { lineOf, parsed, whats } from "./rule_lines.js";

const words = document.getElementById("rule-words")?.dataset ?? {};
const titleOf = (line) => line.split(":")[0].trim();

for (const field of document.querySelectorAll("textarea[data-rule]")) chooser(field, JSON.parse(field.dataset.rule));

function chooser(field, rule) {
  const source = rule.asked_in && document.querySelector(`[name="option-${rule.asked_in}"]`);
  const place = element("div", { className: "rules-form" });
  const list = element("div", { className: "rules-form__list" });
  const note = element("p", { className: "muted small", textContent: words.byHand, hidden: true });
  const add = element("button", { type: "button", className: "button button--small", textContent: words.add });
  const text = element("details", {});
  text.append(element("summary", { textContent: words.text }));
  field.before(place);
  text.append(field);
  place.append(list, note, add, text);
  if (field.closest(".field--invalid")) text.open = true; // the reason names lines

  // Titles of the questions, each with the answers it may have.
  const questions = () =>
    source
      ? source.value.split("\n").map(titleOf).filter(Boolean).map((title) => [title, rule.answers])
      : Object.entries(rule.questions);
  let unshown = [];
  const read = () => {
    const known = questions();
    const shown = [];
    unshown = [];
    for (const line of field.value.split("\n").filter((one) => one.trim())) {
      const parts = parsed(line, rule, known);
      if (parts) shown.push(parts);
      else unshown.push(line);
    }
    list.replaceChildren(...shown.map((parts) => row(rule, known, parts, write)));
    note.hidden = !unshown.length;
  };
  function write() {
    const lines = [...list.children].map((one) => lineOf(partsOf(one), rule)).filter(Boolean);
    field.value = [...lines, ...unshown].join("\n");
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }
  add.addEventListener("click", () => {
    const one = row(rule, questions(), { what: "", first: { title: "", values: [] }, second: { title: "", values: [] } }, write);
    list.append(one);
    one.querySelector("select").focus();
  });
  field.addEventListener("input", (event) => event.isTrusted && read());
  source?.addEventListener("change", read);
  read();
}

function row(rule, known, { what, first, second }, write) {
  const one = element("div", { className: "rules-form__rule" });
  if (rule.shape !== "never") {
    const label = rule.texts ? words.wanted : words.asked;
    one.append(select(label, whats(rule, known), what, "what"), element("span", { textContent: rule.words.if[0] }));
  }
  one.append(asked(rule, rule.shape === "never" ? words.first : words.depends, known, first, "first"));
  if (rule.shape === "never") one.append(element("span", { textContent: rule.words.and[0] }), asked(rule, words.second, known, second, "second"));
  const remove = element("button", { type: "button", className: "button button--quiet button--small", textContent: words.remove });
  remove.addEventListener("click", () => {
    const next = one.parentElement.nextElementSibling.nextElementSibling;
    one.remove();
    write();
    next.focus();
  });
  one.append(remove);
  one.addEventListener("input", (event) => event.stopPropagation()); // what is sent is the text, which tells of itself
  one.addEventListener("change", (event) => {
    event.stopPropagation();
    write();
  });
  return one;
}

// A question, and the answers that count: a box for each, drawn anew when another question is chosen.
function asked(rule, label, known, { title, values }, name) {
  const place = element("span", { className: "rules-form__condition" });
  place.dataset.part = name;
  const question = select(label, known.map(([one]) => one), title, "title");
  const boxes = element("span", { className: "rules-form__values", role: "group" });
  boxes.setAttribute("aria-label", words.values);
  const draw = (chosen) => {
    const answers = known.find(([one]) => one === question.value)?.[1] ?? [];
    boxes.replaceChildren(
      ...answers.map((answer) => {
        const box = element("label", { className: "choice" });
        box.append(element("input", { type: "checkbox", value: answer, checked: chosen.includes(answer) }), element("span", { textContent: answer }));
        return box;
      }),
    );
  };
  question.addEventListener("change", () => draw([]));
  draw(values);
  place.append(question, element("span", { textContent: rule.words.is[0] }), boxes);
  return place;
}

// What is chosen in a row; a condition without a question or without an answer is not complete.
function partsOf(one) {
  const chosen = (name) => {
    const part = one.querySelector(`[data-part="${name}"]`);
    const values = [...(part?.querySelectorAll("input:checked") ?? [])].map((box) => box.value);
    return { title: part?.querySelector("select").value ?? "", values };
  };
  return { what: one.querySelector('[data-name="what"]')?.value ?? "", first: chosen("first"), second: chosen("second") };
}

function select(label, choices, chosen, name) {
  const made = element("select", {});
  made.setAttribute("aria-label", label);
  made.dataset.name = name;
  made.append(element("option", { value: "", textContent: `${label}: ${words.choose}` }));
  for (const one of choices) made.append(element("option", { value: one, textContent: one, selected: one === chosen }));
  return made;
}

function element(name, properties) {
  return Object.assign(document.createElement(name), properties);
}
