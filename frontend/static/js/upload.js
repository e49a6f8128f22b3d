// A chosen file is sent in parts, so that a broken connection costs one part: the upload goes on from what is there, by
// itself, or after a reload when the same file is chosen again. Without a script the form sends it whole.

const LONGEST_WAIT = 15000;
const TIMEOUT = 120000;

const form = document.getElementById("import");
const input = form.querySelector("input[type=file]");
const place = form.querySelector("[data-upload]");
const bar = place.querySelector("progress");
const line = place.querySelector("[role=status]");
let busy = false;

form.addEventListener("submit", async (event) => {
  const [file] = input.files;
  if (busy) event.preventDefault();
  if (busy || !file?.size) return; // pasted lines go as they are
  event.preventDefault();
  busy = true;
  const atOnce = event.submitter?.name !== "preview";
  const token = await whole(file);
  busy = false;
  if (token) goOn(form.dataset.previewUrl.replace("TOKEN", token), atOnce);
});
addEventListener("beforeunload", (event) => busy && event.preventDefault());

// Returns the token of the file once all of it is there; undefined when the server does not want it.
async function whole(file) {
  const named = { name: file.name, size: file.size, key: String(file.lastModified) };
  let wait = 500;
  let at = null; // asked for at the beginning, and after anything went wrong
  for (;;) {
    const asked = at === null ? null : file.slice(at, at + (named.part ?? 0));
    const answer = await send(named, at, asked);
    if (answer.kind === "ok") {
      wait = 500;
      named.part = answer.part_bytes;
      at = answer.there;
      say("sending", at, file.size);
      if (at >= file.size) return answer.upload;
    } else if (answer.kind === "refused") {
      say("refused", at, file.size, answer.reason);
      return undefined;
    } else {
      say("offline", at, file.size);
      at = null;
      await new Promise((resolve) => {
        setTimeout(resolve, wait);
        addEventListener("online", resolve, { once: true });
      });
      wait = Math.min(wait * 2, LONGEST_WAIT);
    }
  }
}

async function send({ name, size, key }, at, body) {
  const query = new URLSearchParams({ name, size, key, ...(body ? { at } : {}) });
  const token = document.cookie.match(/(?:^|;\s*)csrftoken=([^;]+)/)?.[1] ?? "";
  try {
    const response = await fetch(`${form.dataset.uploadUrl}?${query}`, {
      method: body ? "PUT" : "GET",
      body: body ?? undefined,
      headers: body ? { "X-CSRFToken": token, "Content-Type": "application/octet-stream" } : {},
      signal: AbortSignal.timeout(TIMEOUT),
    });
    const told = await response.json().catch(() => ({}));
    if (response.ok) return { kind: "ok", ...told };
    // 409: the part does not follow on what is there, which is asked for anew.
    if (response.status === 409 || response.status === 429 || response.status >= 500) return { kind: "later" };
    return { kind: "refused", reason: told.detail ?? String(response.status) };
  } catch {
    return { kind: "later" }; // no answer, or the file on disk is being read by another program
  }
}

function say(what, at, size, reason = "") {
  place.hidden = false;
  if (at !== null) bar.value = (100 * at) / size;
  const values = { percent: Math.floor(bar.value), size: (size / 1e6).toFixed(1), reason };
  const text = form.dataset[what].replace(/\{(\w+)\}/g, (_, name) => values[name]);
  if (line.textContent !== text) line.textContent = text;
}

// To the preview, or past it: both are the same page.
function goOn(url, atOnce) {
  if (!atOnce) {
    location.assign(url);
    return;
  }
  const next = Object.assign(document.createElement("form"), { method: "post", action: url, hidden: true });
  next.append(form.elements.csrfmiddlewaretoken.cloneNode(true));
  next.append(Object.assign(document.createElement("input"), { name: "import", value: "1" }));
  document.body.append(next);
  next.submit();
}
