// What must outlive a reload, twice: in localStorage, where a value is kept when the call returns, so that what was typed
// survives a tab that is killed just then; and in IndexedDB, where there is room for it when localStorage is full.
// Memory holds what localStorage cannot, or what IndexedDB has newer. One record per name, so that two tabs never write
// over each other's. A private window keeps both kinds of storage as long as it is open, and neither longer.

import { everything, put, remove } from "./database.js";

const memory = new Map();
// "1" while IndexedDB has what localStorage had no room for. It is there from the start: to change it takes no room.
const ELSEWHERE = "attune:elsewhere";
mark("0", { unlessThere: true });

// Whether localStorage has everything that was typed here, so that nobody has to wait for `load`.
export function isWhole() {
  return read(ELSEWHERE) === 0;
}

// Brings back what only IndexedDB has. Where localStorage is not whole, wait for it before anything is read.
export async function load() {
  for (const [name, value] of await everything()) {
    if ((value.at ?? 0) > (read(name)?.at ?? -1)) memory.set(name, value);
  }
  mark(memory.size ? "1" : "0");
}

export function read(name) {
  if (memory.has(name)) return memory.get(name);
  try {
    return JSON.parse(localStorage.getItem(name));
  } catch {
    return null; // forbidden, or not ours
  }
}

// Returns whether the value is sure to survive a reload already; `late` is called if it is a moment later.
// With `stored` in the value, another copy is on the server.
export function write(name, value, late) {
  const isKept = writeNow(name, JSON.stringify(value));
  if (isKept) memory.delete(name); // what another tab removes later must not come back from here
  else {
    memory.set(name, value);
    mark("1");
  }
  if (typeof value === "object") put(name, value).then((isThere) => isThere && !isKept && late?.());
  return isKept;
}

export function forget(name) {
  memory.delete(name);
  remove(name);
  try {
    localStorage.removeItem(name);
  } catch {
    // then there was nothing to remove
  }
}

export function names(prefix) {
  return [...new Set([...memory.keys(), ...kept()])].filter((name) => name.startsWith(prefix));
}

function mark(text, { unlessThere = false } = {}) {
  try {
    if (!unlessThere || localStorage.getItem(ELSEWHERE) === null) localStorage.setItem(ELSEWHERE, text);
  } catch {
    // full from before, or forbidden: then localStorage is not whole
  }
}

function writeNow(name, text) {
  do {
    try {
      localStorage.setItem(name, text);
      return true;
    } catch {
      // full or forbidden
    }
  } while (makeRoom(name));
  return false;
}

function kept() {
  try {
    return Object.keys(localStorage);
  } catch {
    return []; // memory only
  }
}

// Forgets the oldest value of which the server has a copy; returns whether there was one.
function makeRoom(wanted) {
  const [oldest] = kept()
    .filter((name) => name.startsWith("attune:") && name !== wanted && read(name)?.stored)
    .sort((one, other) => read(one).at - read(other).at);
  if (oldest) localStorage.removeItem(oldest);
  return Boolean(oldest);
}
