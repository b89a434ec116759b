// Which view is shown: the search, the map or the duplicates. The address says it.

const links = [...document.querySelectorAll("[data-view]")];
const parts = [...document.querySelectorAll("[data-of]")];
let asked = new AbortController();

export function current() {
  const named = new URLSearchParams(location.hash.slice(1)).get("view");
  return links.some(({ dataset }) => dataset.view === named) ? named : "search";
}

/** Shows the view that the address names, and calls what fills it. What another one waits for is given up. */
export function show(fill) {
  asked.abort();
  asked = new AbortController();
  const view = current();
  parts.forEach((part) => { part.hidden = part.dataset.of !== view; });
  for (const link of links) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  // The way from the other views to the search leads to what was looked for last.
  if (view === "search") links.find(({ dataset }) => dataset.view === view).href = location.hash || "#";
  return fill[view](asked.signal);
}
