// An item that is reviewed is read as it is judged: side by side, with differences, raw, and by the same keys.

import { copyButtons } from "./copying.js";
import { listenForKeys } from "./keys.js";
import { merging } from "./merging.js";
import { readingAids } from "./reading.js";

const item = document.getElementById("item");
document.documentElement.classList.add("has-script");
listenForKeys();
copyButtons(item);
merging();
if (item.querySelector("[data-answers]")) readingAids(item);
