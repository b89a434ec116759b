// What the server knows, asked with the token if it wants one.

const KEY = "clipwright token";

/** Asks for the token; resolves once the reader has typed one. */
function unlock() {
  const dialog = document.querySelector("#locked");
  if (!dialog.open) dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => {
    sessionStorage.setItem(KEY, document.querySelector("#token").value);
    resolve();
  }, { once: true }));
}

/** Fetches a path; throws an Error with what the server says if it refuses. */
export async function ask(path, options = {}) {
  for (;;) {
    const token = sessionStorage.getItem(KEY);
    const headers = token ? { authorization: `Bearer ${token}` } : {};
    const answer = await fetch(path, { ...options, headers: { ...headers, ...options.headers } });
    if (answer.ok) return answer;
    if (answer.status !== 401) throw new Error(await reason(answer));
    await unlock();
  }
}

async function reason(answer) {
  const told = await answer.json().catch(() => null);
  return told?.error?.message ?? `${answer.status} ${answer.statusText}`;
}

export async function json(path, options) {
  return (await ask(path, options)).json();
}

/** Fetches an answer that takes long, and tells how far it is until it is there. */
export async function study(path, signal, say) {
  for (;;) {
    const answer = await ask(path, { signal });
    const told = await answer.json();
    if (answer.status !== 202) return told;
    say(told.todo > 0 ? `${told.what}: ${told.done} of ${told.todo}` : "waiting for another answer");
  }
}

/** Searches by a list of parts; `more` are the other fields of the request. */
export function search(parts, more, signal) {
  const body = JSON.stringify({ parts, ...more });
  return json("/search", { method: "POST", headers: { "content-type": "application/json" }, body, signal });
}

/** Shows a picture of the server in an img. The browser fetches it by itself, unless a token has to go with it. */
export async function show(img, path) {
  if (!sessionStorage.getItem(KEY)) {
    img.src = path;
    return;
  }
  const blob = await (await ask(path)).blob();
  img.src = URL.createObjectURL(blob);
  img.addEventListener("load", () => URL.revokeObjectURL(img.src), { once: true });
}
