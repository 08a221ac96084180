// The numbers of a result, the table of all results of a photograph, and its plot.

import { byId, count, fixed, make } from "./dom.js";
import { plot } from "./plot.js";
import { text } from "./text.js";

const DIGITS = { psnr: 2, ms_ssim: 4, ssimulacra2: 1 };

/** A metric of a job, in words; "…" while it is measured. */
function shown(job, name) {
  if (typeof job[name] === "number") {
    const value = fixed(job[name], DIGITS[name]);
    return name === "psnr" ? text("psnrValue", { value }) : value;
  }
  if (name === "psnr" && job.exact) return text("exact");
  if (name in job) return text("tooSmall");
  return job.state === "working" || job.state === "waiting" ? text("pending") : "–";
}

const exact = (job, name) => (typeof job[name] === "number" ? String(job[name]) : "");

/** Show the numbers of a job; null for none. `original`: bytes of the photograph's file. */
export function numbers(job, original) {
  byId("no-result").hidden = Boolean(job);
  byId("numbers").hidden = byId("take").hidden = !job;
  if (!job) return;
  const put = (id, words, value = "") => {
    byId(id).textContent = words;
    byId(id).value = value;
  };
  put("n-bytes", text("bytesValue", { bytes: count(job.bytes) }), String(job.bytes));
  const percent = fixed((100 * job.bytes) / original, 1);
  byId("n-share").textContent = text("ofOriginal", { percent });
  put("n-bpp", fixed(job.bpp, 3), String(job.bpp));
  for (const name of ["psnr", "ms_ssim", "ssimulacra2"]) {
    put(`n-${name}`, shown(job, name), exact(job, name));
  }
  put("n-quality", String(Number(fixed(job.quality, 2))), String(job.quality));
  const seconds = { encode: fixed(job.encode_s, 2), decode: "…" };
  if ("decode_s" in job) seconds.decode = fixed(job.decode_s, 2);
  byId("n-seconds").textContent = text("secondsValue", seconds);
  byId("n-shown").textContent = job.shown;
  byId("command").value = job.command;
  byId("download").download = job.name;
}

/** The table of results. `on`: {show, remove, address}. */
export function table(body, jobs, chosen, on) {
  const focused = document.activeElement?.dataset?.key;
  body.replaceChildren(
    ...jobs.map((job) => {
      const facts = { codec: job.codec, bytes: count(job.bytes), name: job.name };
      const choose = make("button", {
        type: "button",
        className: "link",
        textContent: job.codec,
        onclick: () => on.show(job),
      });
      choose.setAttribute("aria-label", text("triesShow", facts));
      choose.setAttribute("aria-pressed", job.job === chosen);
      choose.dataset.key = `show-${job.job}`;
      const save = make("a", { href: on.address(job), textContent: text("triesDownload") });
      save.download = job.name;
      save.setAttribute("aria-label", text("triesDownloadOne", facts));
      save.dataset.key = `save-${job.job}`;
      const remove = make("button", {
        type: "button",
        className: "quiet",
        textContent: text("triesRemove"),
        onclick: () => on.remove(job),
      });
      remove.setAttribute("aria-label", text("triesRemoveOne", facts));
      remove.dataset.key = `remove-${job.job}`;
      const cells = [
        Number(fixed(job.quality, 2)),
        count(job.bytes),
        fixed(job.bpp, 3),
        shown(job, "psnr"),
        shown(job, "ms_ssim"),
        shown(job, "ssimulacra2"),
      ];
      const row = make(
        "tr",
        { className: job.job === chosen ? "chosen" : "" },
        make("th", { scope: "row" }, choose),
        ...cells.map((words) => make("td", { textContent: words })),
        make("td", { className: "actions" }, save, remove),
      );
      return row;
    }),
  );
  if (focused) body.querySelector(`[data-key="${focused}"]`)?.focus();
}

/** The plot of results and its legend. */
export function curves(jobs, chosen) {
  const codecs = plot(byId("plot"), jobs, byId("plot-metric").value, chosen);
  byId("legend").replaceChildren(
    ...codecs.map((codec, index) =>
      make("li", { className: `colour-${index % 8}`, textContent: codec }),
    ),
  );
}
