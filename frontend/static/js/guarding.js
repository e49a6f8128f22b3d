// The page of a guard version.

import { guardLines } from "./guard.js";

guardLines();
