// What was submitted and is not yet acknowledged. A record stays until the server has answered; sending it twice is
// safe because it carries its client key.

import { post } from "./net.js";
import { forget, names, read, write } from "./store.js";

const LONGEST_WAIT = 30000;

export class Outbox extends EventTarget {
  #prefix;
  #timer = 0;
  #wait = 1000;
  #running = null;
  #fragile = false; // storage is full or forbidden: what waits would not survive the page

  constructor(user) {
    super();
    this.#prefix = `attune:outbox:${user}:`;
    for (const event of ["online", "focus"]) addEventListener(event, () => this.#soon(0));
    document.addEventListener("visibilitychange", () => document.hidden || this.#soon(0));
    addEventListener("beforeunload", (event) => this.#fragile && this.waiting().length && event.preventDefault());
  }

  // Oldest first; those the server refused for good are kept, but not sent again by themselves.
  waiting() {
    return names(this.#prefix)
      .map(read)
      .filter((record) => record && !record.refused)
      .sort((a, b) => a.at - b.at);
  }

  refused() {
    return names(this.#prefix).map(read).filter((record) => record?.refused);
  }

  holds(assignment) {
    return this.waiting().some((record) => record.fields.assignment === assignment);
  }

  // Returns false when the same view was put here before: a double click.
  add(record) {
    const name = this.#prefix + record.id;
    if (read(name)) return false;
    this.#fragile = !write(name, { ...record, at: Date.now() }, () => {
      this.#fragile = false;
    });
    this.#tell("changed");
    return true;
  }

  drop(record) {
    forget(this.#prefix + record.id);
    this.#tell("changed");
  }

  again(record) {
    write(this.#prefix + record.id, { ...record, refused: "" });
    this.#tell("changed");
    return this.flush();
  }

  // Sends everything, in order; resolves when all is sent or sending has stopped. One run at a time.
  flush() {
    this.#running ??= this.#send().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  async #send() {
    clearTimeout(this.#timer);
    for (let record = this.waiting()[0]; record; record = this.waiting()[0]) {
      this.#tell("sending");
      const result = await post(record.url, record.fields);
      if (result.kind === "offline") {
        this.#tell("offline");
        this.#soon(this.#wait);
        this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
        return;
      }
      this.#wait = 1000;
      if (result.kind === "signed-out") {
        this.#tell("signed-out");
        this.#soon(LONGEST_WAIT / 6);
        return;
      }
      if (result.kind === "refused") write(this.#prefix + record.id, { ...record, refused: result.text || String(result.status) });
      else forget(this.#prefix + record.id);
      this.#tell("answered", { record, result });
    }
    this.#tell("changed");
  }

  #soon(wait) {
    clearTimeout(this.#timer);
    if (this.waiting().length) this.#timer = setTimeout(() => this.flush(), wait);
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
