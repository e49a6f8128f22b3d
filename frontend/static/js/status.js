// What the page says about its own state: what is sent, what waits, who is signed out, which guidelines are new.

import { get } from "./net.js";
import { clearNotice, notice, parse, saved, word } from "./screen.js";

export function report(outbox) {
  const offerRefused = () => {
    const [record] = outbox.refused();
    if (!record) return;
    const actions = [
      [word("again"), () => outbox.again(record)],
      [word("drop"), () => outbox.drop(record)],
    ];
    notice("refused", word("refused"), { level: "bad", actions });
  };
  outbox.addEventListener("signed-out", signedOut);
  outbox.addEventListener("sending", () => saved("sending"));
  outbox.addEventListener("offline", () => {
    const n = outbox.waiting().length;
    saved("waiting", { n });
    notice("connection", word("offline", { n }), { level: "warn" });
  });
  outbox.addEventListener("answered", () => {
    clearNotice("connection");
    offerRefused();
  });
  outbox.addEventListener("changed", () => outbox.waiting().length || saved("saved"));
  offerRefused();
}

export function signedOut() {
  const { url, loginUrl } = document.getElementById("work").dataset;
  saved("signed-out");
  const login = `${loginUrl}?next=${encodeURIComponent(url)}`;
  notice("connection", word("sign-in"), { level: "bad", actions: [[word("sign-in-link"), login]] });
}

// Who opens them, by whatever way, need not be told any more.
document.addEventListener("toggle", ({ target }) => target.id === "guidelines" && clearNotice("guidelines"), { capture: true });

// Puts the new version into the drawer, and says so.
export async function renewGuidelines(url) {
  const result = await get(url);
  const drawer = result.kind === "ok" && parse(result.html, "#guidelines");
  if (!drawer) return;
  document.getElementById("guidelines").replaceWith(drawer);
  notice("guidelines", word("guidelines"), { actions: [[word("read"), () => drawer.showPopover()]] });
}
