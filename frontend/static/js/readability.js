// How a rewritten answer reads beside the one shown; counted by the server once somebody pauses.

import { post } from "./net.js";
import { parse } from "./screen.js";

const QUIET = 800;

export function readability(item) {
  const place = item.querySelector("[data-readability]");
  if (!place) return;
  const field = item.querySelector("[data-rewrites]");
  const { assignment } = field.form.elements;
  let timer = 0;
  let asked = 0; // so that an early answer does not replace a later one
  const ask = async () => {
    const mine = ++asked;
    const result = await post(place.dataset.readability, { assignment: assignment.value, text: field.value });
    if (mine !== asked || !item.isConnected || result.kind !== "ok") return; // the figures of before stay
    place.replaceChildren(parse(result.html, "#readability"));
  };
  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(ask, QUIET);
  });
  // The item may be one fetched ahead, and is counted only once it is shown.
  ask();
}
