// A map of pictures on a canvas: dots, and small pictures where there is room for them. It is moved and zoomed by mouse,
// fingers and keys. Places are within the unit square, y grows upwards.

/** Okabe and Ito's colours, which people with any kind of colour vision can tell apart. */
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
/** Side of a small picture on the map, how far two of them are apart, and how many there are at most. */
const SIDE = 44;
const APART = 1.7;
const MAX_SMALL = 80;
/** Small pictures that are kept in memory. */
const MAX_KEPT = 400;
const MAX_ZOOM = 400;
/** The free edge around the map, and how near a pointer must be to a dot, in pixels. */
const EDGE = 40;
const REACH = 14;
/** The height of a name. */
const LINE = 20;

/** Makes an element. */
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Whether the page is dark. Colours are then a quarter lighter. */
const dark = matchMedia("(prefers-color-scheme: dark)");

function colour(cluster) {
  const parts = COLOURS[cluster % COLOURS.length].match(/[0-9a-f]{2}/g).map((part) => parseInt(part, 16));
  return `rgb(${parts.map((part) => Math.round(dark.matches ? part + (255 - part) / 4 : part)).join()})`;
}

/**
 * Shows a map in a box. `fill(img, point)` shows a point's picture in an img and says whether it has one; `open(point)` is
 * called when the reader chooses a point.
 */
export function chart(box, { points, clusters }, { fill, open }) {
  const canvas = make("canvas", { tabIndex: 0 });
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label", `Map of ${points.length} pictures. Arrow keys go from picture to picture, plus and minus ` +
    "zoom, 0 shows all, Enter opens.");
  const [tip, told] = [make("div", { className: "tip", hidden: true }), make("output")];
  const button = (text, title, act) => {
    const made = make("button", { type: "button", textContent: text, title });
    made.setAttribute("aria-label", title);
    made.addEventListener("click", act);
    return made;
  };
  const middle = () => [canvas.clientWidth / 2, canvas.clientHeight / 2];
  const zoom = make("div", { className: "zoom" }, button("+", "zoom in", () => zoomAt(middle(), 1.5)),
    button("−", "zoom out", () => zoomAt(middle(), 1 / 1.5)), button("all", "show all", () => whole()));
  const names = make("ol", {}, ...clusters.map(nameButton));
  names.setAttribute("aria-label", "Regions");
  const keys = make("p");
  keys.innerHTML = "<kbd>←↑↓→</kbd> go <kbd>Shift</kbd> move the map <kbd>+</kbd> <kbd>−</kbd> zoom <kbd>0</kbd> all <kbd>Enter</kbd> open";
  box.classList.add("chart");
  box.replaceChildren(canvas, zoom, tip, told, names, keys);

  const context = canvas.getContext("2d");
  // A point (x, y) of the map is shown at left + x·scale, top − y·scale.
  const view = { left: 0, top: 0, scale: 1 };
  const small = new Map();
  let chosen = null;
  let pending = false;

  const place = ({ x, y }) => [view.left + x * view.scale, view.top - y * view.scale];
  const least = () => Math.min(canvas.clientWidth, canvas.clientHeight) - 2 * EDGE;

  /** Shows a part of the map, given as its middle and its side. */
  function showPart(x, y, side) {
    const [mx, my] = middle();
    view.scale = Math.min(least() / side, MAX_ZOOM * least());
    [view.left, view.top] = [mx - x * view.scale, my + y * view.scale];
    draw();
  }

  function whole() {
    const [xs, ys] = [points.map((point) => point.x), points.map((point) => point.y)];
    const ends = (all) => all.reduce(([low, high], a) => [Math.min(low, a), Math.max(high, a)], [1, 0]);
    const [[left, right], [low, high]] = [ends(xs), ends(ys)];
    const [width, height] = [canvas.clientWidth - 2 * EDGE, canvas.clientHeight - 2 * EDGE];
    const scale = Math.min(width / Math.max(right - left, 1e-3), height / Math.max(high - low, 1e-3));
    showPart((left + right) / 2, (low + high) / 2, least() / scale);
  }

  function zoomAt([px, py], factor) {
    const scale = Math.min(Math.max(view.scale * factor, least() / 4), MAX_ZOOM * least());
    const real = scale / view.scale;
    Object.assign(view, { left: px - (px - view.left) * real, top: py - (py - view.top) * real, scale });
    draw();
  }

  function move(dx, dy) {
    view.left += dx;
    view.top += dy;
    draw();
  }

  function draw() {
    if (pending) return;
    pending = true;
    requestAnimationFrame(() => {
      pending = false;
      paint();
    });
  }

  function paint() {
    const [width, height, sharp] = [canvas.clientWidth, canvas.clientHeight, devicePixelRatio];
    if (canvas.width !== Math.round(width * sharp) || canvas.height !== Math.round(height * sharp)) {
      [canvas.width, canvas.height] = [Math.round(width * sharp), Math.round(height * sharp)];
    }
    context.setTransform(sharp, 0, 0, sharp, 0, 0);
    context.clearRect(0, 0, width, height);
    const inside = points.filter((point) => {
      const [x, y] = place(point);
      return x > -SIDE && y > -SIDE && x < width + SIDE && y < height + SIDE;
    });
    const labels = named(width, height);
    dots(inside);
    pictures(inside, labels);
    labels.forEach(write);
    mark();
  }

  function dots(inside) {
    const radius = Math.min(6, Math.max(1.6, 60 / Math.sqrt(inside.length + 1)));
    context.globalAlpha = 0.75;
    for (const point of inside) {
      const [x, y] = place(point);
      context.fillStyle = colour(point.cluster);
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.fill();
    }
    context.globalAlpha = 1;
  }

  /** Draws as many small pictures as lie apart from each other and from the names. */
  function pictures(inside, labels) {
    const taken = [];
    const limit = SIDE * APART;
    const isNamed = (x, y) => labels.some((label) =>
      Math.abs(label.x - x) < label.half + SIDE / 2 && Math.abs(label.y - y) < LINE / 2 + SIDE / 2);
    for (const point of inside) {
      if (taken.length >= MAX_SMALL) break;
      const [x, y] = place(point);
      if (taken.some(([a, b]) => Math.abs(a - x) < limit && Math.abs(b - y) < limit) || isNamed(x, y)) continue;
      const img = loaded(point);
      if (img === null) continue;
      taken.push([x, y]);
      if (!img.complete || img.naturalWidth === 0) continue;
      const scale = SIDE / Math.max(img.naturalWidth, img.naturalHeight);
      const [w, h] = [img.naturalWidth * scale, img.naturalHeight * scale];
      context.fillStyle = colour(point.cluster);
      context.fillRect(x - w / 2 - 2, y - h / 2 - 2, w + 4, h + 4);
      context.drawImage(img, x - w / 2, y - h / 2, w, h);
    }
  }

  /** Returns the small picture of a point, which may be on its way, or null if it has none. */
  function loaded(point) {
    let img = small.get(point);
    if (img === undefined) {
      img = new Image();
      img.addEventListener("load", draw);
      if (!fill(img, point)) img = null;
      small.set(point, img);
      if (small.size > MAX_KEPT) small.delete(small.keys().next().value);
    }
    return img;
  }

  /** Returns where the names of regions are written: the largest first, wherever they do not lie on each other. */
  function named(width, height) {
    context.font = `600 14px ${getComputedStyle(box).fontFamily}`;
    const labels = [];
    for (const cluster of clusters) {
      if (!cluster.name) continue;
      const half = context.measureText(cluster.name).width / 2 + 4;
      let [x, y] = place(cluster);
      if (x < -half || y < -LINE || x > width + half || y > height + LINE) continue;
      [x, y] = [Math.min(Math.max(x, half), width - half), Math.min(Math.max(y, LINE / 2), height - LINE / 2)];
      if (labels.some((label) => Math.abs(label.x - x) < half + label.half && Math.abs(label.y - y) < LINE)) continue;
      labels.push({ name: cluster.name, x, y, half });
    }
    return labels;
  }

  function write({ name, x, y }) {
    const { color, backgroundColor } = getComputedStyle(canvas);
    Object.assign(context, { textAlign: "center", textBaseline: "middle", lineJoin: "round", lineWidth: 5 });
    context.strokeStyle = backgroundColor;
    context.strokeText(name, x, y);
    context.fillStyle = color;
    context.fillText(name, x, y);
  }

  /** Marks the chosen point and says what it is. */
  function mark() {
    tip.hidden = chosen === null;
    if (chosen === null) return;
    const [x, y] = place(chosen);
    context.strokeStyle = getComputedStyle(box).color;
    context.lineWidth = 2.5;
    context.beginPath();
    context.arc(x, y, 9, 0, 2 * Math.PI);
    context.stroke();
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    tip.style.left = `${Math.max(0, Math.min(x + 16, width - tip.offsetWidth - 4))}px`;
    tip.style.top = `${y + 16 + tip.offsetHeight < height ? y + 16 : Math.max(0, y - 16 - tip.offsetHeight)}px`;
    tip.hidden = x < 0 || y < 0 || x > width || y > height;
  }

  function choose(point) {
    if (point === chosen) return;
    chosen = point;
    if (point !== null) {
      const name = clusters[point.cluster]?.name ?? "";
      const img = new Image();
      img.alt = "";
      img.addEventListener("load", draw);
      tip.replaceChildren(...(fill(img, point) ? [img] : []), make("b", { textContent: name }), point.path);
      told.textContent = `${point.path}${name ? `, ${name}` : ""}`;
    }
    canvas.style.cursor = point === null ? "crosshair" : "pointer";
    draw();
  }

  /** Returns the point that is nearest to a place of the canvas, if it is near enough. */
  function nearest([px, py], reach) {
    const distance = (point) => Math.hypot(...place(point).map((at, axis) => at - [px, py][axis]));
    const best = points.reduce(([least, best], point) => {
      const now = distance(point);
      return now < least ? [now, point] : [least, best];
    }, [reach, null]);
    return best[1];
  }

  /** Goes to the nearest point in a direction. */
  function go([dx, dy]) {
    const from = chosen === null ? middle() : place(chosen);
    if (chosen === null) return reach(nearest(from, Infinity));
    let [least, best] = [Infinity, null];
    for (const point of points) {
      const [x, y] = place(point).map((at, axis) => at - from[axis]);
      const [along, across] = [x * dx + y * dy, Math.abs(x * dy - y * dx)];
      if (point === chosen || along <= across * 0.5 || along <= 0) continue;
      const cost = along + 2 * across;
      if (cost < least) [least, best] = [cost, point];
    }
    if (best !== null) reach(best);
  }

  /** Chooses a point, and moves the map if it is not inside. */
  function reach(point) {
    if (point === null) return;
    choose(point);
    const [x, y] = place(point);
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    const into = (at, end) => Math.min(Math.max(at, EDGE), end - EDGE) - at;
    move(into(x, width), into(y, height));
  }

  function nameButton(cluster, i) {
    const dot = make("i");
    dot.style.background = colour(i);
    const made = make("button", { type: "button" }, dot, `${cluster.name ?? "…"} `, make("small", { textContent: cluster.pictures }));
    made.addEventListener("click", () => {
      const own = points.filter((point) => point.cluster === i);
      const far = own.map((point) => Math.max(Math.abs(point.x - cluster.x), Math.abs(point.y - cluster.y)));
      // A few strays are left outside.
      const side = 2 * far.sort((a, b) => a - b)[Math.floor(0.8 * (far.length - 1))];
      showPart(cluster.x, cluster.y, Math.max(side, 0.02));
      canvas.focus();
    });
    return make("li", {}, made);
  }

  canvas.addEventListener("keydown", (event) => {
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const way = ways[event.key];
    const from = () => (chosen === null ? middle() : place(chosen));
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (way && event.shiftKey) move(-80 * way[0], -80 * way[1]);
    else if (way) go(way);
    else if (event.key === "+" || event.key === "=") zoomAt(from(), 1.5);
    else if (event.key === "-") zoomAt(from(), 1 / 1.5);
    else if (event.key === "0") whole();
    else if ((event.key === "Enter" || event.key === " ") && chosen !== null) open(chosen);
    else return;
    event.preventDefault();
  });

  // One pointer moves the map, two zoom it. A pointer that has hardly moved has chosen something.
  const held = new Map();
  let moved = 0;
  const at = (event) => [event.offsetX, event.offsetY];
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    held.set(event.pointerId, at(event));
    if (held.size === 1) moved = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = held.get(event.pointerId);
    const now = at(event);
    if (before === undefined) return choose(nearest(now, REACH));
    const others = [...held].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
    held.set(event.pointerId, now);
    moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
    if (others.length === 0) return move(now[0] - before[0], now[1] - before[1]);
    const apart = ([x, y]) => Math.hypot(x - others[0][0], y - others[0][1]);
    zoomAt([(now[0] + others[0][0]) / 2, (now[1] + others[0][1]) / 2], apart(now) / Math.max(apart(before), 1));
  });
  canvas.addEventListener("pointerup", (event) => {
    held.delete(event.pointerId);
    if (moved > 4) return;
    const point = nearest(at(event), REACH);
    // A finger cannot point without touching: it chooses first.
    if (point !== null && (event.pointerType === "mouse" || point === chosen)) open(point);
    choose(point);
  });
  canvas.addEventListener("pointercancel", (event) => held.delete(event.pointerId));
  canvas.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "mouse" && document.activeElement !== canvas) choose(null);
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomAt(at(event), Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 0.0015)));
  }, { passive: false });
  dark.addEventListener("change", () => {
    names.querySelectorAll("i").forEach((dot, i) => { dot.style.background = colour(i); });
    draw();
  });
  let [wide, tall] = [0, 0];
  new ResizeObserver(() => {
    if (canvas.clientWidth === wide && canvas.clientHeight === tall) return;
    [wide, tall] = [canvas.clientWidth, canvas.clientHeight];
    if (wide > 0) whole();
  }).observe(canvas);
  return { focus: () => canvas.focus(), chosen: () => chosen };
}
