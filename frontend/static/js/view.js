// An image in a box: zoom and pan by keys, wheel and pointers.
// What is seen is a scale from 1 (all of it) and the point of the image, as fractions, that lies in the middle of its box.

const CLOSEST = 16;
const STEP = 1.5;
const MOVE = 0.15; // of what is to be seen
const ALL = { scale: 1, x: 0.5, y: 0.5 };

export class View {
  #stage;
  #image;
  #scale;
  #state = ALL;
  #changed = () => {};
  #pointers = new Map();
  #over = new AbortController();
  #sizes;

  constructor(element) {
    this.#stage = element.querySelector("[data-stage]");
    this.#image = this.#stage.querySelector("img");
    this.#scale = element.querySelector("[data-scale]");
    const signal = this.over;
    const on = (type, act, options = {}) => this.#stage.addEventListener(type, act, { signal, ...options });
    on("keydown", (event) => this.#key(event));
    on("wheel", (event) => this.#wheel(event), { passive: false });
    on("dblclick", (event) => this.#zoom(this.#state.scale > 1 ? 1 / this.#state.scale : STEP ** 2, this.#at(event)));
    on("pointerdown", (event) => this.#down(event));
    on("pointermove", (event) => this.#move(event));
    for (const type of ["pointerup", "pointercancel"]) on(type, (event) => this.#pointers.delete(event.pointerId));
    element.addEventListener("click", ({ target }) => this.#press(target.closest("[data-zoom]")?.dataset.zoom), { signal });
    this.#sizes = new ResizeObserver(() => this.show(this.#state));
    this.#sizes.observe(this.#stage);
  }

  get stage() {
    return this.#stage;
  }

  // What is seen of the image: its middle, and how much of its width and height, as fractions.
  get seen() {
    const [wide, high] = this.#sized();
    const { clientWidth: width, clientHeight: height } = this.#stage;
    return { ...this.#state, width: Math.min(1, width / wide), height: Math.min(1, height / high) };
  }

  // Where a rectangle of the image (left, top, width, height, as fractions of it) lies in its box, in pixels.
  inBox([left, top, width, height]) {
    const [wide, high] = this.#sized();
    const { clientWidth, clientHeight } = this.#stage;
    const x = clientWidth / 2 + (left - this.#state.x) * wide;
    const y = clientHeight / 2 + (top - this.#state.y) * high;
    return [x, y, width * wide, height * high];
  }

  // Which point of the image, as fractions of it, a pointer is on.
  pointOf(event) {
    const [right, down] = this.#at(event);
    const [wide, high] = this.#sized();
    return [this.#state.x + right / wide, this.#state.y + down / high];
  }

  // Brings a point of the image, as fractions of it, into the middle.
  lookAt(x, y) {
    this.#changed({ scale: this.#state.scale, x, y });
  }

  get over() {
    return this.#over.signal;
  }

  follow(changed) {
    this.#changed = changed;
  }

  end() {
    this.#over.abort();
    this.#sizes.disconnect();
  }

  show(state) {
    const { clientWidth: width, clientHeight: height } = this.#stage;
    const [wide, high] = this.#sized(state.scale);
    this.#state = { scale: state.scale, x: within(state.x, width / wide / 2), y: within(state.y, height / high / 2) };
    const left = (0.5 - this.#state.x) * wide;
    const up = (0.5 - this.#state.y) * high;
    this.#image.style.transform = state.scale === 1 ? "" : `translate(${left}px, ${up}px) scale(${state.scale})`;
    this.#stage.toggleAttribute("data-zoomed", state.scale > 1);
    this.#scale.textContent = `${Math.round(state.scale * 100)} %`;
    this.#stage.dispatchEvent(new Event("viewed"));
  }

  // Where a pointer is, in pixels from the middle of the box.
  #at({ clientX, clientY }) {
    const { left, top, width, height } = this.#stage.getBoundingClientRect();
    return [clientX - left - width / 2, clientY - top - height / 2];
  }

  // The image's size on screen, with what lies outside the box; by its attributes, so that it need not be there yet.
  #sized(scale = this.#state.scale) {
    const [width, height] = ["width", "height"].map((name) => Number(this.#image.getAttribute(name)));
    const fit = Math.min(this.#stage.clientWidth / width, this.#stage.clientHeight / height) || 1;
    return [width * fit * scale, height * fit * scale];
  }

  // What lies under the pointer stays under it.
  #zoom(factor, [right, down] = [0, 0]) {
    const scale = Math.min(Math.max(this.#state.scale * factor, 1), CLOSEST);
    const [wide, high] = this.#sized();
    const part = 1 - this.#state.scale / scale;
    this.#changed({ scale, x: this.#state.x + (right / wide) * part, y: this.#state.y + (down / high) * part });
  }

  // Moves the view over the image by so many pixels.
  #pan(right, down) {
    const [wide, high] = this.#sized();
    this.#changed({ scale: this.#state.scale, x: this.#state.x + right / wide, y: this.#state.y + down / high });
  }

  #press(what) {
    if (what === "in") this.#zoom(STEP);
    else if (what === "out") this.#zoom(1 / STEP);
    else if (what === "fit") this.#changed(ALL);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { clientWidth: width, clientHeight: height } = this.#stage;
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const move = this.#state.scale > 1 && moves[event.key]; // an image that is all there leaves them to the page
    const press = { "+": "in", "=": "in", "-": "out", 0: "fit" }[event.key];
    if (move) this.#pan(move[0] * width * MOVE, move[1] * height * MOVE);
    else if (press) this.#press(press);
    else return;
    event.preventDefault();
  }

  #wheel(event) {
    if (event.deltaY >= 0 && this.#state.scale === 1) return; // the page scrolls on
    event.preventDefault();
    this.#zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), this.#at(event));
  }

  #down(event) {
    this.#pointers.set(event.pointerId, this.#at(event));
    if (this.#state.scale > 1 || this.#pointers.size > 1) this.#stage.setPointerCapture(event.pointerId);
  }

  #move(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    const now = this.#at(event);
    const other = [...this.#pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.#pointers.set(event.pointerId, now);
    if (other) {
      const apart = Math.hypot(before[0] - other[0], before[1] - other[1]) || 1;
      const middle = [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2];
      this.#zoom(Math.hypot(now[0] - other[0], now[1] - other[1]) / apart, middle);
    } else if (this.#state.scale > 1) this.#pan(before[0] - now[0], before[1] - now[1]);
  }
}

function within(value, margin) {
  return margin >= 0.5 ? 0.5 : Math.min(Math.max(value, margin), 1 - margin);
}
