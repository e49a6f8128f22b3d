// A chat with the policy: what one types is kept in this browser until the server has it, and each form may be sent
// twice without harm, because it carries its key. The answers grow by htmx, which asks for them.

import { Activity } from "./activity.js";
import { Behaviour } from "./behaviour.js";
import { copyButtons } from "./copying.js";
import { fill, forgetOldDrafts } from "./draft.js";
import { clearErrors, complete, fieldsOf } from "./form.js";
import { listenForKeys } from "./keys.js";
import { get, post } from "./net.js";
import { readingAids } from "./reading.js";
import { announce, clearNotice, dismissible, notice, opened, parse, saved, word } from "./screen.js";
import { signedOut } from "./status.js";
import { steps } from "./steps.js";
import { forget, isWhole, load, read, write } from "./store.js";
import { timer } from "./timer.js";

const LONGEST_WAIT = 30000;

const root = document.getElementById("work");
const { user, url } = root.dataset;
const activity = new Activity();
let behaviour = null; // of the answers on screen
let unsent = null; // a form the server could not be told of yet
let wait = 1000;
let again = 0;
let busy = false;

const screen = () => document.getElementById("chat");
const draftOf = (form) => form.dataset.kept && `attune:draft:${user}:chat:${form.dataset.kept}`;

// What a form says, with how the choice came about.
function measured(form) {
  if (behaviour && form.matches("[data-judge]")) {
    form.elements.active_seconds.value = activity.seconds().toFixed(1);
    form.elements.behaviour.value = JSON.stringify(behaviour.values());
  }
  return fieldsOf(form);
}

function keep(form) {
  if (!draftOf(form)) return;
  const kept = { fields: measured(form), at: Date.now() };
  saved(write(draftOf(form), kept, () => saved("kept")) ? "kept" : "not-kept");
}

// Fills a form with what was typed before a reload; what the server has by now is forgotten instead.
function restore(form) {
  const kept = draftOf(form) && read(draftOf(form));
  if (!kept) return;
  if (screen().dataset.said.split(" ").includes(kept.fields.client_key)) {
    forget(draftOf(form));
    return;
  }
  fill(form, kept.fields);
}

function open() {
  behaviour?.stop();
  behaviour = null;
  unsent = null;
  const chat = screen();
  for (const form of chat.querySelectorAll("[data-kept]")) {
    restore(form);
    form.addEventListener("input", () => {
      clearErrors(form);
      keep(form);
    });
  }
  const judge = chat.querySelector("[data-judge]");
  if (judge) {
    copyButtons(chat);
    readingAids(chat);
    activity.start(Number(judge.elements.active_seconds.value) || 0);
    behaviour = new Behaviour(chat, judge, activity);
    behaviour.start(judge.elements.behaviour.value);
    steps(judge);
  } else activity.start(0); // of the message
  const conversation = chat.querySelector("[data-prompt]");
  conversation.scrollTop = conversation.scrollHeight;
  (chat.querySelector("#message") ?? chat.querySelector("#item-title")).focus({ preventScroll: true });
  if (!conversation.matches(":empty")) chat.scrollIntoView({ block: "end" });
}

function show(chat, spoken) {
  if (!chat) return;
  screen().replaceWith(chat);
  window.htmx.process(chat);
  open();
  announce(spoken);
}

const spokenAfter = { message: "answering", judge: "your-turn", same: "your-turn", end: "saved" };

async function send(form) {
  if (busy || (form.matches("[data-judge]") && !opened(screen())) || !complete(form)) return;
  busy = true;
  clearTimeout(again);
  saved("sending");
  const result = await post(form.getAttribute("action"), measured(form));
  busy = false;
  if (!form.isConnected) return;
  if (result.kind === "offline" || result.kind === "signed-out") {
    unsent = form;
    again = setTimeout(sendAgain, wait);
    wait = Math.min(wait * 2, LONGEST_WAIT);
    if (result.kind === "signed-out") return signedOut();
    saved("waiting", { n: 1 });
    notice("connection", word("offline", { n: 1 }), { level: "warn" });
    return;
  }
  wait = 1000;
  clearNotice("connection");
  if (result.kind === "ok") {
    if (draftOf(form)) forget(draftOf(form));
    clearNotice("refused");
    saved("saved");
    show(parse(result.html, "#chat"), word(spokenAfter[form.dataset.send]));
  } else if (result.kind === "invalid") {
    saved("kept");
    show(parse(result.html, "#chat"), "");
  } else {
    notice("refused", result.text, dismissible("warn"));
    await look();
  }
}

// Shows the chat as the server has it; what is in its forms comes back from the drafts.
async function look() {
  const result = await get(url);
  if (result.kind === "ok") show(parse(result.html, "#chat"), "");
}

function sendAgain() {
  if (unsent?.isConnected) send(unsent);
}

root.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-send]")) return;
  event.preventDefault();
  keep(event.target);
  send(event.target);
});
for (const event of ["focus", "online"]) addEventListener(event, sendAgain);

// htmx: the answers grow, and are followed by the chat in which one chooses.
document.addEventListener("htmx:afterSwap", ({ detail }) => {
  clearNotice("connection");
  if (detail.target.id !== "chat" && detail.elt.id !== "chat") return;
  open();
  announce(word("both-ready"));
});
document.addEventListener("htmx:sendError", () => notice("connection", word("offline", { n: 1 }), { level: "warn" }));
document.addEventListener("htmx:responseError", ({ detail }) => detail.xhr.status === 401 && signedOut());

document.documentElement.classList.add("has-script");
listenForKeys();
if (!isWhole()) await load();
forgetOldDrafts(user);
timer(activity);
open();
