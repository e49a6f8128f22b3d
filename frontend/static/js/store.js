// What must outlive a reload: localStorage, or memory where storage is forbidden or full.
// One record per name, so that two tabs never write over each other's.
// Not IndexedDB: here a value is kept when the call returns, so what was typed survives a tab that is killed just then.

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

// Returns whether the value will survive a reload.
export function write(name, value) {
  try {
    localStorage.setItem(name, JSON.stringify(value));
    memory.delete(name); // what another tab removes later must not come back from here
    return true;
  } catch {
    memory.set(name, value);
    return false;
  }
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
  const found = new Set([...memory.keys()]);
  try {
    for (let i = 0; i < localStorage.length; i += 1) found.add(localStorage.key(i));
  } catch {
    // memory only
  }
  return [...found].filter((name) => name.startsWith(prefix));
}
