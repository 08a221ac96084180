// Small helpers for elements and numbers.

/** The element of an id. */
export const byId = (id) => document.getElementById(id);

/** A new element. Properties that elements lack become attributes; handlers are "onclick" and so on. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

const whole = new Intl.NumberFormat("en");

/** 12,345 */
export const count = (number) => whole.format(number);

/** A number with so many digits after the point. */
export const fixed = (number, digits) => number.toFixed(digits);

/** A function that runs once it has not been called for so many milliseconds. */
export function settled(milliseconds, run) {
  let timer = 0;
  const later = (...given) => {
    clearTimeout(timer);
    timer = setTimeout(run, milliseconds, ...given);
  };
  later.cancel = () => clearTimeout(timer);
  return later;
}
