// What must outlive a reload: localStorage, or memory where storage is forbidden or full.
// One record per name, so that two tabs never write over each other's.
//
// Not IndexedDB: here a value is kept when the call returns, so what was typed survives a tab that is killed just then.
// Room is no reason for it. A draft has at most 200,000 characters and the quota is five million; without the server
// nobody gets past the item on screen and the one ahead of it, so no more than a few records are ever here alone. Of
// the others the server has a copy, a second after the last key: when room runs out, those go, the oldest first. A
// private window keeps both kinds of storage as long as it is open, and neither longer.

const memory = new Map();

export function read(name) {
  try {
    const text = localStorage.getItem(name);
    if (text !== null) return JSON.parse(text);
  } catch {
    // forbidden, or not ours: fall through to memory
  }
  return memory.get(name) ?? null;
}

// Returns whether the value will survive a reload. With `stored` in it, another copy is on the server.
export function write(name, value) {
  const text = JSON.stringify(value);
  do {
    try {
      localStorage.setItem(name, text);
      memory.delete(name); // what another tab removes later must not come back from here
      return true;
    } catch {
      // full or forbidden
    }
  } while (makeRoom(name));
  memory.set(name, value);
  return false;
}

export function forget(name) {
  memory.delete(name);
  try {
    localStorage.removeItem(name);
  } catch {
    // then there was nothing to remove
  }
}

export function names(prefix) {
  return [...new Set([...memory.keys(), ...kept()])].filter((name) => name.startsWith(prefix));
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
