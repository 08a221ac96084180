/** Pillow's bicubic (a = -0.5) for twice the sides, rounded to 8 bits after each direction. */

const ONE = 1 << 22

/** The plane at twice the width and height. */
export function doubled(plane, width, height) {
  return columnsDoubled(rowsDoubled(plane, width, height), 2 * width, height)
}

function rowsDoubled(plane, width, height) {
  const kernels = kernelsOf(width)
  const out = new Uint8ClampedArray(2 * width * height)
  for (let y = 0, at = 0; y < height; y++) {
    for (const { start, weights } of kernels) out[at++] = sum(plane, width * y + start, 1, weights)
  }
  return out
}

function columnsDoubled(plane, width, height) {
  const out = new Uint8ClampedArray(2 * width * height)
  let at = 0
  for (const { start, weights } of kernelsOf(height)) {
    for (let x = 0; x < width; x++) out[at++] = sum(plane, width * start + x, width, weights)
  }
  return out
}

function sum(plane, from, step, weights) {
  let total = ONE / 2
  for (let i = 0; i < weights.length; i++) total += weights[i] * plane[from + step * i]
  return Math.floor(total / ONE)
}

/** For each sample of a side of twice the length: where its kernel starts, and the weights. */
function kernelsOf(length) {
  return Array.from({ length: 2 * length }, (_, place) => {
    const center = (place + 0.5) / 2
    const start = Math.max(0, Math.trunc(center - 1.5))
    const end = Math.min(length, Math.trunc(center + 2.5))
    const raw = Array.from({ length: end - start }, (_, i) => bicubic(start + i - center + 0.5))
    const total = raw.reduce((a, b) => a + b)
    return { start, weights: raw.map((weight) => Math.round((weight / total) * ONE)) }
  })
}

function bicubic(distance) {
  const x = Math.abs(distance)
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0
}
