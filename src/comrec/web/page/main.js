// The page: photographs, their results, and what is shown of them.

import { catalogue, Desk, given } from "./api.js";
import { Batch } from "./batch.js";
import { byId, count, fixed, make, settled } from "./dom.js";
import { listen } from "./files.js";
import { curves, numbers, table } from "./results.js";
import { Settings } from "./settings.js";
import { fill, text } from "./text.js";
import { Viewer } from "./viewer.js";

const THUMBNAILS = 60; // of the first photographs
const VIEWS = ["result", "plain", "difference", "importance"];

fill(document);
const offered = await catalogue();
const desk = await Desk.open();
const settings = new Settings(offered);
const viewer = new Viewer(byId("stage"), byId("canvas"), byId("divider"), address);
const batch = new Batch(desk, uploaded, release);

let photos = []; // {file, number, open, size, results, shown}
let current = null;
let view = "result";

// messages

function say(message) {
  byId("message").hidden = !message;
  byId("message-text").textContent = message ?? "";
}
byId("message-close").onclick = () => say(null);

/** Run something, and tell what the server refuses. */
async function tried(run) {
  try {
    return await run();
  } catch (error) {
    say(error.message);
    return undefined;
  }
}

desk.addEventListener("lost", () => say(text("lost")));
desk.events.onopen = () => {
  if (byId("message-text").textContent === text("lost")) say(null);
};
addEventListener("pagehide", () => desk.close());
addEventListener("pageshow", (event) => event.persisted && location.reload());

// photographs

listen((files) => tried(() => add(files)));

async function add(files) {
  if (!files.length) return;
  const first = photos.length;
  for (const file of files) photos.push({ file, results: [], shown: null });
  byId("empty").hidden = true;
  byId("work").hidden = false;
  film();
  await select(photos[first]);
}

/** The number of a photograph, which is uploaded if it has not been. */
async function uploaded(photo) {
  if (photo.number) return photo.number;
  if (photo.file.size > offered.upload) {
    const most = offered.upload / 2 ** 20;
    throw new Error(text("tooLarge", { name: photo.file.name, most }));
  }
  photo.uploading ??= desk.upload(photo.file);
  try {
    photo.number = (await photo.uploading).photo;
  } finally {
    photo.uploading = null;
  }
  return photo.number;
}

/** Let the server forget a photograph that was not looked at. */
async function release(photo) {
  if (!photo.number || photo.open || photo === current) return;
  const { number } = photo;
  photo.number = null;
  await desk.removePhoto(number).catch(() => {});
}

function film() {
  const strip = byId("film");
  byId("photographs").hidden = photos.length < 2;
  byId("batch").hidden = photos.length < 2;
  byId("batch-start").textContent = text("batchStart", { count: photos.length });
  strip.replaceChildren(
    ...photos.map((photo, index) => {
      const { name } = photo.file;
      const choose = make("button", { type: "button", title: name, onclick: () => select(photo) });
      choose.setAttribute("aria-pressed", photo === current);
      if (index < THUMBNAILS) {
        photo.thumbnail ??= URL.createObjectURL(photo.file);
        const image = make("img", { src: photo.thumbnail, alt: "", loading: "lazy" });
        image.onerror = () => image.remove();
        choose.append(image);
      }
      choose.append(make("span", { textContent: name }));
      const close = make("button", { type: "button", className: "quiet close", textContent: "×" });
      close.setAttribute("aria-label", text("removePhoto", { name }));
      close.onclick = () => tried(() => remove(photo));
      return make("li", {}, choose, close);
    }),
  );
}

async function remove(photo) {
  const at = photos.indexOf(photo);
  photos = photos.filter((one) => one !== photo);
  if (photo.thumbnail) URL.revokeObjectURL(photo.thumbnail);
  if (photo === current) await select(photos[Math.min(at, photos.length - 1)] ?? null);
  else film();
  for (const job of photo.results) await desk.remove(job);
  if (photo.number) await desk.removePhoto(photo.number);
}

async function select(photo) {
  const before = current;
  current = photo;
  if (before && before !== photo) for (const job of before.results) abandon(job);
  viewer.open(photo?.size ?? null);
  film();
  byId("empty").hidden = Boolean(photo);
  byId("work").hidden = !photo;
  document.title = photo ? `${photo.file.name} – ${text("title")}` : text("title");
  if (!photo) return;
  byId("name").textContent = photo.file.name;
  show();
  await tried(async () => {
    if (!photo.open) await read(photo);
    else if (!photo.results.length) await encode();
  });
}

/** Let the server read a photograph, with the conversions that are set, and encode it. */
async function read(photo) {
  status(text("uploading", { name: photo.file.name }), null);
  try {
    const number = await uploaded(photo);
    const job = await desk.start("open", { photo: number, conversions: settings.converted });
    photo.opening = job;
    const ended = await desk.ended(job);
    if (photo.opening !== job) return;
    if (ended.state === "failed") {
      settings.openConversions();
      throw new Error(ended.error);
    }
    if (ended.state !== "done") return;
    photo.open = job;
    photo.importance = null;
    photo.size = { width: ended.width, height: ended.height };
    if (ended.notes.length) say(ended.notes.join("; "));
    if (photo !== current) return;
    viewer.open(photo.size);
  } finally {
    status(null);
  }
  show();
  await encode();
}

settings.addEventListener("conversions", () =>
  tried(async () => {
    const photo = current;
    if (!photo) return;
    say(null);
    const old = photo.results;
    photo.results = [];
    photo.shown = photo.open = null;
    for (const job of old) await desk.remove(job);
    await read(photo);
  }),
);

// encoding

const PREVIEW = 512; // pixels along each side, at most
const PREVIEW_NETWORKS = 256;
let sliding = false;
let again = false;

const soon = settled(250, () => tried(encode));
let finals = 0; // files asked for so far: previews from before are late

settings.addEventListener("change", () => {
  finals += 1;
  again = false;
  soon();
});
settings.addEventListener("slide", () => {
  soon.cancel();
  preview();
});

/** Cancel a job that nobody waits for any more. */
function abandon(number) {
  const job = desk.jobs.get(number);
  if (job && (job.state === "waiting" || job.state === "working")) desk.remove(number).catch(() => {});
}

/** Whether a job is, or will be, what was asked for. */
const whole = (job) => job && job.state !== "failed" && job.state !== "cancelled";

async function encode() {
  soon.cancel();
  const photo = current;
  const requests = settings.requests;
  if (!photo?.open || !requests) return;
  say(null);
  const keys = requests.map((request) => JSON.stringify(request));
  const kept = photo.results.filter((job) => keys.includes(photo.keys?.[job]));
  for (const job of photo.results) if (!kept.includes(job)) abandon(job);
  photo.keys ??= {};
  photo.asked = [];
  for (const [index, key] of keys.entries()) {
    const made = kept.find((job) => photo.keys[job] === key && whole(desk.jobs.get(job)));
    const given = { photo: photo.number, settings: requests[index] };
    const job = made ?? (await desk.start("encode", given));
    if (!made) photo.results.push(job);
    photo.keys[job] = key;
    photo.asked.push(job);
  }
  photo.wanted = photo.asked[0];
  for (const job of photo.asked) told(desk.jobs.get(job)); // some may be done already
}

/** Encode a part of what is visible; the last place of the slider counts. */
async function preview() {
  again = true;
  if (sliding || !current?.open) return;
  sliding = true;
  try {
    while (again) {
      again = false;
      await previewOnce(current);
    }
  } catch (error) {
    say(error.message);
  } finally {
    sliding = false;
  }
}

async function previewOnce(photo) {
  const side = settings.main.networks ? PREVIEW_NETWORKS : PREVIEW;
  const seen = viewer.visible();
  const [width, height] = [Math.min(side, seen.width), Math.min(side, seen.height)];
  const box = {
    left: seen.left + Math.floor((seen.width - width) / 2),
    top: seen.top + Math.floor((seen.height - height) / 2),
    width,
    height,
  };
  const [request] = settings.requests ?? [];
  if (!request || !width || !height) return;
  delete request.region;
  delete request.strength;
  const asked = finals;
  const found = await desk.preview({ photo: photo.number, settings: request, ...box });
  if (!found) return;
  const image = await createImageBitmap(found.blob);
  if (photo !== current || asked !== finals) return;
  if (view !== "result") choose("result");
  viewer.setPreview({ image, box });
  byId("stage").dataset.preview = fixed(found.bpp, 4);
  sides();
}

// progress

function status(words, job = null, share = undefined) {
  byId("status").hidden = !words;
  byId("status-text").textContent = words ?? "";
  byId("status-cancel").hidden = job === null;
  byId("status-cancel").onclick = () => job !== null && tried(() => desk.remove(job));
  if (share === undefined) byId("status-bar").removeAttribute("value");
  else byId("status-bar").value = share;
}

const PHASES = ["reading", "encoding", "decoding", "psnr", "ssimulacra2", "ms_ssim"];

/** What is being done for the photograph that is shown. */
function progress() {
  const numbered = [...(current?.results ?? []), ...Object.values(current?.layers ?? {})];
  const running = [...numbered, current?.importance, current?.prefixes]
    .map((number) => desk.jobs.get(number))
    .filter((job) => job && (job.state === "working" || job.state === "waiting"));
  if (!running.length) {
    if (current?.open) status(null);
    return;
  }
  const job = running.find((one) => one.state === "working") ?? running[0];
  let phase = job.phase && job.state === "working" ? text(`phase_${job.phase}`) : text("waiting");
  if (job.step && job.phase === "encoding") phase += `, ${job.step}`;
  const at = PHASES.indexOf(job.phase);
  const share = job.kind === "encode" && at >= 0 ? (at + 0.5) / PHASES.length : undefined;
  const what = job.codec ?? current.file.name;
  status(text("working", { what, phase }), job.job, share);
}

desk.addEventListener("job", ({ detail }) => told(detail));

function told(job) {
  if (!current) return;
  if (job.state === "failed" && job.kind !== "open" && mine(job)) say(job.error);
  if (job.kind === "encode" && current.results.includes(job.job)) {
    const lost = job.state === "failed" || job.state === "cancelled";
    if (lost && !("seen" in job)) {
      current.results = current.results.filter((number) => number !== job.job);
    }
    if (job.seen && job.job === current.wanted && current.shown !== job.job) {
      current.shown = job.job;
      current.wanted = null;
      viewer.setPreview(null);
      delete byId("stage").dataset.preview;
    }
  }
  if (mine(job)) show();
}

const mine = (job) => current && job.photo === current.number;

// what is shown

function results() {
  return (current?.results ?? [])
    .map((number) => desk.jobs.get(number))
    .filter((job) => job && "bytes" in job && job.state !== "failed");
}

/** The address of a part of a layer: {job, more}. */
function address(layer, box) {
  return desk.view(layer.job, box, layer.more);
}

const layers = new Map();

/** One object for each layer, so that equal ones are one. */
function layer(job, more = {}) {
  const key = JSON.stringify([job, more]);
  if (!layers.has(key)) layers.set(key, { job, more });
  return layers.get(key);
}

/** The job of a kind that belongs to a result, started where there is none. */
function wantedLayer(kind, of) {
  current.layers ??= {};
  const key = `${kind}-${of}`;
  if (!(key in current.layers)) {
    const photo = current;
    photo.layers[key] = null;
    tried(async () => {
      photo.layers[key] = await desk.start(kind, { of });
      show();
    });
  }
  return desk.jobs.get(current.layers[key]);
}

function importance() {
  const region = settings.region ?? "auto";
  if (current.importanceOf !== region) {
    const photo = current;
    photo.importanceOf = region;
    photo.importance = null;
    tried(async () => {
      photo.importance = await desk.start("importance", { photo: photo.number, region });
      show();
    });
  }
  return desk.jobs.get(current.importance);
}

/** The layer on the right; null while it is made. */
function right() {
  const shown = desk.jobs.get(current.shown);
  if (view === "importance") {
    const map = importance();
    return map?.state === "done" ? layer(current.open, { under: map.job }) : null;
  }
  if (!shown?.seen) return null;
  if (view === "difference") return layer(shown.job, { less: current.open });
  if (view === "plain" && shown.marked) {
    const plain = wantedLayer("plain", shown.job);
    return plain?.state === "done" ? layer(plain.job) : null;
  }
  if (view.startsWith("prefix-")) {
    return layer(current.prefixes, { percent: view.slice("prefix-".length) });
  }
  return layer(shown.job);
}

function show() {
  if (!current) return;
  const shown = desk.jobs.get(current.shown);
  byId("view-plain").disabled = !(shown?.seen && shown.marked);
  byId("view-difference").disabled = !shown?.seen;
  if (current.open) viewer.show(layer(current.open), right());
  const facts = shown && "bytes" in shown ? shown : null;
  numbers(facts, current.file.size);
  if (facts) byId("download").href = desk.file(facts.job);
  const found = results();
  byId("tries").hidden = !found.length;
  table(byId("tries-body"), found, current.shown, {
    show: reveal,
    remove: (job) => tried(() => forget(job)),
    address: (job) => desk.file(job.job),
  });
  curves(found, current.shown);
  strip(shown);
  sides();
  progress();
}

function sides() {
  const shown = desk.jobs.get(current?.shown);
  byId("side-left").textContent = text("sideOriginal");
  let words = text("sideWaiting");
  if (viewer.preview) words = `${text("sidePreview")} · ${settings.main.id}`;
  else if (view === "importance") words = text("viewImportance");
  else if (shown?.seen) {
    words = `${shown.codec} · ${count(shown.bytes)} B`;
    if (view === "difference") words = `${text("viewDifference")} · ${shown.codec}`;
    if (view.startsWith("prefix-")) {
      const percent = view.slice("prefix-".length);
      words = `${shown.codec} · ${text("prefix", { percent })}`;
    }
    if (view === "plain" && shown.marked) {
      words = text("viewPlain");
      const plain = desk.jobs.get(current.layers?.[`plain-${shown.job}`]);
      const [width, height] = plain?.stored ?? [current.size.width, current.size.height];
      if (width !== current.size.width || height !== current.size.height) {
        words += ` · ${text("half", { width, height })}`;
      }
    }
  }
  byId("side-right").textContent = words;
  byId("side-right").hidden = viewer.blink;
  byId("zoom").textContent = `${fixed(100 * viewer.zoom * devicePixelRatio, 0)} %`;
}
viewer.addEventListener("move", sides);
viewer.addEventListener("divide", sides);

function reveal(job) {
  current.shown = job.job;
  current.wanted = null;
  viewer.setPreview(null);
  if (view.startsWith("prefix-")) view = "result";
  choose(view);
}

async function forget(job) {
  current.results = current.results.filter((number) => number !== job.job);
  if (current.shown === job.job) current.shown = current.results.at(-1) ?? null;
  await desk.remove(job.job);
  show();
}

function choose(name) {
  if (byId(`view-${name}`)?.disabled) return;
  view = name;
  for (const each of VIEWS) byId(`view-${each}`).setAttribute("aria-pressed", each === name);
  if (name !== "result") viewer.setPreview(null);
  show();
}
for (const name of VIEWS) byId(`view-${name}`).onclick = () => choose(name);

// prefixes

byId("show-prefixes").onclick = () =>
  tried(async () => {
    const photo = current;
    photo.prefixes = await desk.start("prefixes", { of: photo.shown });
    photo.prefixesOf = photo.shown;
    show();
  });

function strip(shown) {
  const progressive = Boolean(shown?.seen && shown.progressive);
  const known = progressive && current.prefixesOf === current.shown;
  byId("prefixes").hidden = !progressive;
  byId("show-prefixes").hidden = known;
  const found = known ? (desk.jobs.get(current.prefixes)?.prefixes ?? []) : [];
  const { width, height } = current.size ?? { width: 1, height: 1 };
  const down = Math.max(1, Math.round((160 * height) / width));
  const box = { left: 0, top: 0, width, height, across: 160, down };
  byId("prefix-strip").replaceChildren(
    ...found.map((prefix) => {
      const { percent } = prefix;
      const choose_ = make("button", { type: "button", disabled: !prefix.seen });
      if (prefix.seen) {
        const source = address(layer(current.prefixes, { percent }), box);
        choose_.append(make("img", { src: source, alt: "", width: 160, height: down }));
      }
      const psnr = typeof prefix.psnr === "number" ? fixed(prefix.psnr, 2) : "∞";
      const facts = { bytes: count(prefix.bytes), psnr };
      choose_.append(
        make("strong", { textContent: text("prefix", { percent }) }),
        make("span", { textContent: text(prefix.seen ? "prefixFacts" : "prefixShort", facts) }),
      );
      choose_.setAttribute("aria-pressed", view === `prefix-${percent}`);
      choose_.onclick = () => choose(`prefix-${percent}`);
      return make("li", {}, choose_);
    }),
  );
}

// tools and keys

byId("zoom-in").onclick = () => viewer.zoomBy(1.5);
byId("zoom-out").onclick = () => viewer.zoomBy(1 / 1.5);
byId("zoom-fit").onclick = () => viewer.fit();
byId("zoom-one").onclick = () => viewer.zoomOne();
byId("blink").onclick = () => blink(!viewer.blink);
byId("plot-metric").onchange = () => show();
byId("command-copy").onclick = () =>
  tried(async () => {
    await navigator.clipboard.writeText(byId("command").value);
    byId("command-copy").textContent = text("copied");
    setTimeout(() => (byId("command-copy").textContent = text("copy")), 1500);
  });
byId("command").onfocus = () => byId("command").select();
byId("batch-start").onclick = () => {
  const [request] = settings.requests ?? [];
  if (request) tried(() => batch.start(photos, request));
};

function blink(on) {
  viewer.setBlink(on);
  byId("blink").setAttribute("aria-pressed", on);
}

const PAN = 40; // CSS pixels
const KEYS = {
  d: () => choose("difference"),
  o: () => choose("plain"),
  m: () => choose("importance"),
  r: () => choose("result"),
  f: () => viewer.fit(),
  1: () => viewer.zoomOne(),
  "+": () => viewer.zoomBy(1.25),
  "=": () => viewer.zoomBy(1.25),
  "-": () => viewer.zoomBy(1 / 1.25),
  "[": () => viewer.divide(viewer.share - 0.05),
  "]": () => viewer.divide(viewer.share + 0.05),
};
const ARROWS = {
  ArrowLeft: [PAN, 0],
  ArrowRight: [-PAN, 0],
  ArrowUp: [0, PAN],
  ArrowDown: [0, -PAN],
};

/** Keys count in the viewer, and where nothing has the focus. */
function heeded(event) {
  const inside = event.target === document.body || byId("viewer").contains(event.target);
  return inside && current && !event.ctrlKey && !event.metaKey && !event.altKey;
}
addEventListener("keydown", (event) => {
  if (!heeded(event)) return;
  if (event.key === "b" && !event.repeat) blink(true);
  else if (event.key in KEYS) KEYS[event.key]();
  else if (event.key in ARROWS && event.target === byId("stage")) viewer.pan(...ARROWS[event.key]);
  else return;
  event.preventDefault();
});
addEventListener("keyup", (event) => {
  if (event.key === "b" && viewer.blink) blink(false);
});

document.documentElement.dataset.ready = "true";
await tried(async () => add(await given(offered.photos)));
