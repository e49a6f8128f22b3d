// Seconds in which the page was visible and used: a pause of more than IDLE does not count.

const IDLE = 30000;
const GONE = 600000; // a page in sight that nobody has touched for so long is not being read

export class Activity {
  #counted = 0;
  #tick = performance.now();
  #used = performance.now();

  constructor() {
    for (const event of ["pointermove", "pointerdown", "keydown", "wheel", "scroll", "touchstart"]) {
      addEventListener(event, () => this.#touch(), { passive: true, capture: true });
    }
    document.addEventListener("visibilitychange", () => this.#count());
    setInterval(() => this.#count(), 500);
  }

  start(seconds) {
    this.#count();
    this.#counted = seconds * 1000;
    this.#used = performance.now();
  }

  seconds() {
    this.#count();
    return this.#counted / 1000;
  }

  get isActive() {
    return !document.hidden && performance.now() - this.#used < IDLE;
  }

  // Somebody may be reading.
  get isPresent() {
    return !document.hidden && performance.now() - this.#used < GONE;
  }

  #touch() {
    this.#count();
    this.#used = performance.now();
  }

  #count() {
    const now = performance.now();
    // A timer of a sleeping laptop or a hidden tab fires late: such a gap is no work.
    if (this.isActive && now - this.#tick < 2000) this.#counted += now - this.#tick;
    this.#tick = now;
  }
}
