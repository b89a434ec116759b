// The pictures that were found: small, in a grid that arrow keys lead through, and one of them large.

import { json, show } from "./server.js";

const list = document.querySelector("#hits");
const large = document.querySelector("#large");
let current = null;
let like = () => {};

/** Calls back with an id and "only", 1 or -1 when the reader wants pictures like one, or unlike it. */
export function onLike(callback) {
  like = callback;
}

/** A small picture is fetched when it comes near the window. */
const near = new IntersectionObserver((seen) => {
  for (const { target, isIntersecting } of seen) {
    if (!isIntersecting) continue;
    near.unobserve(target);
    show(target, target.dataset.path).catch(() => target.replaceWith("cannot be read"));
  }
}, { rootMargin: "600px" });

export function replace(hits) {
  list.replaceChildren();
  append(hits);
}

export function append(hits) {
  list.append(...hits.map((hit) => item({ ...hit, said: hit.score.toFixed(3) }, `${hit.rank}: ${hit.path}`)));
}

export function count() {
  return list.childElementCount;
}

/** Returns an item of a list of pictures. What is said of the picture stands before its path. */
export function item(hit, label) {
  const { id, path, said } = hit;
  const img = Object.assign(document.createElement("img"), { alt: path });
  img.dataset.path = `/thumb/${id}`;
  img.addEventListener("error", () => img.replaceWith("cannot be read"));
  near.observe(img);
  const frame = Object.assign(document.createElement("span"), { className: "frame" });
  frame.append(img);
  const told = Object.assign(document.createElement("small"), { textContent: `${said}  ${path}`, title: path });
  const button = Object.assign(document.createElement("button"), { type: "button" });
  button.setAttribute("aria-label", label);
  button.append(frame, told);
  button.addEventListener("click", () => enlarge(hit));
  button.hit = hit;
  const entry = document.createElement("li");
  entry.append(button);
  return entry;
}

async function enlarge(hit) {
  current = hit;
  const [original, name, facts, open] = ["#original", "#name", "#facts", "#open"].map((id) => large.querySelector(id));
  original.removeAttribute("src");
  original.alt = hit.path;
  name.textContent = hit.path;
  facts.textContent = "";
  open.href = `/picture/${hit.id}`;
  large.showModal();
  // What is told of a picture may fail where the picture itself is shown, and the other way about.
  show(original, `/picture/${hit.id}`).catch(() => { original.alt = "This picture cannot be read any more."; });
  const { size, modified, index } = await json(`/item/${hit.id}`).catch(() => ({}));
  if (current !== hit || size === undefined) return;
  const found = hit.rank === undefined ? [hit.said] : [`rank ${hit.rank}`, `score ${hit.score.toFixed(4)}`];
  facts.textContent =
    [...found, `${(size / 1e6).toFixed(2)} MB`, new Date(modified).toLocaleString(), index].join(" · ");
}

large.addEventListener("click", ({ target }) => {
  // A click beside the picture is one on the dialog itself.
  if (target === large || target.id === "close") large.close();
  const sign = target.dataset.like;
  if (sign === undefined) return;
  large.close();
  like(current, sign === "only" ? sign : Number(sign));
});

/** Returns how many buttons stand in the first row. */
function columns(buttons) {
  const top = buttons[0].getBoundingClientRect().top;
  const second = buttons.findIndex((button) => button.getBoundingClientRect().top > top + 1);
  return second < 0 ? buttons.length : second;
}

addEventListener("keydown", (event) => {
  const own = document.activeElement?.closest(".pictures");
  const buttons = [...(own?.querySelectorAll("button") ?? [])];
  const here = buttons.indexOf(document.activeElement);
  if (here < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
  const row = columns(buttons);
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -row, ArrowDown: row, Home: -here, End: buttons.length - 1 - here };
  const { hit } = buttons[here];
  if (event.key in steps) {
    buttons[Math.min(Math.max(here + steps[event.key], 0), buttons.length - 1)].focus();
  } else if (event.key === "m") {
    like(hit, "only");
  } else if (event.key === "x") {
    like(hit, -1);
  } else {
    return;
  }
  event.preventDefault();
});
