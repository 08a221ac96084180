/** PNG files of samples, with their ICC profile. */

import { crc32, joined, view } from './bytes.js'

const HEAD = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)
const GRAY = 0
const RGB = 2
const RGB_ALPHA = 6
const SUB = 1

/**
 * @param {import('./samples.js').Samples} samples
 * @param {boolean} gray whether R, G and B are equal
 * @param {Uint8Array | null} icc
 * @returns {Promise<Blob>}
 */
export async function png(samples, gray, icc) {
  const { width, height, opaque } = samples
  const [kind, channels] = !opaque ? [RGB_ALPHA, 4] : gray ? [GRAY, 1] : [RGB, 3]
  const header = new Uint8Array(13)
  view(header).setUint32(0, width)
  view(header).setUint32(4, height)
  header.set([8, kind], 8)
  const parts = [HEAD, ...chunk('IHDR', header)]
  if (icc !== null) {
    const name = Uint8Array.from('icc\0\0', (letter) => letter.charCodeAt(0))
    parts.push(...chunk('iCCP', joined([name, await deflated(icc)])))
  }
  const pixels = await deflated(filtered(samples, channels))
  return new Blob([...parts, ...chunk('IDAT', pixels), ...chunk('IEND', new Uint8Array())], {
    type: 'image/png',
  })
}

/** Rows of differences from the pixel to the left. */
function filtered({ width, height, rgba }, channels) {
  const out = new Uint8Array((1 + channels * width) * height)
  const last = [0, 0, 0, 0]
  for (let y = 0, from = 0, to = 0; y < height; y++) {
    out[to++] = SUB
    last.fill(0)
    for (let x = 0; x < width; x++, from += 4) {
      for (let channel = 0; channel < channels; channel++) {
        const sample = rgba[from + channel]
        out[to++] = sample - last[channel]
        last[channel] = sample
      }
    }
  }
  return out
}

async function deflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream('deflate'))
  return new Uint8Array(await new Response(stream).arrayBuffer())
}

function chunk(kind, body) {
  const head = new Uint8Array(8)
  view(head).setUint32(0, body.length)
  for (let i = 0; i < 4; i++) head[4 + i] = kind.charCodeAt(i)
  const checksum = new Uint8Array(4)
  view(checksum).setUint32(0, crc32(head.subarray(4), body))
  return [head, body, checksum]
}
