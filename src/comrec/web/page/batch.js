// All photographs with one codec: two at a time, so that many need little room on the server.

import { byId, count, fixed, make } from "./dom.js";
import { text } from "./text.js";

const AT_ONCE = 2;

export class Batch {
  /** `upload(photo)` gives its number; `release(photo)` lets the server forget what nobody sees. */
  constructor(desk, upload, release) {
    Object.assign(this, { desk, upload, release, running: new Set(), run: 0 });
    byId("batch-cancel").onclick = () => this.cancel();
  }

  /** Encode all with one request. */
  async start(photos, request) {
    this.cancel();
    const run = (this.run += 1);
    const waiting = [...photos];
    Object.assign(this, { total: photos.length, made: [], failed: [], before: 0, after: 0 });
    byId("batch-failures").replaceChildren();
    byId("batch-cancel").hidden = false;
    this.#show();
    const work = async () => {
      while (waiting.length && run === this.run) await this.#one(waiting.shift(), request, run);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    if (run === this.run) this.#finish(this.#totals());
  }

  cancel() {
    if (byId("batch-cancel").hidden) return;
    this.run += 1;
    for (const job of this.running) this.desk.remove(job).catch(() => {});
    this.#finish(text("batchCancelled", { totals: this.#totals() }));
  }

  async #one(photo, request, run) {
    try {
      const number = await this.upload(photo);
      if (run !== this.run) return;
      const job = await this.desk.start("encode", { photo: number, settings: request, many: true });
      this.running.add(job);
      const ended = await this.desk.ended(job);
      this.running.delete(job);
      if (run !== this.run) return;
      if (ended.state === "failed") throw new Error(ended.error);
      if (ended.state === "done") {
        this.made.push(job);
        this.before += photo.file.size;
        this.after += ended.bytes;
      }
    } catch (error) {
      if (run !== this.run) return;
      this.failed.push(photo);
      byId("batch-failures").append(make("li", { textContent: error.message }));
    } finally {
      await this.release(photo);
    }
    this.#show();
  }

  #totals() {
    const percent = this.before ? fixed((100 * this.after) / this.before, 1) : "0";
    const [before, after] = [count(this.before), count(this.after)];
    const done = text("batchTotals", { done: this.made.length, before, after, percent });
    if (!this.failed.length) return done;
    return `${done} · ${text("batchFailures", { count: this.failed.length })}`;
  }

  #show() {
    const done = this.made.length + this.failed.length;
    const bar = byId("batch-bar");
    bar.max = this.total;
    bar.value = done;
    bar.hidden = false;
    byId("batch-state").textContent =
      `${text("batchProgress", { done, count: this.total })} · ${this.#totals()}`;
  }

  #finish(words) {
    byId("batch-cancel").hidden = true;
    byId("batch-state").textContent = words;
    byId("batch-save").hidden = !this.made.length;
    byId("batch-save").href = this.desk.archive(this.made);
  }
}
