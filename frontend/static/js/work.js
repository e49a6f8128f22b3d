// The annotator's screen: judge, and the next item is already there. Nothing is shown as saved before it is.

import { Activity } from "./activity.js";
import { Behaviour } from "./behaviour.js";
import { copyButtons } from "./copying.js";
import { changes } from "./changes.js";
import { Draft, forgetOldDrafts } from "./draft.js";
import { clearErrors, complete } from "./form.js";
import { fetchImages, together, viewers } from "./images.js";
import { listenForKeys } from "./keys.js";
import { get, post, quiet } from "./net.js";
import { Outbox } from "./outbox.js";
import { foldEarlier, readingAids } from "./reading.js";
import { review } from "./review.js";
import { rows } from "./rows.js";
import { announce, clearNotice, dismissible, isNoticed, notice, opened, parse, progress, saved, shownProgress, word } from "./screen.js";
import { steps } from "./steps.js";
import { renewGuidelines, report, signedOut } from "./status.js";
import { forget, isWhole, load } from "./store.js";
import { timer } from "./timer.js";

const PATIENCE = 500; // milliseconds until "your answer is kept" replaces an item that was sent
const BEAT = 60000;
const LOOK = 10000;
const LONGEST_STOP = 3000;

const root = document.getElementById("work");
const { user, url, undoUrl, draftUrl, beatUrl, guidelineUrl } = root.dataset;
const activity = new Activity();
const outbox = new Outbox(user);
let draft = null; // of the item on screen
let ahead = null; // the next item, ready to be shown
let awaiting = false; // the item on screen was sent and nothing has replaced it yet
let turn = 0; // counts what was sent, so that a late prefetch is not taken for the next item
let patience = 0;
let stopping = false;

const screenItem = () => document.getElementById("item");

function show(item, { spoken = "" } = {}) {
  clearTimeout(patience);
  awaiting = false;
  draft?.stop();
  screenItem().replaceWith(item);
  open(item);
  announce(spoken || (draft ? word("next", shownProgress()) : word("done")));
  scrollTo(0, 0);
  item.querySelector("#item-title")?.focus({ preventScroll: true });
}

function open(item) {
  if (item.dataset.done) progress({ done: Number(item.dataset.done), total: Number(item.dataset.total), aside: item.dataset.aside });
  const form = item.querySelector("[data-judge]");
  draft = form && new Draft({ user, form, version: item.dataset.version, url: draftUrl, measures: measuresOf(item, form) });
  if (!draft) return;
  draft.restore();
  copyButtons(item);
  foldEarlier(item);
  readingAids(item);
  together(item);
  const views = viewers(item);
  if (item.querySelector("[data-regions]")) import("./regions.js").then(({ regions }) => regions(item, views));
  rows(item);
  changes(item);
  if (item.querySelector("[data-readability]")) import("./readability.js").then(({ readability }) => readability(item));
  if (item.querySelector("[data-starter]")) import("./starters.js").then(({ starters }) => starters(item));
  if (item.querySelector("[data-propose]")) import("./proposals.js").then(({ proposals }) => proposals(item));
  steps(form);
  form.addEventListener("input", () => clearErrors(form));
  for (const state of ["kept", "stored", "not-kept"]) draft.addEventListener(state, () => outbox.waiting().length || saved(state));
  draft.addEventListener("stored", () => clearNotice("connection"));
  draft.addEventListener("signed-out", () => signedOut());
  draft.addEventListener("lease-lost", ({ detail }) => notice("lease", detail, dismissible("warn")));
  renewed(item);
  if (outbox.holds(form.elements.assignment.value)) waitFor(item); // sent before a reload, not yet acknowledged
  else soon(prefetch);
}

// Which guidelines somebody judges by is stored: those in the drawer, of whose change they were told.
const version = () => document.getElementById("guidelines").dataset.version;

function renewed(item) {
  if (Number(item.dataset.guideline) > Number(version())) renewGuidelines(guidelineUrl);
}

function measuresOf(item, form) {
  const behaviour = new Behaviour(item, form, activity);
  return {
    start() {
      activity.start(Number(form.elements.active_seconds.value) || 0);
      behaviour.start(form.elements.behaviour.value);
    },
    stop: () => behaviour.stop(),
    values: () => ({ active_seconds: activity.seconds().toFixed(1), behaviour: JSON.stringify(behaviour.values()), guideline: version() }),
  };
}

// Sends a judgement, a skip or what is set aside, and goes on to the next item without waiting for the answer.
function send(item, record, { counts }) {
  if (!outbox.add({ ...record, draft: draft.name })) return;
  draft.stop();
  turn += 1;
  // Where fields are checked against each other, only the server can say that the answer holds.
  const next = "rules" in item.dataset && counts ? null : ahead;
  ahead = null;
  if (next) {
    if (counts) next.dataset.done = String(shownProgress().done + 1);
    next.dataset.total = String(shownProgress().total);
    show(next);
  } else waitFor(item);
  outbox.flush();
}

function waitFor(item) {
  awaiting = true;
  item.inert = true;
  patience = setTimeout(() => {
    const screen = document.getElementById("waiting-screen").content.querySelector("#item").cloneNode(true);
    item.replaceWith(screen);
    draft = null;
  }, PATIENCE);
}

outbox.addEventListener("answered", ({ detail: { record, result } }) => {
  clearNotice("connection");
  if (result.kind === "ok") {
    forget(record.draft);
    arrived(parse(result.html));
  } else if (result.kind === "invalid") {
    if (awaiting) show(parse(result.html));
    else notice("invalid", word("invalid"), { level: "warn", actions: [[word("open"), () => putAside(parse(result.html))]] });
  } else {
    if (result.kind === "conflict") notice("lease", result.text, dismissible("warn"));
    if (awaiting) next();
  }
});

// The server names the item that is due: it is on screen already, or it takes the place of what was sent.
function arrived(item) {
  // Judged here already, but the server has not heard of it yet: its own answer will name the next one.
  if (!item || outbox.holds(item.dataset.keyOfItem)) return;
  if (awaiting) show(item);
  else if (item.dataset.keyOfItem === screenItem().dataset.keyOfItem) {
    progress({ done: Number(item.dataset.done), total: Number(item.dataset.total), aside: item.dataset.aside });
    renewed(item);
  }
  soon(prefetch);
}

async function next() {
  const result = await get(url);
  if (result.kind === "ok" && awaiting) show(parse(result.html));
  else if (result.kind === "signed-out") signedOut();
}

async function prefetch() {
  const item = screenItem();
  if (ahead || awaiting || stopping || !draft || outbox.waiting().length) return;
  const asked = turn;
  const result = await get("amends" in item.dataset ? url : `${url}?ahead=1`);
  const found = result.kind === "ok" ? parse(result.html) : null;
  if (!found?.dataset.keyOfItem || asked !== turn || item !== screenItem()) return;
  if (found.dataset.keyOfItem === item.dataset.keyOfItem) return;
  ahead = found;
  fetchImages(found);
}

// Shows `item` now; the one on screen comes next, with what was entered in it.
function putAside(item, spoken) {
  const current = screenItem();
  turn += 1;
  // A copy, because what listens on the present one would listen twice; its words come back from the draft.
  ahead = draft && !("amends" in current.dataset) && !awaiting ? current.cloneNode(true) : null;
  if (ahead) clearErrors(ahead.querySelector("[data-judge]"));
  show(item, { spoken });
}

async function undo() {
  await outbox.flush();
  const current = screenItem();
  const before = "amends" in current.dataset ? `?before=${current.dataset.keyOfItem}` : "";
  const result = await get(undoUrl + before);
  if (result.kind === "signed-out") signedOut();
  else if (result.kind !== "ok") notice("undo", word("undo-wait"), dismissible("warn"));
  else if (!result.html) notice("undo", word("no-undo"), dismissible());
  else putAside(parse(result.html), word("amend"));
}

root.addEventListener("submit", (event) => {
  const { target, submitter } = event;
  if (!target.matches("[data-judge], [data-skip]")) return;
  event.preventDefault();
  if (awaiting || !draft) return;
  const item = screenItem();
  if (submitter?.matches("[data-later]")) {
    const fields = draft.fields();
    // A name of its own each time: an item that came back may be set aside again.
    send(item, { id: `${fields.assignment}:later:${Date.now()}`, url: submitter.formAction, fields }, { counts: false });
  } else if (target.matches("[data-judge]")) {
    if (!opened(item) || !complete(target)) return;
    const sent = () => {
      if (awaiting || item !== screenItem()) return;
      const fields = draft.fields();
      send(item, { id: fields.client_key, url, fields }, { counts: !("amends" in item.dataset) });
    };
    if (!review(item, target, sent)) sent();
  } else if (target.matches("[data-skip]")) {
    target.closest("[popover]").hidePopover();
    const fields = { assignment: target.elements.assignment.value, note: target.elements.note.value, reason: submitter.value };
    send(item, { id: `${fields.assignment}:skip`, url: target.getAttribute("action"), fields }, { counts: false });
  }
});
root.addEventListener("click", (event) => {
  if (!event.target.closest("[data-undo]") || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  undo();
});
for (const event of ["focus", "online"]) {
  addEventListener(event, () => {
    if (isNoticed("connection") && !outbox.waiting().length) draft?.again();
  });
}
// Who only reads holds on to the item as well as who types. Nothing is written but how long the lease lasts.
setInterval(async () => {
  if (!draft || awaiting || !activity.isPresent) return;
  const item = screenItem();
  if ("amends" in item.dataset) return; // judged already: there is no lease
  const result = await post(beatUrl, { assignment: item.dataset.keyOfItem });
  if (result.kind === "conflict" && item === screenItem()) notice("lease", result.text, dismissible("warn"));
  else if (result.kind === "signed-out") signedOut();
}, BEAT);
setInterval(async () => {
  // New items of a round arrive while somebody looks at the empty screen.
  if (document.hidden || !("doneScreen" in screenItem().dataset) || Number(screenItem().dataset.available)) return;
  const result = await get(`${url}?look=1`);
  const screen = result.kind === "ok" && "doneScreen" in screenItem().dataset ? parse(result.html) : null;
  if (Number(screen?.dataset.available)) show(screen, { spoken: word("more") });
}, LOOK);

// "Stop now": the item goes from the screen at once. What is under way may still take a new one, so the server hears of
// the stop after that, and hands back all there is.
document.querySelector("[data-stop]")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (stopping) return;
  stopping = true;
  screenItem().hidden = true;
  await Promise.race([outbox.flush(), quiet(LONGEST_STOP)]);
  await quiet(LONGEST_STOP);
  event.target.submit();
});

function soon(work) {
  if ("requestIdleCallback" in window) requestIdleCallback(() => work(), { timeout: 300 });
  else setTimeout(work, 50);
}

document.documentElement.classList.add("has-script");
listenForKeys();
if (!isWhole()) await load(); // a key pressed while somebody waits would be lost
forgetOldDrafts(user);
report(outbox);
timer(activity);
open(screenItem());
outbox.flush();
