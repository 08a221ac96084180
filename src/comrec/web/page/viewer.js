// Two layers of one picture on a canvas: the original left of a divider, something else right of it.
// Both have the same zoom and place. A layer is shown from one small version of the whole, and
// from parts at full size where the zoom asks for them.

import { settled } from "./dom.js";

const WHOLE = 1600; // longest side of the small version, pixels
const KEPT = 48; // images
const MOST = 64; // zoom, CSS pixels per pixel

/** Images by address, the last ones kept. */
class Images {
  constructor(changed) {
    this.found = new Map();
    this.changed = changed;
  }

  /** The image where it is there; it is fetched otherwise. */
  get(address) {
    let image = this.found.get(address);
    if (image) {
      this.found.delete(address);
    } else {
      image = new Image();
      image.onload = () => {
        image.ready = true;
        this.changed();
      };
      image.src = address;
    }
    this.found.set(address, image);
    if (this.found.size > KEPT) this.found.delete(this.found.keys().next().value);
    return image.ready ? image : null;
  }
}

/** Fires "move" when zoom or place change, and "divide" when the divider does. */
export class Viewer extends EventTarget {
  /** `address(layer, box)` is that of a part of a layer. */
  constructor(stage, canvas, divider, address) {
    super();
    Object.assign(this, { stage, canvas, divider, address });
    this.size = null; // of the picture
    this.left = null;
    this.right = null;
    this.preview = null; // {image, box}
    this.blink = false;
    this.share = 0.5;
    this.zoom = 1;
    this.centre = [0, 0];
    this.fitted = true;
    this.images = new Images(() => this.draw());
    this.details = [];
    this.refine = settled(120, () => {
      this.details = this.#wanted();
      this.draw();
    });
    new ResizeObserver(() => this.#resized()).observe(stage);
    this.#listen();
  }

  /** Show a picture of another size, or forget it. */
  open(size) {
    this.size = size;
    this.left = this.right = this.preview = null;
    this.details = [];
    if (size) this.fit();
    else this.draw();
  }

  show(left, right) {
    if (right !== this.right) this.preview = null;
    this.left = left;
    this.right = right;
    this.refine();
    this.draw();
  }

  setPreview(preview) {
    this.preview = preview;
    this.draw();
  }

  setBlink(on) {
    this.blink = on;
    this.draw();
    this.dispatchEvent(new Event("divide"));
  }

  divide(share) {
    this.share = Math.min(1, Math.max(0, share));
    this.divider.setAttribute("aria-valuenow", Math.round(this.share * 100));
    this.divider.style.left = `${this.share * 100}%`;
    this.draw();
    this.dispatchEvent(new Event("divide"));
  }

  fit() {
    if (!this.size) return;
    const { clientWidth, clientHeight } = this.stage;
    const scale = Math.min(clientWidth / this.size.width, clientHeight / this.size.height);
    this.zoom = Math.min(scale, 4);
    this.centre = [this.size.width / 2, this.size.height / 2];
    this.fitted = true;
    this.#moved();
  }

  /** Zoom to CSS pixels per pixel; what is at a place of the stage stays there. */
  zoomTo(zoom, at = [this.stage.clientWidth / 2, this.stage.clientHeight / 2]) {
    if (!this.size) return;
    const { clientWidth, clientHeight } = this.stage;
    const away = [at[0] - clientWidth / 2, at[1] - clientHeight / 2];
    const next = Math.min(MOST, Math.max(16 / Math.max(this.size.width, this.size.height), zoom));
    this.centre = this.centre.map((place, i) => place + away[i] / this.zoom - away[i] / next);
    this.zoom = next;
    this.fitted = false;
    this.#moved();
  }

  zoomBy(factor, at) {
    this.zoomTo(this.zoom * factor, at);
  }

  /** One pixel of the picture for one of the screen. */
  zoomOne() {
    this.zoomTo(1 / devicePixelRatio);
  }

  /** Move the picture by CSS pixels. */
  pan(across, down) {
    this.centre = [this.centre[0] - across / this.zoom, this.centre[1] - down / this.zoom];
    this.fitted = false;
    this.#moved();
  }

  /** The visible part of the picture, in whole pixels. */
  visible() {
    const { clientWidth, clientHeight } = this.stage;
    const [x, y] = this.centre;
    const half = [clientWidth / 2 / this.zoom, clientHeight / 2 / this.zoom];
    const left = Math.max(0, Math.floor(x - half[0]));
    const top = Math.max(0, Math.floor(y - half[1]));
    const right = Math.min(this.size.width, Math.ceil(x + half[0]));
    const bottom = Math.min(this.size.height, Math.ceil(y + half[1]));
    return { left, top, width: Math.max(0, right - left), height: Math.max(0, bottom - top) };
  }

  #resized() {
    const { clientWidth, clientHeight } = this.stage;
    this.canvas.width = Math.round(clientWidth * devicePixelRatio);
    this.canvas.height = Math.round(clientHeight * devicePixelRatio);
    if (this.fitted) this.fit();
    else this.#moved();
  }

  #moved() {
    const { width, height } = this.size ?? { width: 0, height: 0 };
    this.centre = [
      Math.min(width, Math.max(0, this.centre[0])),
      Math.min(height, Math.max(0, this.centre[1])),
    ];
    this.refine();
    this.draw();
    this.dispatchEvent(new Event("move"));
  }

  #whole() {
    const { width, height } = this.size;
    const scale = Math.min(1, WHOLE / Math.max(width, height));
    const across = Math.max(1, Math.round(width * scale));
    const down = Math.max(1, Math.round(height * scale));
    return { left: 0, top: 0, width, height, across, down };
  }

  /** The parts to fetch at more than the resolution of the small version. */
  #wanted() {
    if (!this.size) return [];
    const whole = this.#whole();
    const scale = Math.min(1, this.zoom * devicePixelRatio);
    const box = this.visible();
    if (scale <= (whole.across / whole.width) * 1.05 || !box.width || !box.height) return [];
    const across = Math.min(4096, Math.max(1, Math.round(box.width * scale)));
    const down = Math.min(4096, Math.max(1, Math.round(box.height * scale)));
    return [{ ...box, across, down }];
  }

  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    const context = this.canvas.getContext("2d");
    const { width, height } = this.canvas;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    if (!this.size) return;
    const at = this.blink ? width : Math.round(this.share * width);
    this.#side(context, this.left, 0, at);
    this.#side(context, this.right ?? this.left, at, width - at, this.preview);
  }

  #side(context, layer, from, across, preview = null) {
    if (across <= 0) return;
    const scale = this.zoom * devicePixelRatio;
    context.save();
    context.beginPath();
    context.rect(from, 0, across, this.canvas.height);
    context.clip();
    context.imageSmoothingEnabled = scale < 3;
    context.imageSmoothingQuality = "high";
    context.translate(this.canvas.width / 2, this.canvas.height / 2);
    context.scale(scale, scale);
    context.translate(-this.centre[0], -this.centre[1]);
    const put = (image, box) => {
      if (image) context.drawImage(image, box.left, box.top, box.width, box.height);
    };
    if (layer) {
      for (const box of [this.#whole(), ...this.details]) {
        put(this.images.get(this.address(layer, box)), box);
      }
    }
    if (preview) {
      put(preview.image, preview.box);
      context.lineWidth = 1 / scale;
      context.setLineDash([6 / scale, 4 / scale]);
      context.strokeStyle = "#fff";
      const { left, top, width, height } = preview.box;
      context.strokeRect(left, top, width, height);
    }
    context.restore();
  }

  #place(event) {
    const frame = this.stage.getBoundingClientRect();
    return [event.clientX - frame.left, event.clientY - frame.top];
  }

  #listen() {
    const { stage, divider } = this;
    stage.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        this.zoomBy(Math.exp(-event.deltaY * 0.0015), this.#place(event));
      },
      { passive: false },
    );
    stage.addEventListener("dblclick", (event) => {
      if (this.fitted) this.zoomTo(1 / devicePixelRatio, this.#place(event));
      else this.fit();
    });
    const fingers = new Map();
    stage.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      stage.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, this.#place(event));
      stage.classList.add("moving");
    });
    stage.addEventListener("pointermove", (event) => {
      const before = fingers.get(event.pointerId);
      if (!before) return;
      const now = this.#place(event);
      fingers.set(event.pointerId, now);
      const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
      if (other) {
        const apart = (place) => Math.hypot(place[0] - other[0], place[1] - other[1]) || 1;
        this.zoomBy(apart(now) / apart(before), other);
      } else {
        this.pan(now[0] - before[0], now[1] - before[1]);
      }
    });
    const release = (event) => {
      fingers.delete(event.pointerId);
      if (!fingers.size) stage.classList.remove("moving");
    };
    stage.addEventListener("pointerup", release);
    stage.addEventListener("pointercancel", release);

    divider.addEventListener("pointerdown", (event) => {
      event.stopPropagation();
      divider.setPointerCapture(event.pointerId);
    });
    divider.addEventListener("pointermove", (event) => {
      if (divider.hasPointerCapture(event.pointerId)) {
        this.divide(this.#place(event)[0] / stage.clientWidth);
      }
    });
    divider.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: -0.02, ArrowRight: 0.02, PageDown: -0.1, PageUp: 0.1 };
      const ends = { Home: 0, End: 1 };
      if (event.key in steps) this.divide(this.share + steps[event.key]);
      else if (event.key in ends) this.divide(ends[event.key]);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }
}
