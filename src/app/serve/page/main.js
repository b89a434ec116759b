// Searches while words are typed, pictures dropped and weights changed.

import * as duplicates from "./duplicates.js";
import * as hits from "./hits.js";
import * as map from "./map.js";
import * as query from "./query.js";
import { ask, json, search } from "./server.js";
import * as views from "./views.js";

/** Pictures that are asked for at a time. */
const PAGE = 60;
/** Words rest this long before they are looked for, in milliseconds. */
const PAUSE = 150;

const at = (id) => document.querySelector(id);
const [text, above, path, index, status] = ["#text", "#above", "#path", "#index", "#status"].map(at);
let asked = new AbortController();
let timer = 0;
let all = 0;

function say(words, isFault = false) {
  status.textContent = words;
  status.classList.toggle("fault", isFault);
}

/** Returns the field of a request that names the one index that is asked, if one is chosen. */
function chosen() {
  return index.value === "" ? {} : { index: index.value };
}

/** Returns the fields of a request beside its parts. */
function filters() {
  const more = chosen();
  if (above.value !== "") more.above = Number(above.value);
  if (path.value.trim() !== "") more.path = [path.value.trim()];
  return more;
}

/** Asks for the best pictures, or for those behind the ones that are shown. Only the latest question counts. */
async function find(isMore = false) {
  asked.abort();
  asked = new AbortController();
  const { signal } = asked;
  // Until a new answer is there, nothing is added to the pictures of the one before.
  if (!isMore) all = 0;
  const parts = query.wanted(text.value.trim());
  if (parts.length === 0) {
    hits.replace([]);
    say("Type what you look for, or drop a picture here.");
    return;
  }
  try {
    const offset = isMore ? hits.count() : 0;
    const found = await search(parts, { ...filters(), k: PAGE, offset }, signal);
    if (isMore) hits.append(found.hits); else hits.replace(found.hits);
    all = found.hits.length < PAGE ? hits.count() : found.matching;
    const among = found.matching === found.pictures ? "" : ` ${found.matching} of`;
    say(`${hits.count()} of${among} ${found.pictures} pictures`);
  } catch (error) {
    if (error.name !== "AbortError") say(error.message, true);
  }
}

/** Searches, and makes the query a place that the way back leads to. */
function settle() {
  clearTimeout(timer);
  const address = query.address(text.value.trim());
  if (address !== location.hash) history.pushState(null, "", address);
  return look();
}

/** Shows the view that the address names. */
function look() {
  asked.abort();
  return views.show({
    search: () => find(),
    map: (signal) => map.show(chosen(), signal, say),
    duplicates: (signal) => duplicates.show(chosen(), signal, say),
  });
}

function restore() {
  clearTimeout(timer);
  if (views.current() === "search") text.value = query.restore(location.hash);
  return look();
}

/** Looks for pictures like one, or unlike it. */
function more(hit, sign) {
  const part = { like: hit.id, name: hit.path, shown: `/thumb/${hit.id}?size=64` };
  if (sign === "only") {
    text.value = "";
    query.only(part);
  } else {
    query.add({ ...part, weight: sign });
  }
  scrollTo({ top: 0 });
}

/** Makes a part of the words that are typed. */
function addWords(sign) {
  const words = text.value.trim();
  if (words === "") return;
  text.value = "";
  query.add({ text: words, weight: sign });
}

async function addFiles(files) {
  for (const file of files) {
    await query.addFile(file).catch(() => say(`${file.name}: this browser does not know such pictures`, true));
  }
}

query.onChange(settle);
hits.onLike(more);
map.onOpen((point) => more(point, "only"));
duplicates.onChange(() => look());

text.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(() => {
    // Letters of one word are no places of their own.
    history.replaceState(null, "", query.address(text.value.trim()));
    look();
  }, PAUSE);
});
text.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !event.shiftKey) return;
  event.preventDefault();
  addWords(-1);
});
at("#query").addEventListener("submit", (event) => {
  event.preventDefault();
  addWords(1);
});
at("[data-sign='-1']").addEventListener("click", () => addWords(-1));
at("#file").addEventListener("change", ({ target }) => addFiles([...target.files]).then(() => { target.value = ""; }));
[above, path].forEach((field) => field.addEventListener("input", () => find()));
index.addEventListener("input", () => look());
at("#clear").addEventListener("click", () => {
  [text, above, path].forEach((field) => { field.value = ""; });
  query.clear();
  text.focus();
});

addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
addEventListener("dragleave", ({ relatedTarget }) => {
  if (relatedTarget === null) document.body.classList.remove("over");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  addFiles([...event.dataTransfer.files]);
});
addEventListener("paste", ({ clipboardData }) => addFiles([...clipboardData.files]));
addEventListener("popstate", restore);
addEventListener("keydown", (event) => {
  const isTyping = event.target.matches("input, select, textarea");
  if (event.key === "/" && !isTyping && !document.querySelector("dialog[open]")) {
    event.preventDefault();
    text.select();
    text.focus();
  } else if (event.key === "ArrowDown" && event.target === text) {
    event.preventDefault();
    at("#hits button")?.focus();
  }
});

new IntersectionObserver(([{ isIntersecting }]) => {
  if (isIntersecting && hits.count() > 0 && hits.count() < all) find(true);
}, { rootMargin: "800px" }).observe(at("#end"));

/** Tells how an update goes on, until it is over. */
async function watch(tell) {
  for (;;) {
    const { running, done, todo, last } = await json("/reindex");
    if (!running) return last;
    tell(`looking at the folders: ${done} of ${todo} pictures`);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

at("#update").addEventListener("click", async ({ target }) => {
  target.disabled = true;
  // The other views have something else to say.
  const tell = (...words) => { if (views.current() === "search") say(...words); };
  try {
    await ask("/reindex", { method: "POST" });
    const last = await watch(tell);
    if (last?.error) throw new Error(last.error);
    const told = last.map(({ index, added, changed, removed }) =>
      `${index}: ${added} added, ${changed} changed, ${removed} removed`);
    await introduce();
    await look();
    tell(told.join("; "));
  } catch (error) {
    tell(error.message, true);
  }
  target.disabled = false;
});

/** Tells what is served, and returns the names of the indexes. */
async function introduce() {
  const { indexes, model } = await json("/meta");
  const pictures = indexes.reduce((sum, { pictures }) => sum + pictures, 0);
  const names = indexes.map(({ index }) => index);
  at("#about").textContent = `${pictures} in ${names.join(", ") || "no folder"}, by ${model}`;
  return names;
}

const names = await introduce();
at("#indexes").hidden = names.length < 2;
index.append(new Option("all", ""), ...names.map((name) => new Option(name, name)));
restore();
