/** RecCNNs on gray and RGB, docs/format.md, "By family". */

import { doubled } from './resize.js'
import { run } from './tiles.js'

/**
 * @param {import('./weights.js').Entry} network
 * @param {import('./samples.js').Samples} compact
 * @param {boolean} gray
 * @param {{width: number, height: number}} size of the full picture
 * @param {Parameters<typeof run>[2]} evaluate
 * @param {Parameters<typeof run>[3]} between
 * @returns {Promise<import('./samples.js').Samples>}
 */
export async function reconstructed(network, compact, gray, size, evaluate, between) {
  const { width, height, rgba, opaque } = compact
  const apply = (plane) => run(network, plane, evaluate, between)
  let full
  if (network.channels === 3) {
    full = await apply({ width, height, step: 4, data: rgba })
    if (gray) weighted(full.data)
  } else if (gray) {
    full = spread(await apply({ width, height, step: 1, data: every(rgba, 0) }))
  } else {
    const [y, cb, cr] = separated(rgba)
    const luma = await apply({ width, height, step: 1, data: y })
    full = merged(luma, doubled(cb, width, height), doubled(cr, width, height))
  }
  const out = cut(full, size)
  if (opaque) fillAlpha(out.rgba)
  else copyAlpha(out, compact)
  return { ...out, opaque }
}

/** RGB to luma, in all three channels. */
function weighted(rgba) {
  for (let i = 0; i < rgba.length; i += 4) {
    rgba[i] = 0.299 * rgba[i] + 0.587 * rgba[i + 1] + 0.114 * rgba[i + 2]
    rgba[i + 1] = rgba[i + 2] = rgba[i]
  }
}

function every(rgba, channel) {
  const out = new Uint8ClampedArray(rgba.length / 4)
  for (let i = 0; i < out.length; i++) out[i] = rgba[4 * i + channel]
  return out
}

function spread({ width, height, data }) {
  const out = new Uint8ClampedArray(4 * data.length)
  for (let i = 0; i < data.length; i++) out[4 * i] = out[4 * i + 1] = out[4 * i + 2] = data[i]
  return { width, height, data: out }
}

/** Y, Cb, Cr of JFIF, each rounded. */
function separated(rgba) {
  const [y, cb, cr] = [0, 1, 2].map(() => new Uint8ClampedArray(rgba.length / 4))
  for (let i = 0; i < y.length; i++) {
    const [r, g, b] = [rgba[4 * i], rgba[4 * i + 1], rgba[4 * i + 2]]
    y[i] = 0.299 * r + 0.587 * g + 0.114 * b
    cb[i] = -0.168735892 * r - 0.331264108 * g + 0.5 * b + 128
    cr[i] = 0.5 * r - 0.418687589 * g - 0.081312411 * b + 128
  }
  return [y, cb, cr]
}

function merged({ width, height, data }, cb, cr) {
  const out = new Uint8ClampedArray(4 * data.length)
  for (let i = 0; i < data.length; i++) {
    const [blue, red] = [cb[i] - 128, cr[i] - 128]
    out[4 * i] = data[i] + 1.402 * red
    out[4 * i + 1] = data[i] - 0.344136 * blue - 0.714136 * red
    out[4 * i + 2] = data[i] + 1.772 * blue
  }
  return { width, height, data: out }
}

/** The first rows and columns. */
function cut({ width, data }, size) {
  if (width === size.width) return { ...size, rgba: data.subarray(0, 4 * size.width * size.height) }
  const rgba = new Uint8ClampedArray(4 * size.width * size.height)
  for (let y = 0; y < size.height; y++) {
    rgba.set(data.subarray(4 * width * y, 4 * (width * y + size.width)), 4 * size.width * y)
  }
  return { ...size, rgba }
}

function fillAlpha(rgba) {
  for (let i = 3; i < rgba.length; i += 4) rgba[i] = 255
}

function copyAlpha(out, compact) {
  for (let i = 3; i < out.rgba.length; i += 4) out.rgba[i] = compact.rgba[i]
}
