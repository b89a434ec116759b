// The collection as a map.

import { chart } from "./chart.js";
import { show as picture, study } from "./server.js";

const box = document.querySelector("#map");
let open = () => {};
let shown = "";

/** Calls back with the point that the reader chooses. */
export function onOpen(callback) {
  open = callback;
}

/** Asks for the map, of all indexes or of one, and shows it. A map that is still the same stays as it was left. */
export async function show(chosen, signal, say) {
  try {
    const map = await study(`/map?${new URLSearchParams(chosen)}`, signal, say);
    const { pictures, left_out, clusters, points } = map;
    const left = left_out > 0 ? `; ${left_out} of ${pictures} have no place, so that the map stays quick` : "";
    const regions = `${clusters.length} ${clusters.length === 1 ? "region" : "regions"}`;
    say(points.length > 0 ? `${points.length} pictures in ${regions}${left}` : "There are no pictures.");
    const now = JSON.stringify(points.map(({ id, x, y }) => [id, x, y]));
    if (now === shown) return;
    shown = now;
    chart(box, map, { fill, open });
  } catch (error) {
    if (error.name !== "AbortError") say(error.message, true);
  }
}

function fill(img, { id }) {
  picture(img, `/thumb/${id}?size=192`).catch(() => {});
  return true;
}
