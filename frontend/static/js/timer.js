// The time at work on the item, for who wants to see it; hidden by default, for a clock in sight hurries people.

import { read, write } from "./store.js";

const SWITCH = "attune:timer";

export function timer(activity) {
  const place = document.getElementById("timer");
  const box = document.querySelector("[data-timer-switch]");
  const show = () => {
    const seconds = Math.floor(activity.seconds());
    place.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  };
  let ticking = 0;
  const set = (on) => {
    clearInterval(ticking);
    place.hidden = !on;
    if (!on) return;
    show();
    ticking = setInterval(show, 1000);
  };
  box.checked = read(SWITCH) === "on";
  box.addEventListener("change", () => {
    write(SWITCH, box.checked ? "on" : "off");
    set(box.checked);
  });
  set(box.checked);
}
