/** WebP chunks: the mark, metadata. */

import { isAt, joined, text, view } from './bytes.js'
import { orientationOf } from './exif.js'

const METADATA = ['ICCP', 'EXIF', 'XMP ']
const FLAGS = 0x20 | 0x08 | 0x04 // of these in VP8X

/**
 * @param {Uint8Array} data
 * @returns {import('./file.js').Described}
 */
export function describe(data) {
  const all = chunks(data)
  const body = (kind) => all.find((chunk) => chunk.kind === kind)?.body ?? null
  const exif = body('EXIF')
  return {
    mark: body('CMRC'),
    gray: false,
    orientation: exif ? orientationOf(exif.subarray(isAt(exif, 0, 'Exif\0\0') ? 6 : 0)) : 1,
    icc: body('ICCP'),
    bare: bare(data, all),
    told: (mark) => ({ quality: mark.quality, fullChroma: false }),
  }
}

function chunks(data) {
  const found = []
  let at = 12
  while (at + 8 <= data.length) {
    const length = view(data).getUint32(at + 4, true)
    const end = at + 8 + length + (length % 2)
    found.push({ kind: text(data, at, 4), start: at, end, body: data.subarray(at + 8, at + 8 + length) })
    at = end
  }
  return found
}

/** The file without EXIF, XMP and ICC: what all browsers decode to the same samples. */
function bare(data, all) {
  const kept = all.filter(({ kind }) => !METADATA.includes(kind))
  const parts = kept.map(({ start, end }) => data.slice(start, end))
  kept.forEach(({ kind }, i) => {
    if (kind === 'VP8X') parts[i][8] &= ~FLAGS
  })
  const out = joined([data.slice(0, 12), ...parts])
  view(out).setUint32(4, out.length - 8, true)
  return out
}
