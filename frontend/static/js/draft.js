// The unfinished answer to the item on screen: in this browser at each change, on the server after a second of quiet.

import { fieldsOf } from "./form.js";
import { post } from "./net.js";
import { forget, names, read, write } from "./store.js";

const QUIET = 1000;
const OLDEST = 30 * 24 * 3600 * 1000;

export class Draft extends EventTarget {
  #name;
  #form;
  #url;
  #measures;
  #timer = 0;
  #over = new AbortController();

  // `measures` has start(), told when the form is filled in, stop(), and values() for the hidden inputs.
  constructor({ user, form, version, url, measures }) {
    super();
    this.#form = form;
    this.#url = url;
    this.#measures = measures;
    this.#name = `attune:draft:${user}:${form.elements.assignment.value}:${version}`;
    form.addEventListener("input", () => this.#changed(), { signal: this.#over.signal });
  }

  // Fills the form from this browser's copy unless the server's is newer, and starts the measures from what it holds.
  restore() {
    const kept = read(this.#name);
    const isNewest = kept && kept.at >= (Number(this.#form.dataset.draftAt) || 0);
    if (isNewest) fill(this.#form, kept.fields);
    this.#measures.start();
    if (!isNewest) this.#keep(); // the client key belongs to this view from now on
  }

  fields() {
    for (const [name, value] of Object.entries(this.#measures.values())) this.#form.elements.namedItem(name).value = value;
    return fieldsOf(this.#form);
  }

  // Sends what was typed once more, after the server was away.
  again() {
    return this.#send();
  }

  // The item leaves the screen: what was typed stays, but is no longer sent.
  stop() {
    if (this.#over.signal.aborted) return;
    clearTimeout(this.#timer);
    this.#keep();
    this.#measures.stop();
    this.#over.abort();
  }

  get name() {
    return this.#name;
  }

  #changed() {
    this.#tell(this.#keep({ late: () => this.#tell("kept") }) ? "kept" : "not-kept");
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#send(), QUIET);
  }

  #keep({ stored = false, late } = {}) {
    return write(this.#name, { fields: this.fields(), at: Date.now(), stored }, late);
  }

  async #send() {
    this.#keep();
    const fields = this.fields();
    const draft = JSON.stringify({ ...fields, at: Date.now() });
    const result = await post(this.#url, { assignment: fields.assignment, draft });
    if (this.#over.signal.aborted) return;
    // Unless one typed on meanwhile: then what is newer goes to the server next.
    if (result.kind === "ok" && JSON.stringify(said(fields)) === JSON.stringify(said(this.fields()))) this.#keep({ stored: true });
    if (result.kind === "conflict") this.dispatchEvent(new CustomEvent("lease-lost", { detail: result.text }));
    else this.#tell({ ok: "stored", "signed-out": "signed-out", offline: "offline" }[result.kind] ?? "kept");
  }

  #tell(type) {
    this.dispatchEvent(new Event(type));
  }
}

// What a person said; what the page measures goes on changing.
function said({ active_seconds, behaviour, ...fields }) {
  return fields;
}

// Makes `form` say what `fields` holds, as `fields()` gave it; what is not ticked there is not ticked here.
export function fill(form, fields) {
  for (const [name, value] of Object.entries(fields)) {
    const input = form.elements.namedItem(name);
    if (!input || name === "assignment" || input.type === "checkbox") continue;
    input.value = value; // a RadioNodeList checks the radio with this value
  }
  for (const box of form.querySelectorAll("[type=checkbox][name]")) box.checked = box.name in fields;
}

// Drafts of items that were never finished would otherwise stay for ever.
export function forgetOldDrafts(user) {
  for (const name of names(`attune:draft:${user}:`)) {
    if (Date.now() - (read(name)?.at ?? 0) > OLDEST) forget(name);
  }
}
