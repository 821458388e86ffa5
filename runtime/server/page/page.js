"use strict";

// The page of clothseg-serve. The server says which class each pixel is (a PNG of indices); tints and names are drawn here. Nothing is
// asked of any other server.

const byId = (id) => document.getElementById(id);
const TINT = 140; // alpha of 255
const MAX_SIDE = 2048; // of the canvases, in pixels
const NAMES = 6; // on the picture, those of the largest classes
const LIST_SHARE = 0.0005; // classes of a smaller share of the photo are not found

const page = { classes: [], limits: null, file: null, labels: null, found: [], request: null };

// ---- What is said

function say(text, busy = false) {
  byId("status").textContent = text;
  byId("status").classList.toggle("busy", busy);
}

function fail(text) {
  const error = byId("error");
  error.hidden = !text;
  error.textContent = text;
  if (text) say("");
}

const percent = (share) => (share < 0.1 ? (share * 100).toFixed(1) : Math.round(share * 100)) + " %";

// ---- The server

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer. Is it still running?");
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  const wait = response.headers.get("retry-after");
  const detail = problem.detail ?? `the server answered ${response.status}`;
  throw new Error(`The server says: ${detail}` + (wait ? ` (try again in ${wait} s)` : "") + ".");
}

const post = (path, file, signal) =>
  ask(path, { method: "POST", body: file, signal, headers: { "content-type": "application/octet-stream" } });

async function learn() {
  const [classes, model] = await Promise.all(["v1/classes", "v1/model"].map((path) => ask(path).then((r) => r.json())));
  page.classes = classes.classes;
  page.limits = model.limits;
  byId("model").textContent = `Model ${model.name} on ${model.provider} (${model.library} ${model.version})`;
}

// ---- A palette PNG of 8 bits: width, height and the index of each pixel, which a canvas would not tell

async function readLabels(buffer) {
  const view = new DataView(buffer);
  let at = 8, width = 0, height = 0;
  const parts = [];
  while (at < buffer.byteLength) {
    const length = view.getUint32(at), kind = view.getUint32(at + 4);
    if (kind === 0x49484452) { // IHDR
      [width, height] = [view.getUint32(at + 8), view.getUint32(at + 12)];
      if (view.getUint8(at + 16) !== 8 || view.getUint8(at + 17) !== 3) throw new Error("The label map is of another kind.");
    } else if (kind === 0x49444154) { // IDAT
      parts.push(new Uint8Array(buffer, at + 8, length));
    }
    at += length + 12;
  }
  const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
  const rows = new Uint8Array(await new Response(stream).arrayBuffer());
  return { width, height, index: unfiltered(rows, width, height) };
}

function unfiltered(rows, width, height) {
  const index = new Uint8Array(width * height);
  const paeth = (a, b, c) => {
    const p = a + b - c, [pa, pb, pc] = [Math.abs(p - a), Math.abs(p - b), Math.abs(p - c)];
    return pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
  };
  for (let y = 0; y < height; y++) {
    const filter = rows[y * (width + 1)], from = y * (width + 1) + 1, to = y * width;
    for (let x = 0; x < width; x++) {
      const left = x ? index[to + x - 1] : 0;
      const up = y ? index[to + x - width] : 0;
      const corner = x && y ? index[to + x - width - 1] : 0;
      const add = [0, left, up, (left + up) >> 1, 0][filter] + (filter === 4 ? paeth(left, up, corner) : 0);
      index[to + x] = rows[from + x] + add;
    }
  }
  return index;
}

// ---- What is in the label map

// For each class: its share, and a place for its name, which is the middle of the longest run in the rows around its centre.
function findClasses({ width, height, index }) {
  const counts = new Array(256).fill(0), sums = new Array(256).fill(0);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      counts[index[at]]++;
      sums[index[at]] += y;
    }
  }
  const places = counts.map((count, label) => ({ length: 0, x: 0, y: 0, centre: sums[label] / count }));
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width;) {
      const start = x, label = index[y * width + x];
      while (x < width && index[y * width + x] === label) x++;
      const place = places[label];
      if (Math.abs(y - place.centre) <= height * 0.06 && x - start > place.length) {
        Object.assign(place, { length: x - start, x: (start + x) / 2, y });
      }
    }
  }
  const isFound = ({ index: label }) => label > 0 && counts[label] / index.length >= LIST_SHARE;
  return page.classes
    .filter(isFound)
    .map((one) => ({ ...one, share: counts[one.index] / index.length, place: places[one.index], shown: one.kind === "garment" }))
    .sort((a, b) => (a.kind === b.kind ? b.share - a.share : a.kind === "garment" ? -1 : 1));
}

// ---- Drawing

function drawTint() {
  const { width, height, index } = page.labels, canvas = byId("tint"), context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  const pixels = new Uint32Array(image.data.buffer);
  const colors = new Uint32Array(256);
  const littleEndian = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;
  for (const { index: label, color: [r, g, b] } of page.found.filter((one) => one.shown)) {
    colors[label] = littleEndian ? ((TINT << 24) | (b << 16) | (g << 8) | r) >>> 0 : ((r << 24) | (g << 16) | (b << 8) | TINT) >>> 0;
  }
  const alpha = littleEndian ? 0xff000000 : 0xff;
  const across = Array.from({ length: canvas.width }, (_, x) => Math.floor(((x + 0.5) * width) / canvas.width));
  for (let y = 0, to = 0; y < canvas.height; y++) {
    const row = Math.floor(((y + 0.5) * height) / canvas.height) * width;
    const below = y + 1 < canvas.height ? Math.floor(((y + 1.5) * height) / canvas.height) * width : row;
    for (let x = 0; x < canvas.width; x++, to++) {
      const color = colors[index[row + across[x]]];
      const beside = colors[index[row + across[Math.min(x + 1, canvas.width - 1)]]];
      const isEdge = color && (beside !== color || colors[index[below + across[x]]] !== color);
      pixels[to] = isEdge ? (color | alpha) >>> 0 : color;
    }
  }
  context.putImageData(image, 0, 0);
}

function drawNames() {
  const { width, height } = page.labels;
  const largest = page.found.filter((one) => one.shown).sort((a, b) => b.share - a.share).slice(0, NAMES);
  const tags = largest.map(({ name, place }) => {
    const tag = document.createElement("span");
    tag.textContent = name.split(",")[0];
    tag.style.left = `${Math.min(88, Math.max(12, (place.x / width) * 100))}%`;
    tag.style.top = `${Math.min(96, Math.max(4, (place.y / height) * 100))}%`;
    return tag;
  });
  byId("names").replaceChildren(...tags);
  // Names that lie on each other move down.
  const taken = [];
  for (const tag of tags) {
    for (let tries = 0; tries < 12; tries++) {
      const box = tag.getBoundingClientRect();
      const other = taken.find((one) => box.left < one.right && one.left < box.right && box.top < one.bottom && one.top < box.bottom);
      if (!other) break;
      tag.style.top = `calc(${tag.style.top} + ${Math.ceil(other.bottom - box.top) + 2}px)`;
    }
    taken.push(tag.getBoundingClientRect());
  }
}

function describe() {
  const shown = page.found.filter((one) => one.shown);
  const list = shown.map((one) => `${one.name} ${percent(one.share)}`).join(", ");
  byId("tint").setAttribute("aria-label", list ? `Tinted: ${list}` : "Nothing is tinted");
  for (const button of byId("downloads").children) button.disabled = !shown.length;
  const names = encodeURIComponent(shown.map((one) => one.name).join(",")).replaceAll("%2C", ",");
  byId("command").textContent = `curl -F file=@photo.jpg '${new URL("v1/segment", document.baseURI)}?format=json&classes=${names}'`;
}

function draw() {
  drawTint();
  drawNames();
  describe();
}

async function drawPhoto(file, { width, height }) {
  const scale = Math.min(1, MAX_SIDE / Math.max(width, height));
  for (const canvas of [byId("photo"), byId("tint")]) {
    canvas.width = Math.max(1, Math.round(width * scale));
    canvas.height = Math.max(1, Math.round(height * scale));
  }
  const canvas = byId("photo"), context = canvas.getContext("2d");
  try {
    const bitmap = await createImageBitmap(file);
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
    return true;
  } catch {
    context.fillStyle = "#8a8a8a";
    context.fillRect(0, 0, canvas.width, canvas.height);
    return false;
  }
}

function compare(value) {
  const share = Math.min(100, Math.max(0, value));
  byId("compare").value = share;
  byId("tinted").style.clipPath = `inset(0 0 0 ${share}%)`;
  byId("divider").style.left = `${share}%`;
  byId("divider").classList.toggle("at-rest", share === 0 || share === 100);
}

// ---- The list of classes

function listClasses() {
  const rows = page.found.map((one) => {
    const row = document.createElement("li"), label = document.createElement("label"), box = document.createElement("input");
    Object.assign(box, { type: "checkbox", checked: one.shown });
    box.addEventListener("change", () => {
      one.shown = box.checked;
      draw();
    });
    const [name, share] = ["name", "share"].map((kind) => Object.assign(document.createElement("span"), { className: kind }));
    name.textContent = one.name;
    share.textContent = percent(one.share);
    label.append(box, chip(one.color), name, share);
    row.append(label);
    return row;
  });
  if (!rows.length) {
    rows.push(Object.assign(document.createElement("li"), { className: "empty", textContent: "None was found in this photo." }));
  }
  byId("classes").replaceChildren(...rows);
}

function chip([r, g, b]) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 10 10");
  svg.setAttribute("aria-hidden", "true");
  const dot = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  for (const [key, value] of Object.entries({ cx: 5, cy: 5, r: 5, fill: `rgb(${r} ${g} ${b})` })) dot.setAttribute(key, value);
  svg.append(dot);
  return svg;
}

function showAll(shown) {
  for (const one of page.found) one.shown = shown;
  listClasses();
  draw();
}

// ---- A photo

function refusal(file) {
  if (file.type && !file.type.startsWith("image/")) {
    return `${file.name} is not a photo. Choose a JPEG, PNG, WebP, AVIF, BMP, GIF or TIFF file.`;
  }
  if (page.limits && file.size > page.limits.max_bytes) {
    return `${file.name} is larger than ${Math.floor(page.limits.max_bytes / 1e6)} MB, which is the most that this server takes.`;
  }
  return "";
}

async function open(file) {
  // A photo that is on its way would show its result below the refusal of this one.
  page.request?.abort();
  const reason = refusal(file);
  fail(reason);
  if (reason) return;
  const request = (page.request = new AbortController());
  const started = performance.now();
  say("Looking for garments …", true);
  try {
    if (!page.classes.length) await learn();
    const response = await post("v1/segment?format=labels&classes=all", file, request.signal);
    const labels = await readLabels(await response.arrayBuffer());
    const isShown = await drawPhoto(file, labels);
    if (page.request !== request) return;
    Object.assign(page, { file, labels, found: findClasses(labels) });
    byId("start").hidden = true;
    byId("result").hidden = false;
    listClasses();
    compare(0);
    draw();
    const garments = page.found.filter((one) => one.kind === "garment").length;
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    const found = garments === 0 ? "No garments found" : `${garments} ${garments === 1 ? "kind" : "kinds"} of garments found`;
    say(`${found} in ${seconds} s.` + (isShown ? "" : " This browser cannot show the photo itself."));
    byId("result-title").focus({ preventScroll: true });
  } catch (error) {
    if (error.name !== "AbortError") fail(error.message);
  }
}

async function openSample() {
  say("Looking for garments …", true);
  try {
    const content = await (await ask("sample.jpg")).blob();
    await open(new File([content], "sample.jpg", { type: "image/jpeg" }));
  } catch (error) {
    fail(error.message);
  }
}

// ---- Downloads

const DOWNLOADS = {
  mask: { suffix: ".mask.png", path: (names) => `v1/masks/${names}` },
  cutout: { suffix: ".cutout.png", path: (names) => `v1/cutouts/${names}` },
  svg: { suffix: ".svg", path: (names) => `v1/segment?format=svg&classes=${names}` },
  json: { suffix: ".json", path: (names) => `v1/segment?format=json&classes=${names}` },
};

async function download(button) {
  const { suffix, path } = DOWNLOADS[button.dataset.download];
  const names = encodeURIComponent(page.found.filter((one) => one.shown).map((one) => one.name).join(","));
  const stem = page.file.name.replace(/\.[^.]*$/, "") || "photo";
  button.disabled = true;
  fail("");
  say("Making the file …", true);
  try {
    const content = await (await post(path(names), page.file)).blob();
    const link = document.createElement("a");
    link.href = URL.createObjectURL(content);
    link.download = stem + suffix;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    say(`${link.download} is downloaded.`);
  } catch (error) {
    fail(error.message);
  } finally {
    describe();
    button.focus();
  }
}

// ---- What people do

function onDrag(event, isOver) {
  if (![...(event.dataTransfer?.types ?? [])].includes("Files")) return;
  event.preventDefault();
  document.body.classList.toggle("dropping", isOver);
}

for (const button of document.querySelectorAll("[data-choose]")) {
  button.addEventListener("click", () => byId("file").click());
}
byId("file").addEventListener("change", ({ target }) => {
  if (target.files[0]) open(target.files[0]);
  target.value = ""; // the same file may be chosen again
});
byId("sample").addEventListener("click", openSample);
byId("all").addEventListener("click", () => showAll(true));
byId("none").addEventListener("click", () => showAll(false));
byId("choice").addEventListener("submit", (event) => event.preventDefault());
byId("compare").addEventListener("input", ({ target }) => compare(Number(target.value)));
byId("downloads").addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (button) download(button);
});

addEventListener("dragover", (event) => onDrag(event, true));
addEventListener("dragleave", (event) => onDrag(event, event.relatedTarget !== null));
addEventListener("drop", (event) => {
  onDrag(event, false);
  if (event.dataTransfer?.files[0]) open(event.dataTransfer.files[0]);
});
addEventListener("paste", ({ clipboardData }) => {
  const file = clipboardData?.files[0];
  if (file) open(file);
  else if (clipboardData) fail("There is no photo in what was pasted.");
});
addEventListener("resize", () => page.labels && !byId("result").hidden && drawNames());

const picture = byId("picture");
const comparePointer = (event) => {
  const box = picture.getBoundingClientRect();
  compare(((event.clientX - box.left) / box.width) * 100);
};
picture.addEventListener("pointerdown", (event) => {
  picture.setPointerCapture(event.pointerId);
  comparePointer(event);
});
picture.addEventListener("pointermove", (event) => picture.hasPointerCapture(event.pointerId) && comparePointer(event));

learn().catch((error) => fail(error.message));
