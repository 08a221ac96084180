// A rate-distortion plot of the results so far, as SVG.

import { fixed } from "./dom.js";
import { text } from "./text.js";

const WIDTH = 460;
const HEIGHT = 260;
const EDGE = { left: 46, right: 12, top: 10, bottom: 34 };

function draw(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Round numbers that span a range, about so many. */
function ticks(low, high, about) {
  const rough = (high - low) / about;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const found = [];
  for (let n = Math.floor(low / step); n <= Math.ceil(high / step); n += 1) found.push(n * step);
  return { found, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
}

/** Replace the plot in a <svg>. `results`: with codec, bpp and the metric. Returns the codecs. */
export function plot(svg, results, metric, chosen) {
  const points = results.filter((one) => typeof one[metric] === "number");
  const codecs = [...new Set(points.map((one) => one.codec))];
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.replaceChildren();
  const label = text("plotDescription", {
    metric: text(metric),
    points: points.length,
    codecs: codecs.length,
  });
  svg.setAttribute("aria-label", points.length ? label : text("plotEmpty"));
  if (!points.length) {
    const middle = { x: WIDTH / 2, y: HEIGHT / 2, "text-anchor": "middle" };
    svg.append(draw("text", middle, text("plotEmpty")));
    return codecs;
  }
  const rates = points.map((one) => one.bpp);
  const values = points.map((one) => one[metric]);
  const across = ticks(0, Math.max(...rates) * 1.05, 5);
  const spread = Math.max(...values) - Math.min(...values) || Math.abs(values[0]) * 0.1 || 1;
  const up = ticks(Math.min(...values) - spread * 0.1, Math.max(...values) + spread * 0.1, 4);
  const [low, high] = [up.found[0], up.found.at(-1)];
  const most = across.found.at(-1);
  const x = (rate) => EDGE.left + (rate / most) * (WIDTH - EDGE.left - EDGE.right);
  const y = (value) =>
    HEIGHT - EDGE.bottom - ((value - low) / (high - low)) * (HEIGHT - EDGE.top - EDGE.bottom);
  for (const value of up.found) {
    const line = { x1: EDGE.left, x2: WIDTH - EDGE.right, y1: y(value), y2: y(value) };
    const place = { x: EDGE.left - 6, y: y(value) + 4, "text-anchor": "end" };
    svg.append(draw("line", { class: "tick", ...line }));
    svg.append(draw("text", place, fixed(value, up.digits)));
  }
  for (const rate of across.found) {
    const place = { x: x(rate), y: HEIGHT - EDGE.bottom + 15, "text-anchor": "middle" };
    svg.append(draw("text", place, fixed(rate, across.digits)));
  }
  const below = { x: WIDTH - EDGE.right, y: HEIGHT - 4, "text-anchor": "end" };
  svg.append(draw("text", { class: "axis", ...below }, text("bpp")));
  codecs.forEach((codec, index) => {
    const line = points.filter((one) => one.codec === codec).sort((a, b) => a.bpp - b.bpp);
    const colour = `colour-${index % 8}`;
    const path = line.map((one) => `${x(one.bpp).toFixed(1)},${y(one[metric]).toFixed(1)}`);
    svg.append(draw("polyline", { class: `curve ${colour}`, points: path.join(" ") }));
    for (const one of line) {
      const r = one.job === chosen ? 5.5 : 3.5;
      const dot = draw("circle", { class: `dot ${colour}`, cx: x(one.bpp), cy: y(one[metric]), r });
      const title = `${codec}: ${fixed(one.bpp, 3)} bpp, ${fixed(one[metric], 3)}`;
      dot.append(draw("title", {}, title));
      svg.append(dot);
    }
  });
  return codecs;
}
