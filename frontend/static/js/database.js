// The second copy of what must outlive a reload, in IndexedDB: room for whatever a person can write, and there a moment
// after the call. Where it is forbidden or does not answer, everything goes on without it.

const PATIENCE = 1000; // milliseconds
let opened = null;

// Resolves with every value by its name; with none where there is no database.
export async function everything() {
  const found = new Map();
  const store = await storeFor("readonly");
  if (!store) return found;
  return new Promise((resolve) => {
    const asked = store.openCursor();
    asked.onerror = () => resolve(found);
    asked.onsuccess = () => {
      const cursor = asked.result;
      if (!cursor) return resolve(found);
      found.set(cursor.key, cursor.value);
      cursor.continue();
    };
    setTimeout(resolve, PATIENCE, found);
  });
}

// Resolves, once it is on disk, with whether it is. What is put later under a name stays.
export const put = (name, value) => change((store) => store.put(value, name));
export const remove = (name) => change((store) => store.delete(name));

async function change(act) {
  const store = await storeFor("readwrite");
  if (!store) return false;
  return new Promise((resolve) => {
    const { transaction } = store;
    transaction.oncomplete = () => resolve(true);
    transaction.onabort = transaction.onerror = () => resolve(false); // no room here either
    act(store);
  });
}

async function storeFor(mode) {
  opened ??= open();
  try {
    return (await opened)?.transaction("kept", mode).objectStore("kept") ?? null;
  } catch {
    opened = null; // it was closed under us: opened anew next time
    return null;
  }
}

function open() {
  return new Promise((resolve) => {
    setTimeout(resolve, PATIENCE, null);
    try {
      const asked = indexedDB.open("attune", 1);
      asked.onupgradeneeded = () => asked.result.createObjectStore("kept");
      asked.onsuccess = () => resolve(asked.result);
      asked.onerror = asked.onblocked = () => resolve(null);
    } catch {
      resolve(null); // forbidden
    }
  });
}
