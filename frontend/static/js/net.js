// One request, and what came of it in a word:
//   ok          accepted; `html` is the next screen (empty for 204)
//   invalid     422: `html` is the same screen with the errors beside the inputs
//   conflict    409: `text` says why it cannot be accepted (lease lost, campaign closed)
//   signed-out  the session is gone; nothing was stored
//   refused     the server will never accept this
//   offline     no answer, or the server is in trouble: try again later

const TIMEOUT = 15000;

// Read at each request: signing in again in another tab changes it.
const csrfToken = () => document.cookie.match(/(?:^|;\s*)csrftoken=([^;]+)/)?.[1] ?? "";

export async function post(url, fields) {
  const first = await request(url, fields);
  if (first.kind !== "forbidden") return first;
  // The page is older than the session. Any page of ours sets the cookie anew; then once more.
  const fresh = await get(location.pathname + "?look=1");
  if (fresh.kind !== "ok") return fresh;
  const second = await request(url, fields);
  return second.kind === "forbidden" ? { ...second, kind: "refused" } : second;
}

export async function get(url) {
  const result = await request(url, null);
  return result.kind === "forbidden" ? { ...result, kind: "refused" } : result;
}

const underWay = new Set();

// Resolves when no request is under way any more, those begun meanwhile included; after `limit` milliseconds anyway.
export async function quiet(limit) {
  const late = new Promise((resolve) => setTimeout(resolve, limit, true));
  while (underWay.size) {
    if (await Promise.race([late, Promise.allSettled([...underWay])]) === true) return;
  }
}

function request(url, fields) {
  const answer = ask(url, fields);
  underWay.add(answer);
  return answer.finally(() => underWay.delete(answer));
}

async function ask(url, fields) {
  let response;
  try {
    response = await fetch(url, {
      method: fields ? "POST" : "GET",
      body: fields ? new URLSearchParams(fields) : undefined,
      headers: { "HX-Request": "true", ...(fields ? { "X-CSRFToken": csrfToken() } : {}) },
      credentials: "same-origin",
      cache: "no-store",
      signal: AbortSignal.timeout(TIMEOUT),
    });
    const text = response.status === 204 ? "" : await response.text();
    return { kind: kindOf(response), status: response.status, html: text, text: text.slice(0, 400) };
  } catch {
    return { kind: "offline", status: 0, html: "", text: "" };
  }
}

function kindOf(response) {
  const login = document.getElementById("work")?.dataset.loginUrl ?? "/login/";
  if (response.status === 401 || (response.redirected && new URL(response.url).pathname === login)) return "signed-out";
  if (response.ok) return "ok";
  if (response.status === 422) return "invalid";
  if (response.status === 409) return "conflict";
  if (response.status === 403) return "forbidden";
  if (response.status === 429 || response.status >= 500) return "offline";
  return "refused";
}
