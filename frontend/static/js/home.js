// Answers that were submitted while the server was away are sent from here as well.

import { Outbox } from "./outbox.js";

const line = document.getElementById("outbox");
const outbox = new Outbox(line.dataset.user);
const tell = () => {
  const n = outbox.waiting().length;
  line.hidden = n === 0;
  line.textContent = n === 1 ? line.dataset.one : line.dataset.many.replace("{n}", n);
};
for (const event of ["changed", "offline", "signed-out", "answered"]) outbox.addEventListener(event, tell);
tell();
outbox.flush();
