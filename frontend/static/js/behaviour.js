// How a judgement comes about: when one began, when each input got its value, what one changed, how far each answer was
// scrolled into view, and what was typed and pasted. `annotation/behaviour.py` says what each measure means.

const TEXT = "textarea, input[type=text]";
const IN_SIGHT = { visibilityProperty: true, checkVisibilityCSS: true }; // what is covered is laid out, and not seen
const MODIFIERS = ["Shift", "Control", "Alt", "Meta"];

export class Behaviour {
  #item;
  #form;
  #shown = 0;
  #activity;
  #first = null; // seconds
  #answered = {}; // name of an input -> active seconds when it last changed
  #changes = 0;
  #typed = 0;
  #pasted = 0;
  #read = [];
  #chosen = new Map(); // name of an input -> the values chosen last
  #before = 0; // characters that stay when what is about to be typed replaces the selection
  #frame = 0;
  #over = new AbortController();

  constructor(item, form, activity) {
    this.#item = item;
    this.#form = form;
    this.#activity = activity;
  }

  // Goes on from the measures in `kept` (JSON, or anything an old draft holds); the form must be filled in.
  start(kept) {
    this.#goOnFrom(parsed(kept));
    this.#shown = performance.now();
    for (const { name } of this.#form.elements) this.#chosen.set(name, this.#values(name));
    const options = { signal: this.#over.signal, passive: true, capture: true };
    document.addEventListener("pointerdown", () => this.#acted(), options);
    document.addEventListener("keydown", (event) => event.repeat || MODIFIERS.includes(event.key) || this.#acted(), options);
    this.#form.addEventListener("beforeinput", ({ target }) => this.#about(target), options);
    this.#form.addEventListener("input", (event) => this.#changed(event), options);
    for (const event of ["scroll", "click", "visibilitychange"]) document.addEventListener(event, () => this.#soon(), options);
    addEventListener("resize", () => this.#soon(), options);
    this.#soon();
  }

  stop() {
    cancelAnimationFrame(this.#frame);
    this.#over.abort();
  }

  values() {
    this.#look();
    return {
      first_action_seconds: this.#first,
      answered: this.#answered,
      changes: this.#changes,
      read: this.#read,
      typed: this.#typed,
      pasted: this.#pasted,
    };
  }

  #goOnFrom(kept) {
    this.#first = kept.first_action_seconds ?? null;
    this.#answered = { ...kept.answered };
    this.#changes = Number(kept.changes) || 0;
    this.#typed = Number(kept.typed) || 0;
    this.#pasted = Number(kept.pasted) || 0;
    this.#read = [...this.#item.querySelectorAll("[data-answer]")].map((_, place) => Number(kept.read?.[place]) || 0);
  }

  #acted() {
    this.#first ??= Number(((performance.now() - this.#shown) / 1000).toFixed(2));
  }

  #about(field) {
    if (field.matches(TEXT)) this.#before = field.value.length - (field.selectionEnd - field.selectionStart);
  }

  #changed({ target, inputType }) {
    if (target.name) this.#answered[target.name] = Number(this.#activity.seconds().toFixed(1));
    if (target.matches(TEXT)) {
      const entered = Math.max(0, target.value.length - this.#before);
      if (/^insertFrom(Paste|Drop|Yank)/.test(inputType)) this.#pasted += entered;
      else if (inputType?.startsWith("insert")) this.#typed += entered;
      return;
    }
    // To take something back is a change of mind; to tick one more box is none.
    const now = this.#values(target.name);
    if (this.#chosen.get(target.name)?.some((value) => value && !now.includes(value))) this.#changes += 1;
    this.#chosen.set(target.name, now);
  }

  #values(name) {
    return new FormData(this.#form).getAll(name);
  }

  #soon() {
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => this.#look());
  }

  // Where each answer scrolls by itself its box is the window; turns of a dialogue scroll in one box; where the page
  // scrolls, the screen is the window. A form that is not beside them but below covers what is under its upper edge.
  #look() {
    if (document.hidden) return;
    const form = this.#form.getBoundingClientRect();
    const isBeside = form.width < this.#item.getBoundingClientRect().width - 1;
    const screen = isBeside ? innerHeight : Math.min(innerHeight, form.top);
    for (const [place, answer] of this.#item.querySelectorAll("[data-answer]").entries()) {
      const dialogue = answer.closest("[data-scrolls]");
      const box = dialogue ? answer : answer.querySelector("[data-scroll]");
      if (!box?.checkVisibility(IN_SIGHT)) continue;
      const edge = dialogue ? Math.min(screen, dialogue.getBoundingClientRect().bottom) : screen;
      const { top, bottom } = box.getBoundingClientRect();
      const share = (Math.min(bottom, edge) - top + box.scrollTop) / box.scrollHeight;
      this.#read[place] = Number(Math.max(this.#read[place], Math.min(share, 1)).toFixed(2));
    }
  }
}

function parsed(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}
