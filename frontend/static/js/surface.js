// An image on which regions are marked: drawn, moved and resized by pointer or by keys, and always where the image is.
// A box is left, top, width and height as fractions of the image.

const STEP = 8; // pixels on the screen that an arrow key moves an edge: zoomed in it is finer
const LEAST = 6; // pixels on the screen: a shorter drag was a click
const SHARE = 0.3; // of what is seen, for a region that a key adds
const ASIDE = 0.04; // of what is seen, from one that lies there already
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Surface {
  #view;
  #to;
  #marks = new Map(); // by their button
  #drag = null;

  // `to` is told: added(surface, box), which returns the new mark; changed, removed and entered, with a mark; and
  // labelled(mark, digit).
  constructor(element, view, to) {
    this.#view = view;
    this.#to = to;
    for (const old of view.stage.querySelectorAll("[data-region]")) old.remove(); // of a copy that was put aside
    view.stage.addEventListener("viewed", () => this.place());
    // Before the view, which moves the image under a pointer and by arrows.
    const first = (type, act) => element.addEventListener(type, act, { capture: true });
    first("pointerdown", (event) => this.#down(event));
    first("pointermove", (event) => this.#move(event));
    for (const type of ["pointerup", "pointercancel"]) first(type, () => this.#up());
    first("keydown", (event) => this.#key(event));
    first("focusin", ({ target }) => this.#bring(this.#marks.get(target)));
    element.addEventListener("click", (event) => {
      if (event.target.closest("[data-mark]")) this.add();
      // A screen reader's click; a pointer's has chosen the region already.
      else if (event.detail === 0 && this.#marks.has(event.target)) this.#to.entered(this.#marks.get(event.target));
    });
  }

  // Adds a region in the middle of what is seen, and goes to it.
  add() {
    this.#veil()?.click(); // one asks to see it first
    const { x, y, width, height } = this.#view.seen;
    const [wide, high] = [width * SHARE, height * SHARE];
    let [left, top] = [x - wide / 2, y - high / 2];
    const isTaken = () => [...this.#marks.values()].some(({ box }) => Math.hypot(box[0] - left, box[1] - top) < 0.01);
    for (let tries = 0; isTaken() && tries < this.#marks.size; tries += 1) {
      left += width * ASIDE;
      top += height * ASIDE;
    }
    this.#to.added(this, inside([left, top, wide, high]))?.button.focus();
  }

  show(mark) {
    mark.button = Object.assign(document.createElement("button"), { type: "button", className: "region" });
    mark.button.dataset.region = "";
    const number = Object.assign(document.createElement("span"), { className: "region__number" });
    const corner = Object.assign(document.createElement("span"), { className: "region__corner" });
    corner.dataset.corner = "";
    mark.button.append(number, corner);
    this.#marks.set(mark.button, mark);
    this.#view.stage.append(mark.button);
    this.place();
  }

  // Takes a region away; the focus, if it was there, goes to the next one or to the image.
  hide(mark) {
    const hadFocus = mark.button === document.activeElement;
    this.#marks.delete(mark.button);
    mark.button.remove();
    if (hadFocus) ([...this.#marks.keys()].at(-1) ?? this.#view.stage).focus();
  }

  place() {
    for (const [{ style }, { box }] of this.#marks) {
      const [left, top, width, height] = this.#view.inBox(box);
      Object.assign(style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
    }
  }

  #down(event) {
    if (event.button || this.#drag || !event.target.closest("[data-stage]") || this.#veil()) return;
    const mark = this.#marks.get(event.target.closest("[data-region]"));
    const from = this.#view.pointOf(event);
    if (mark) mark.button.focus({ preventScroll: true });
    // A finger scrolls the page, and an image that is zoomed is moved; with Shift one draws there as well.
    else if (event.pointerType === "touch" || (this.#view.seen.scale > 1 && !event.shiftKey)) return;
    this.#drag = { mark, from, box: mark?.box, sizes: Boolean(event.target.closest("[data-corner]")), draws: !mark };
    event.preventDefault();
    event.stopPropagation();
    event.currentTarget.setPointerCapture(event.pointerId);
  }

  #move(event) {
    const drag = this.#drag;
    if (!drag) return;
    event.stopPropagation();
    const [x, y] = this.#view.pointOf(event);
    const [right, down] = [x - drag.from[0], y - drag.from[1]];
    if (drag.draws) {
      const box = inside([Math.min(x, drag.from[0]), Math.min(y, drag.from[1]), Math.abs(right), Math.abs(down)], true);
      const [, , wide, high] = this.#view.inBox(box);
      if (!drag.mark && (wide < LEAST || high < LEAST)) return;
      drag.mark ??= this.#to.added(this, box);
      if (drag.mark) drag.mark.box = box;
    } else drag.mark.box = drag.sizes ? sized(drag.box, right, down) : moved(drag.box, right, down);
    this.place();
  }

  #up() {
    const mark = this.#drag?.mark;
    this.#drag = null;
    if (!mark) return;
    mark.button.focus({ preventScroll: true });
    this.#to.changed(mark);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !event.target.closest("[data-stage]")) return;
    const mark = this.#marks.get(event.target);
    const arrow = ARROWS[event.key];
    if (event.key.toLowerCase() === "m") this.add();
    else if (!mark) return;
    else if (arrow) {
      const [, , wide, high] = this.#view.inBox([0, 0, 1, 1]);
      const by = [(arrow[0] * STEP) / wide, (arrow[1] * STEP) / high];
      mark.box = event.shiftKey ? sized(mark.box, ...by) : moved(mark.box, ...by);
      this.place();
      this.#bring(mark);
      this.#to.changed(mark);
    } else if (event.key === "Delete") this.#to.removed(mark);
    else if (event.key === "Escape") this.#view.stage.focus();
    else if (event.key === "Enter") this.#to.entered(mark);
    else if (/^[1-9]$/.test(event.key)) this.#to.labelled(mark, Number(event.key));
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // What blurs the image until somebody asks to see it.
  #veil() {
    return this.#view.stage.closest("#item").querySelector("[data-unblur]:not(:checked)");
  }

  // Moves what is seen so that a region one has come to by key lies in it.
  #bring(mark) {
    if (!mark || this.#drag) return;
    const { x, y, width, height } = this.#view.seen;
    const middle = [mark.box[0] + mark.box[2] / 2, mark.box[1] + mark.box[3] / 2];
    if (Math.abs(middle[0] - x) > width / 2 || Math.abs(middle[1] - y) > height / 2) this.#view.lookAt(...middle);
  }
}

const LEAST_SIDE = 0.002;
const between = (least, value, most) => Math.min(Math.max(value, least), most);

// Returns the box within the image; `cuts` off what is beyond its edge, where else the box is moved.
export function inside([left, top, width, height], cuts = false) {
  const [wide, high] = [between(LEAST_SIDE, width, 1), between(LEAST_SIDE, height, 1)];
  if (!cuts) return [between(0, left, 1 - wide), between(0, top, 1 - high), wide, high];
  const [x, y] = [between(0, left, 1 - LEAST_SIDE), between(0, top, 1 - LEAST_SIDE)];
  return [x, y, between(LEAST_SIDE, left + width - x, 1 - x), between(LEAST_SIDE, top + height - y, 1 - y)];
}

const moved = ([left, top, width, height], right, down) => inside([left + right, top + down, width, height]);
const sized = ([left, top, width, height], right, down) =>
  inside([left, top, Math.max(LEAST_SIDE, width + right), Math.max(LEAST_SIDE, height + down)], true);
