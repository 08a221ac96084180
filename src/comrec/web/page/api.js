// The server: one desk for this page, its jobs as they change, and requests.

/** What the server refused, in its words. */
export class Refused extends Error {}

async function answer(response) {
  if (response.ok) return response;
  const body = await response.text();
  try {
    throw new Refused(JSON.parse(body).error);
  } catch (error) {
    throw error instanceof Refused ? error : new Refused(body.trim() || response.statusText);
  }
}

async function post(path, body) {
  return answer(await fetch(path, { method: "POST", body }));
}

export async function catalogue() {
  return (await answer(await fetch("/api/catalogue"))).json();
}

/** The photographs that the server was started with, as files. */
export function given(names) {
  return Promise.all(
    names.map(async (name, index) => {
      const response = await answer(await fetch(`/api/photos/${index}`));
      return new File([await response.blob()], name);
    }),
  );
}

/** What this page has on the server. Fires "job" with each change of a job, and "lost". */
export class Desk extends EventTarget {
  static async open() {
    const { desk } = await (await post("/api/desks")).json();
    return new Desk(`/api/desks/${desk}`);
  }

  constructor(path) {
    super();
    this.path = path;
    this.jobs = new Map();
    this.waiting = new Map();
    this.events = new EventSource(`${path}/events`);
    this.events.onmessage = ({ data }) => this.#told(JSON.parse(data));
    this.events.onerror = () => this.dispatchEvent(new Event("lost"));
  }

  #told(job) {
    this.jobs.set(job.job, job);
    this.dispatchEvent(new CustomEvent("job", { detail: job }));
    if (["done", "failed", "cancelled"].includes(job.state)) {
      this.waiting.get(job.job)?.(job);
      this.waiting.delete(job.job);
    }
  }

  /** The server forgets everything of this page. */
  close() {
    this.events.close();
    navigator.sendBeacon(`${this.path}/close`);
  }

  async upload(file) {
    const headers = { "X-Name": encodeURIComponent(file.name) };
    const sent = await fetch(`${this.path}/photos`, { method: "POST", body: file, headers });
    return (await answer(sent)).json();
  }

  async removePhoto(photo) {
    await answer(await fetch(`${this.path}/photos/${photo}`, { method: "DELETE" }));
  }

  /** Start a job; its number. */
  async start(kind, given) {
    const job = await (await post(`${this.path}/jobs`, JSON.stringify({ kind, ...given }))).json();
    if (!this.jobs.has(job.job)) this.#told(job);
    return job.job;
  }

  /** How a job ended. */
  ended(number) {
    const job = this.jobs.get(number);
    if (job && ["done", "failed", "cancelled"].includes(job.state)) return Promise.resolve(job);
    return new Promise((resolve) => this.waiting.set(number, resolve));
  }

  /** Cancel a job, or forget what it made. */
  async remove(number) {
    const job = this.jobs.get(number);
    const response = await fetch(`${this.path}/jobs/${number}`, { method: "DELETE" });
    if (response.status !== 404) await answer(response);
    if (job && job.state !== "working" && job.state !== "waiting") this.jobs.delete(number);
  }

  /** A part of a photograph encoded: {blob, bpp}; null where a later one takes its place. */
  async preview(given) {
    const response = await post(`${this.path}/preview`, JSON.stringify(given));
    if (response.status === 204) return null;
    return { blob: await response.blob(), bpp: Number(response.headers.get("X-Bpp")) };
  }

  file(number) {
    return `${this.path}/jobs/${number}/file`;
  }

  archive(numbers) {
    return `${this.path}/files.zip?jobs=${numbers.join(",")}`;
  }

  /** The address of a part of what a job made. `more`: less, under or percent. */
  view(number, box, more = {}) {
    return `${this.path}/jobs/${number}/view?${new URLSearchParams({ ...box, ...more })}`;
  }
}
