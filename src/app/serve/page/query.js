// The query: a sum of texts and pictures, each with its weight. It is shown as a list, and kept in the address, so that
// the browser's way back leads to the query before.

import { show } from "./server.js";

/** Pictures from the reader's disk are made at most this large before they are sent: a model sees no more. */
const MAX_SIDE = 1024;

let parts = [];
let changed = () => {};

/** Calls back whenever the query has changed. */
export function onChange(callback) {
  changed = callback;
}

/** Returns the parts in the shape of the API; `typed` is the text that is being written. */
export function wanted(typed) {
  const all = parts.map(({ text, image, like, weight }) => ({ text, image, like, weight }));
  return typed ? [{ text: typed, weight: 1 }, ...all] : all;
}

export function add(part) {
  parts.push({ weight: 1, ...part });
  settled();
}

/** Looks for one thing instead of all others. */
export function only(part) {
  parts = [{ weight: 1, ...part }];
  settled();
}

export function clear() {
  parts = [];
  settled();
}

/** Takes what an address says. Pictures from the reader's disk are not in it. */
export function restore(hash) {
  const told = new URLSearchParams(hash.slice(1));
  const weighed = (name, make) => told.getAll(name).map((value) => {
    const [, weight, what] = value.match(/^(-?[0-9.e+-]+):(.*)$/s) ?? [null, "1", value];
    return { ...make(what), weight: Number(weight) || 1 };
  });
  parts = [
    ...weighed("t", (text) => ({ text })),
    ...weighed("like", (like) => ({ like, shown: `/thumb/${like}?size=64` })),
  ];
  draw();
  return told.get("q") ?? "";
}

/** Returns the address of the query. */
export function address(typed) {
  const told = new URLSearchParams();
  if (typed) told.set("q", typed);
  for (const { text, like, weight } of parts) {
    if (text !== undefined) told.append("t", `${weight}:${text}`);
    if (like !== undefined) told.append("like", `${weight}:${like}`);
  }
  return `#${told}`;
}

/** Adds a picture from the reader's disk, made smaller. */
export async function addFile(file) {
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  const scale = Math.min(1, MAX_SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const image = canvas.toDataURL("image/png");
  add({ image, shown: image, name: file.name });
}

function settled() {
  draw();
  changed();
}

function draw() {
  document.querySelector("#parts").replaceChildren(...parts.map(line));
}

function line(part) {
  const item = document.createElement("li");
  item.classList.toggle("minus", part.weight < 0);
  const weight = document.createElement("input");
  Object.assign(weight, { type: "number", step: "0.1", value: part.weight, title: "Weight; below 0 means unlike it" });
  weight.setAttribute("aria-label", `Weight of ${part.text ?? part.name ?? "a picture"}`);
  weight.addEventListener("change", () => {
    // Zero would be no part at all.
    part.weight = Number(weight.value) || 1;
    settled();
  });
  const remove = document.createElement("button");
  Object.assign(remove, { type: "button", textContent: "×" });
  remove.setAttribute("aria-label", `Remove ${part.text ?? part.name ?? "the picture"}`);
  remove.addEventListener("click", () => {
    parts.splice(parts.indexOf(part), 1);
    settled();
    document.querySelector("#text").focus();
  });
  item.append(what(part), weight, remove);
  return item;
}

function what({ text, shown, name }) {
  if (shown === undefined) {
    const words = document.createElement("span");
    Object.assign(words, { className: "what", textContent: text, title: text });
    return words;
  }
  const img = Object.assign(document.createElement("img"), { alt: name ?? "picture" });
  show(img, shown);
  return img;
}
