// Draws what /live says.  Every name in it is a stranger's: nothing is put into the page but by
// textContent, and nothing of it becomes a tag, an attribute's name, a style or an address.
"use strict";

const $ = (id) => document.getElementById(id);
const WHY = {
  mps: "the driver credits the MPS server with it",
  slice: "the driver does not tell processes of a slice apart",
  driver: "neither driver nor GPU tells it",
  processes: "which processes are the pod's is not known",
};
const STATES = { pending: "pending", success: "applied", failed: "failed", rebooting: "rebooting" };

let node = null;      // the latest
let heard = 0;        // when it came
let cut = "";         // how the GPUs were cut when they were drawn
let drawn = new Map(); // device's key: {element, parts}
let chosen = "";

function make(tag, parent, cls, text) {
  const e = document.createElement(tag);
  if (cls) e.className = cls;
  if (text !== undefined) e.textContent = text;
  if (parent) parent.append(e);
  return e;
}

function put(element, text) { // what has not changed is left: a screen reader's place, a selection
  if (element.textContent !== text) element.textContent = text;
}

function attribute(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

const percent = (x) => x === null ? "" : `${Math.round(100 * x)} %`;
const size = (mib) => mib === null ? "" : mib < 1024 ? `${mib} MiB` : `${(mib / 1024).toFixed(1)} GiB`;
const podName = (p) => p.pod ? `${p.namespace}/${p.pod}` : "a pod without a name yet";

// Devices of a GPU in the order of their places: its slices, or the GPU itself.
function devices(gpu) {
  if (gpu.slices.length) {
    return gpu.slices.map((s) => ({
      key: s.uuid, gpu, slice: s, name: s.name, start: s.start, size: Math.max(1, s.size),
      share: s.computeInstances, pods: s.pods, of: s,
    }));
  }
  if (gpu.mig) return [];
  return [{ key: gpu.uuid, gpu, slice: null, name: "whole", start: 0, size: Math.max(1, gpu.units),
    share: 1, pods: gpu.pods, of: gpu }];
}

const all = () => node.gpus.flatMap(devices);
const isIll = (d) => d.of.health !== "well" || !d.gpu.answers;
const isGoing = (d) => d.slice !== null && d.slice.withdrawn;

function state(d) {
  if (!d.gpu.answers) return "does not answer";
  if (isGoing(d)) return "withdrawn";
  if (d.of.health !== "well") return d.of.health;
  return d.pods.length ? "held" : "free";
}

function who(d) {
  if (!d.pods.length) return state(d);
  const names = [...new Set(d.pods.map((p) => p.pod || "?"))];
  return names.length === 1 ? names[0] : `${names.length} pods: ${names.join(", ")}`;
}

function place(d) {
  if (!d.slice) return "all of it";
  const last = d.start + d.size - 1;
  return last > d.start ? `units ${d.start} to ${last} of ${d.gpu.units}` : `unit ${d.start} of ${d.gpu.units}`;
}

function spoken(d) {
  const words = [`GPU ${d.gpu.index}`, d.name, place(d), state(d)];
  if (d.pods.length) words.push(d.pods.map(podName).join(", "));
  if (d.of.memoryUsedMiB !== null) words.push(`memory ${size(d.of.memoryUsedMiB)} of ${size(d.of.memoryMiB)}`);
  if (d.of.utilisation !== null) words.push(`busy ${percent(d.of.utilisation)}`);
  return words.join(", ");
}

// --- the drawing

function drawDevice(bar, d, at, n) {
  const item = make("li", bar);
  item.setAttribute("role", "none");
  const e = make("div", item, "slice");
  // a GPU instance that is divided shows its compute instances one above the other
  item.style.gridColumn = `${d.start + 1} / span ${d.size}`;
  item.style.gridRow = `${at + 1} / span ${n}`;
  item.style.display = "grid";
  item.style.minWidth = "0";
  e.setAttribute("role", "option");
  e.tabIndex = -1;
  const head = make("div", e, "name");
  const parts = { name: make("span", head), busyText: make("span", head), who: make("div", e, "who") };
  parts.memory = make("i", make("div", e, "meter"));
  parts.busy = make("i", make("div", e, "meter busy"));
  e.addEventListener("focus", () => choose(d.key));
  e.addEventListener("click", () => { e.focus(); });
  drawn.set(d.key, { element: e, parts });
}

function drawGpu(parent, gpu) {
  const row = make("div", parent, "gpu");
  const head = make("div", row);
  const title = make("h2", head, "", `GPU ${gpu.index}`);
  title.id = `gpu-${gpu.index}`;
  const facts = make("p", head), trouble = make("p", head);
  const bar = make("ul", row, "bar");
  bar.setAttribute("role", "listbox");
  bar.setAttribute("aria-labelledby", title.id);
  bar.setAttribute("aria-describedby", "keys");
  bar.setAttribute("aria-orientation", "horizontal");
  bar.style.gridTemplateColumns = `repeat(${Math.max(1, gpu.units)}, minmax(0, 1fr))`;
  const ds = devices(gpu);
  const rows = Math.max(1, ...ds.map((d) => d.share));
  const next = new Map();
  for (const d of ds) {
    const at = next.get(d.start) || 0;
    drawDevice(bar, d, at, d.share === 1 ? rows : 1);
    next.set(d.start, at + 1);
  }
  if (!ds.length) {
    const empty = make("li", bar, "nothing", "no slices");
    empty.setAttribute("role", "option");
    empty.setAttribute("aria-disabled", "true");
    empty.setAttribute("aria-selected", "false");
    empty.style.gridColumn = "1 / -1";
    empty.style.padding = "4px 8px";
  }
  drawn.set(`row ${gpu.uuid}`, { element: row, parts: { facts, trouble } });
}

function drawAnew() {
  const had = document.activeElement && document.activeElement.classList.contains("slice");
  drawn = new Map();
  $("drawing").textContent = "";
  for (const gpu of node.gpus) drawGpu($("drawing"), gpu);
  if (!node.gpus.length) make("p", $("drawing"), "nothing", node.driverUp === false
    ? "The NVIDIA driver does not answer." : "No GPUs yet.");
  const ds = all();
  if (!ds.some((d) => d.key === chosen)) chosen = ds.length ? ds[0].key : "";
  if (had && chosen) drawn.get(chosen).element.focus();
}

function meter(fill, value, of) {
  const known = value !== null && value !== undefined && of > 0;
  fill.parentElement.classList.toggle("none", !known);
  fill.style.width = known ? `${Math.min(100, Math.max(0, 100 * value / of)).toFixed(1)}%` : "0";
}

function showDevice(d, words) {
  const { element: e, parts } = drawn.get(d.key);
  put(parts.name, d.name);
  put(parts.busyText, percent(d.of.utilisation));
  put(parts.who, who(d));
  meter(parts.memory, d.of.memoryUsedMiB, d.of.memoryMiB);
  meter(parts.busy, d.of.utilisation, 1);
  e.classList.toggle("held", d.pods.length > 0);
  e.classList.toggle("going", isGoing(d));
  e.classList.toggle("ill", isIll(d));
  e.classList.toggle("hit", matches(d, words));
  attribute(e, "aria-label", spoken(d));
  attribute(e, "aria-selected", d.key === chosen ? "true" : "false");
  attribute(e, "aria-current", d.key === chosen ? "true" : "false");
  e.tabIndex = d.key === chosen ? 0 : -1;
}

function showGpu(gpu) {
  const { element, parts } = drawn.get(`row ${gpu.uuid}`);
  const facts = [gpu.powerW === null ? "" : `${Math.round(gpu.powerW)} W`,
    gpu.temperatureC === null ? "" : `${gpu.temperatureC} °C`, percent(gpu.utilisation)];
  put(parts.facts, gpu.name.replace(/^NVIDIA /, ""));
  attribute(parts.facts, "title", `${gpu.name} ${gpu.uuid} ${gpu.busId}`);
  const trouble = gpu.ailment || (gpu.health !== "well" ? gpu.health : gpu.stale ? "no reading" : "");
  put(parts.trouble, trouble || [gpu.sharing === "whole" ? "" : gpu.sharing, ...facts].filter(Boolean).join(" · "));
  parts.trouble.classList.toggle("bad", Boolean(gpu.ailment) || gpu.health !== "well");
  element.classList.toggle("stale", gpu.stale);
}

// --- what is chosen, and the lists beside it

function fact(list, name, value) {
  if (value === "" || value === null) return;
  make("dt", list, "", name);
  make("dd", list, "", value);
}

function lacking(value, shown, why) {
  return value !== null ? shown(value) : WHY[why] ? `not known: ${WHY[why]}` : "not known";
}

function aboutPod(parent, p) {
  make("h3", parent, "", podName(p));
  const list = make("dl", parent);
  fact(list, "container", p.container);
  fact(list, "resource", p.resource);
  fact(list, "memory", lacking(p.memoryMiB, size, p.noMemory));
  fact(list, "busy", lacking(p.sm, percent, p.noSm));
  fact(list, "GPU-seconds", p.gpuSeconds === null ? "" : p.gpuSeconds.toFixed(1));
}

function showChosen() {
  const d = all().find((one) => one.key === chosen), about = document.createDocumentFragment();
  if (d) {
    make("h3", about, "", `${d.name} on GPU ${d.gpu.index}`);
    const list = make("dl", about);
    fact(list, "state", d.of.health !== "well" && d.pods.length ? `${state(d)}, held` : state(d));
    fact(list, "place", place(d));
    fact(list, "memory", d.of.memoryUsedMiB === null ? size(d.of.memoryMiB)
      : `${size(d.of.memoryUsedMiB)} of ${size(d.of.memoryMiB)}`);
    fact(list, "busy", percent(d.of.utilisation));
    fact(list, "shared by", d.of.sharing === "whole" ? "" : d.of.sharing);
    for (const p of d.pods) aboutPod(about, p);
    const uuid = make("dl", about);
    fact(uuid, "UUID", d.key);
  } else {
    make("p", about, "nothing", "nothing");
  }
  const text = about.textContent;
  if ($("about").textContent !== text) $("about").replaceChildren(about);
}

function choose(key) {
  if (chosen === key) return;
  chosen = key;
  show();
}

function showList(list, items, fill, nothing) {
  const key = JSON.stringify(items);
  if (list.kept === key) return; // for a reader's sake, and the scroll's
  list.kept = key;
  const rows = document.createDocumentFragment();
  for (const item of items) fill(make("li", rows), item);
  if (!items.length) make("li", rows, "nothing", nothing);
  list.replaceChildren(rows);
}

function fillEvent(row, event) {
  const when = new Date(event.time);
  const time = make("time", row, "", when.toLocaleTimeString([], { hour12: false }));
  time.dateTime = when.toISOString();
  row.append(event.text);
  if (event.warning) {
    row.className = "warning";
    time.after("Warning: ");
  }
}

function waits() {
  const list = [...(node.waits || [])];
  if (node.state === "pending" && node.reason && !list.length) list.push(node.reason);
  const more = (node.stepsBlocked || 0) - (node.waits || []).length;
  if (more > 0) list.push(`and ${more} more steps`);
  return list;
}

// --- the table

function showTable() {
  const rows = document.createDocumentFragment();
  for (const gpu of node.gpus) {
    const ds = devices(gpu);
    for (const d of ds.length ? ds : [{ key: gpu.uuid, gpu, slice: null, name: "no slices", start: 0, size: 1, pods: [], of: gpu }]) {
      const row = make("tr", rows);
      make("th", row, "", `${gpu.index}`).scope = "row";
      make("td", row, "", d.name);
      make("td", row, "", d.slice ? `${d.start}–${d.start + d.size - 1}` : "");
      make("td", row, "", d.pods.map(podName).join(", "));
      make("td", row, "", d.of.memoryUsedMiB === null ? `${d.of.memoryMiB}` : `${d.of.memoryUsedMiB} of ${d.of.memoryMiB}`);
      make("td", row, "", percent(d.of.utilisation));
      make("td", row, "", state(d));
    }
  }
  $("rows").replaceChildren(rows);
}

// --- all of it

function matches(d, words) {
  return words !== "" && d.pods.some((p) => podName(p).includes(words));
}

function showHead(ds) {
  const held = ds.filter((d) => d.pods.length).length;
  put($("node"), node.node || "");
  document.title = `${node.node || "kerf"}: ${held} of ${ds.length} held`;
  put($("config"), node.config ? `${node.config}: ${STATES[node.state] || node.state}${node.reason ? `, ${node.reason}` : ""}`
    : "no MIG configuration is selected");
  attribute($("config"), "title", node.reason || "");
  const ill = ds.filter(isIll).length, going = ds.filter(isGoing).length;
  put($("sums"), [`${ds.length} devices`, `${held} held`, ill ? `${ill} not well` : "", going ? `${going} withdrawn` : ""]
    .filter(Boolean).join(", "));
}

function show() {
  if (!node) return;
  const ds = all(), words = $("find").value.trim();
  const now = JSON.stringify(node.gpus.map((g) => [g.uuid, g.index, g.units, g.mig, devices(g).map((d) => [d.key, d.start, d.size, d.share])]));
  if (now !== cut) {
    drawAnew();
    cut = now;
  }
  for (const gpu of node.gpus) showGpu(gpu);
  for (const d of ds) showDevice(d, words);
  showHead(ds);
  showChosen();
  showList($("waits"), waits(), (row, text) => { row.textContent = text; }, "nothing waits");
  showList($("events"), node.events || [], fillEvent, "none yet");
  if (!$("listing").hidden) showTable();
  put($("found"), words ? `${ds.filter((d) => matches(d, words)).length} found` : "");
}

function take(text) {
  node = JSON.parse(text);
  heard = Date.now();
  put($("link"), "live");
  $("link").classList.remove("lost");
  show();
}

// --- keys: one stop for Tab, arrows within

function neighbour(key, from) {
  const e = drawn.get(from).element, here = e.getBoundingClientRect();
  const others = all().map((d) => d.key).filter((k) => k !== from);
  const sideways = key === "ArrowLeft" || key === "ArrowRight";
  const sign = key === "ArrowRight" || key === "ArrowDown" ? 1 : -1;
  let best = null, least = Infinity;
  for (const k of others) {
    const r = drawn.get(k).element.getBoundingClientRect();
    const dx = r.left - here.left, dy = r.top - here.top;
    const ahead = sign * (sideways ? dx : dy), aside = Math.abs(sideways ? dy : dx);
    if (ahead > 1 && ahead + 4 * aside < least && (!sideways || aside < here.height)) {
      least = ahead + 4 * aside;
      best = k;
    }
  }
  return best;
}

function onKey(event) {
  if (!event.target.classList.contains("slice") || event.ctrlKey || event.altKey || event.metaKey) return;
  const ds = all();
  let to = null;
  if (event.key.startsWith("Arrow")) to = neighbour(event.key, chosen);
  else if (event.key === "Home") to = ds[0].key;
  else if (event.key === "End") to = ds[ds.length - 1].key;
  else return;
  event.preventDefault();
  if (to) drawn.get(to).element.focus();
}

function setTable(on) {
  $("view").setAttribute("aria-pressed", on ? "true" : "false");
  $("listing").hidden = !on;
  $("drawing").hidden = on;
  show();
}

// --- the line to the agent

function lost(words) {
  put($("link"), words);
  $("link").classList.add("lost");
}

function listen() {
  const source = new EventSource("/live");
  source.onmessage = (event) => take(event.data);
  source.onerror = () => {
    lost("no line to the agent");
    if (source.readyState === EventSource.CLOSED) { // refused: enough listen already
      ask();
      setTimeout(listen, 5000);
    }
  };
}

function ask() {
  fetch("/api/node.json").then((answer) => answer.ok ? answer.text() : Promise.reject())
    .then(take).catch(() => lost("no line to the agent"));
}

setInterval(() => {
  const s = Math.round((Date.now() - heard) / 1000);
  if (heard && s >= 5) lost(`no news for ${s} s`);
}, 1000);

$("find").addEventListener("input", show);
$("search").addEventListener("submit", (event) => event.preventDefault());
$("view").addEventListener("click", () => setTable($("listing").hidden));
document.addEventListener("keydown", onKey);
listen();
