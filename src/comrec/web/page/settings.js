// The settings: codecs with their options, quality or target, region, conversions. All controls are
// made from what the server says there is.

import { byId, make } from "./dom.js";
import { text } from "./text.js";

let rows = 0;

/** A control of a declared option; `.read()` gives its value, undefined for the default. */
function control(option, id, changed) {
  const label = make("label", { htmlFor: id, textContent: option.name.replaceAll("_", " ") });
  label.title = option.help;
  let input;
  if (option.type === "bool" || option.values) {
    const values = option.values ?? ["true", "false"];
    const usual = option.default === null ? null : String(option.default);
    input = make("select", { id, onchange: changed, title: option.help });
    if (usual === null) input.append(make("option", { value: "", textContent: "–" }));
    for (const value of values) {
      const shown = { true: text("yes"), false: text("no") }[value] ?? value;
      const note = value === usual ? ` (${text("byDefault")})` : "";
      input.append(make("option", { value, textContent: shown + note, selected: value === usual }));
    }
    input.read = () => (input.value === (usual ?? "") ? undefined : input.value);
  } else {
    const usual = option.default === null ? "" : String(option.default);
    const type = option.type === "int" || option.type === "float" ? "number" : "text";
    input = make("input", { id, type, value: usual, onchange: changed, title: option.help });
    input.read = () => (input.value.trim() === usual ? undefined : input.value.trim());
  }
  return { option, label, input };
}

/** One codec and its options. */
class Row {
  constructor(offered, chosen, changed, removed) {
    this.offered = offered;
    this.changed = changed;
    const id = `codec-${(rows += 1)}`;
    this.id = id;
    this.label = make("label", { htmlFor: id });
    this.select = make("select", { id, onchange: () => this.#choose() });
    for (const codec of offered) {
      const selected = codec.id === chosen;
      this.select.append(make("option", { value: codec.id, textContent: codec.id, selected }));
    }
    this.remove = make("button", { type: "button", className: "quiet", textContent: "×" });
    this.remove.onclick = () => removed(this);
    this.summary = make("p", { className: "note" });
    this.options = make("details", {}, make("summary", { textContent: text("options") }));
    this.element = make(
      "div",
      { className: "codec" },
      make("div", { className: "line" }, this.label, this.select, this.remove),
      this.summary,
      this.options,
    );
    this.#choose(true);
  }

  get codec() {
    return this.offered.find((codec) => codec.id === this.select.value);
  }

  /** The text form. */
  get spec() {
    const given = this.controls
      .map(({ option, input }) => [option.name, input.read()])
      .filter(([, value]) => value !== undefined);
    return [this.codec.id, ...given.map(([name, value]) => `${name}=${value}`)].join(":");
  }

  number(index, alone) {
    const place = alone ? text("codec") : text("codecNumber", { number: index + 1 });
    this.label.textContent = place;
    this.remove.setAttribute("aria-label", text("removeCodec", { number: index + 1 }));
    this.remove.hidden = alone;
  }

  #choose(silently = false) {
    this.summary.textContent = this.codec.summary;
    this.controls = this.codec.options.map((option) =>
      control(option, `${this.id}-${option.name}`, () => this.changed()),
    );
    const grid = make("div", { className: "grid" });
    for (const { label, input } of this.controls) grid.append(label, input);
    this.options.replaceChildren(this.options.firstElementChild, grid);
    this.options.hidden = !this.controls.length;
    if (!silently) this.changed();
  }
}

/** Fires "slide" while the quality moves, "change" once files are to be made, and "conversions". */
export class Settings extends EventTarget {
  constructor(offered) {
    super();
    this.offered = offered;
    this.rows = [];
    this.strengthUsual = offered.strength;
    const fire = (name) => () => this.dispatchEvent(new Event(name));
    const changed = () => {
      this.#update();
      fire("change")();
    };
    this.changed = changed;
    this.#add(offered.codec);
    byId("add-codec").onclick = () => {
      const used = new Set(this.rows.map((row) => row.codec.id));
      const next = ["jpeg", "webp", "avif", "liu2018"].find((id) => !used.has(id)) ?? "jpeg";
      this.#add(next).select.focus();
      changed();
    };

    this.quality = byId("quality");
    this.number = byId("quality-number");
    this.quality.value = this.number.value = offered.quality;
    this.quality.oninput = () => {
      this.number.value = this.quality.value;
      fire("slide")();
    };
    this.quality.onchange = changed;
    this.number.onchange = () => {
      this.quality.value = this.number.value;
      changed();
    };
    this.target = byId("target");
    this.target.onchange = changed;
    this.byTarget = byId("by-target");
    byId("by-quality").onchange = changed;
    this.byTarget.onchange = () => {
      this.#update();
      this.target.focus();
      if (this.target.value.trim()) fire("change")();
    };

    this.regionKind = byId("region");
    this.regionText = byId("region-text");
    this.strength = byId("strength");
    this.strength.value = offered.strength;
    this.regionKind.onchange = () => {
      this.#update();
      if (this.regionKind.value !== "rectangles" || this.region) fire("change")();
    };
    this.regionText.onchange = this.strength.onchange = changed;

    this.conversions = offered.conversions.map((option) =>
      control(option, `conversion-${option.name}`, fire("conversions")),
    );
    for (const { label, input } of this.conversions) byId("conversion-grid").append(label, input);
    this.#update();
  }

  get main() {
    return this.rows[0].codec;
  }

  get isTarget() {
    return this.byTarget.checked;
  }

  /** The region that is set; null for none. */
  get region() {
    const kind = this.regionKind.value;
    if (kind === "rectangles") return this.regionText.value.replace(/\s/g, "") || null;
    return kind || null;
  }

  /** The conversions that are set, as values. */
  get converted() {
    const values = {};
    for (const { option, input } of this.conversions) {
      const value = input.read();
      if (value === undefined || value === "") continue;
      const kinds = { int: Number, bool: (given) => given === "true" };
      values[option.name] = (kinds[option.type] ?? String)(value);
    }
    return values;
  }

  /** What is asked of each codec; null where a target is to be typed first. */
  get requests() {
    if (this.isTarget && !this.target.value.trim()) return null;
    const wanted = this.isTarget ? this.target.value.trim() : Number(this.number.value);
    return this.rows.map((row) => {
      const request = { codec: row.spec, wanted, conversions: this.converted };
      if (row.codec.region && this.region) {
        request.region = this.region;
        request.strength = Number(this.strength.value);
      }
      return request;
    });
  }

  openConversions() {
    byId("conversions").open = true;
  }

  #add(id) {
    const row = new Row(
      this.offered.codecs,
      id,
      () => this.changed(),
      (gone) => {
        this.rows = this.rows.filter((one) => one !== gone);
        gone.element.remove();
        this.#update();
        byId("add-codec").focus();
      },
    );
    this.rows.push(row);
    byId("codecs").append(row.element);
    this.#update();
    return row;
  }

  #update() {
    this.rows.forEach((row, index) => row.number(index, this.rows.length === 1));
    byId("add-codec").hidden = this.rows.length >= 6;
    if (!this.quality) return;
    byId("quality-line").hidden = this.isTarget;
    byId("target-line").hidden = !this.isTarget;
    const some = this.rows.some((row) => row.codec.region);
    byId("region-lines").hidden = !some;
    byId("region-text-line").hidden = this.regionKind.value !== "rectangles";
    byId("strength-line").hidden = !this.regionKind.value;
  }
}
