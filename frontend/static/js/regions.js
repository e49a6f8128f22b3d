// Regions that people mark in the images of an item, each with a label and a note. The hidden field has them as JSON, so
// that drafts, submits and undo carry them like any other input.

import { announce } from "./screen.js";
import { Surface, inside } from "./surface.js";

const MOST = 50;

export function regions(item, views) {
  const panel = item.querySelector("[data-regions]");
  const field = panel.querySelector("[name=regions]");
  const list = panel.querySelector("[data-regions-list]");
  const said = panel.dataset;
  const labels = [...panel.querySelector("template").content.querySelectorAll("option")].slice(1);
  let marks = [];

  const keep = () => {
    const plain = ({ of, index, box, label, note }) => ({ of, index, box: box.map((side) => Number(side.toFixed(6))), label, note });
    field.value = JSON.stringify(marks.map(plain));
  };
  // The form hears of it: the draft keeps what it holds, and errors that may be mended go.
  const tell = () => {
    keep();
    panel.form.dispatchEvent(new Event("input"));
  };
  const name = (mark) => {
    const titleOf = ({ textContent }) => textContent.replace(/^\d /, "");
    const chosen = labels.find((option) => option.value === mark.label);
    const where = filled(said.named, { n: marks.indexOf(mark) + 1, image: mark.where });
    mark.button.setAttribute("aria-label", `${where}: ${chosen ? titleOf(chosen) : said.nameless}`);
    mark.button.toggleAttribute("data-nameless", !chosen);
  };
  const renew = () => {
    panel.querySelector("[data-none-marked]").hidden = marks.length > 0;
    for (const [at, mark] of marks.entries()) {
      const n = at + 1;
      for (const place of [mark.button.firstChild, mark.row.querySelector("[data-number]")]) place.textContent = n;
      for (const part of ["label", "note", "remove"]) {
        mark.row.querySelector(`[data-${part}]`).setAttribute("aria-label", filled(said[`${part}Of`], { n, image: mark.where }));
      }
      name(mark);
    }
  };
  const fill = ({ row, box, label, note }) => {
    row.querySelector("[data-label]").value = label;
    if (row.querySelector("[data-note]") !== document.activeElement) row.querySelector("[data-note]").value = note;
    for (const side of row.querySelectorAll("[data-side]")) {
      if (side !== document.activeElement) side.value = Number((box[side.dataset.side] * 100).toFixed(1));
    }
  };
  const put = (mark, surface) => {
    mark.surface = surface;
    mark.where = surface.where;
    mark.row = panel.querySelector("template").content.querySelector("li").cloneNode(true);
    marks.push(mark);
    surface.show(mark);
    list.append(mark.row);
    fill(mark);
    renew();
  };
  const to = {
    added(surface, box) {
      if (marks.length >= MOST) return null;
      const mark = { of: surface.of, index: surface.index, box, label: labels.length === 1 ? labels[0].value : "", note: "" };
      put(mark, surface);
      tell();
      announce(filled(said.added, { n: marks.length }));
      return mark;
    },
    changed(mark) {
      fill(mark);
      name(mark);
      tell();
    },
    removed(mark) {
      marks = marks.filter((one) => one !== mark);
      mark.row.remove();
      mark.surface.hide(mark);
      renew();
      tell();
      announce(said.removed);
    },
    labelled(mark, digit) {
      if (!labels[digit - 1]) return;
      mark.label = labels[digit - 1].value;
      to.changed(mark);
      announce(mark.button.ariaLabel);
    },
    entered: (mark) => mark.row.querySelector("[data-label]").focus(),
  };

  const markOf = ({ target }) => marks.find(({ row }) => row.contains(target));
  panel.addEventListener("input", (event) => {
    const mark = markOf(event);
    if (!mark) return;
    const { target } = event;
    if (target.matches("[data-label]")) mark.label = target.value;
    else if (target.matches("[data-note]")) mark.note = target.value;
    else if (target.value !== "" && target.checkValidity()) {
      mark.box = inside(mark.box.map((side, at) => (at === Number(target.dataset.side) ? Number(target.value) / 100 : side)));
      mark.surface.place();
    }
    fill(mark);
    name(mark);
    keep(); // the event goes on to the form
  });
  panel.addEventListener("click", (event) => {
    if (event.target.closest("[data-remove]")) to.removed(markOf(event));
  });
  for (const type of ["focusin", "focusout", "pointerover", "pointerout"]) {
    list.addEventListener(type, (event) => {
      markOf(event)?.button.toggleAttribute("data-active", /in$|over$/.test(type));
    });
  }

  list.replaceChildren();
  const surfaces = views.map((view) => {
    const element = view.stage.closest("[data-viewer]");
    const { of, index, where } = element.dataset;
    return Object.assign(new Surface(element, view, to), { of, index: Number(index), where });
  });
  for (const { of, index, box, label, note } of read(field.value)) {
    const surface = surfaces.find((one) => one.of === String(of) && one.index === index);
    if (!surface || !Array.isArray(box)) continue;
    const known = labels.some(({ value }) => value === label) ? label : "";
    put({ of: surface.of, index, box: inside(box), label: known, note: note ?? "" }, surface);
  }
  renew();
}

function read(text) {
  try {
    const found = JSON.parse(text || "[]");
    return Array.isArray(found) ? found : [];
  } catch {
    return [];
  }
}

const filled = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
