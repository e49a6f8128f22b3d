// What surrounds the item: the saved dot, progress, notices, and what a screen reader is told.

const words = JSON.parse(document.getElementById("words")?.textContent ?? "{}");

export function word(name, values = {}) {
  return Object.entries(values).reduce((text, [key, value]) => text.replace(`{${key}}`, value), words[name] ?? name);
}

const DOTS = { kept: "", stored: "good", saved: "good", sending: "busy", waiting: "warn", "not-kept": "warn", "signed-out": "bad" };

export function saved(state, values) {
  const place = document.getElementById("saved");
  const text = word(state, values);
  const label = place.querySelector("[data-text]");
  place.querySelector(".dot").className = `dot ${DOTS[state] ? `dot--${DOTS[state]}` : ""}`;
  if (label.textContent !== text) label.textContent = text;
}

export function announce(text) {
  document.getElementById("announcer").textContent = text;
}

export function progress({ done, total, aside }) {
  if (aside !== undefined) {
    document.getElementById("pile").hidden = !Number(aside);
    document.getElementById("pile-count").textContent = aside;
  }
  const bar = document.getElementById("progress");
  bar.max = Math.max(total, 1);
  bar.value = done;
  document.getElementById("progress-done").textContent = done;
  document.getElementById("progress-total").textContent = total;
}

export function shownProgress() {
  return { done: document.getElementById("progress").value, total: Number(document.getElementById("progress-total").textContent) };
}

// One notice per name; `actions` are [label, function or address] and each closes the notice, except an address.
export function notice(name, text, { level = "", actions = [] } = {}) {
  const place = document.getElementById("notices");
  const old = place.querySelector(`[data-name="${name}"]`);
  if (old?.dataset.text === text) return;
  const one = document.createElement("div");
  one.className = `notice ${level ? `notice--${level}` : ""}`;
  one.dataset.name = name;
  one.dataset.text = text;
  one.append(Object.assign(document.createElement("span"), { textContent: text }));
  const row = document.createElement("span");
  row.className = "notice__actions";
  for (const [label, action] of actions) row.append(control(name, label, action));
  one.append(row);
  if (old) old.replaceWith(one);
  else place.append(one);
}

export function clearNotice(name) {
  document.querySelector(`#notices [data-name="${name}"]`)?.remove();
}

function control(name, label, action) {
  if (typeof action === "string") {
    return Object.assign(document.createElement("a"), { href: action, target: "_blank", rel: "noopener", textContent: label });
  }
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: label });
  button.className = "button button--small";
  button.addEventListener("click", () => {
    clearNotice(name);
    action();
  });
  return button;
}

export function isNoticed(name) {
  return Boolean(document.querySelector(`#notices [data-name="${name}"]`));
}

// The options of a notice that only says something.
export function dismissible(level = "") {
  return { level, actions: [[word("close"), () => {}]] };
}

// Nobody judges what is still covered: says so, goes to what opens it, and returns false.
export function opened(item) {
  const cover = item.querySelector("[data-cover]:not(:checked)");
  if (!cover) return true;
  notice("covered", word("covered"), dismissible("warn"));
  cover.focus();
  return false;
}

// The item in a fragment the server sent.
export function parse(html, selector = "#item") {
  const holder = document.createElement("template");
  holder.innerHTML = html;
  return holder.content.querySelector(selector);
}

document.addEventListener("change", ({ target }) => target.matches("[data-cover]") && clearNotice("covered"));
// Dialogs open without a script; with one, the focus goes to where a key press is expected.
document.addEventListener(
  "toggle",
  (event) => event.newState === "open" && event.target.querySelector("[data-first]")?.focus(),
  { capture: true },
);
