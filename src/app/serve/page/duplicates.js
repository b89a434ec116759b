// Groups of pictures of which one is enough. Nothing is deleted here.

import { item } from "./hits.js";
import { study } from "./server.js";

const [least, keep, groups] = ["#least", "#keep", "#groups"].map((id) => document.querySelector(id));
let changed = () => {};

/** Calls back when the reader wants other groups. */
export function onChange(callback) {
  changed = callback;
}

[least, keep].forEach((field) => field.addEventListener("change", () => changed()));

/** Asks for the groups, of all indexes or of one, and shows them. */
export async function show(chosen, signal, say) {
  try {
    const asked = new URLSearchParams({ ...chosen, above: least.value || "0.95", keep: keep.value });
    const found = await study(`/duplicates?${asked}`, signal, say);
    const { pictures, left_out, not_kept, exact, near } = found;
    const left = left_out > 0 ? `; ${left_out} were not compared` : "";
    say(`${not_kept} of ${pictures} pictures would not be kept${left}. Nothing is deleted.`);
    groups.replaceChildren(...section("The same bytes", exact), ...section("Near each other", near));
  } catch (error) {
    if (error.name !== "AbortError") say(error.message, true);
  }
}

function section(title, { count, groups }) {
  if (count === 0) return [];
  const head = Object.assign(document.createElement("h2"), { textContent: `${title}: ${count} ${count === 1 ? "group" : "groups"}` });
  const left = count - groups.length;
  return [head, ...groups.map(group), ...(left > 0 ? [note(`and ${left} more groups; clipwright duplicates lists them`)] : [])];
}

function group({ kept, count, others }) {
  const list = Object.assign(document.createElement("ol"), { className: "pictures" });
  const first = item({ ...kept, said: "kept" }, `kept: ${kept.path}`);
  first.classList.add("kept");
  const said = ({ score }) => (score === undefined ? "same bytes" : score.toFixed(4));
  list.append(first, ...others.map((other) => item({ ...other, said: said(other) }, `${said(other)}: ${other.path}`)));
  const left = count - others.length;
  const section = document.createElement("section");
  section.append(list, ...(left > 0 ? [note(`and ${left} more of this group`)] : []));
  return section;
}

function note(text) {
  return Object.assign(document.createElement("p"), { textContent: text });
}
