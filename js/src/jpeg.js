/** JPEG marker segments: the mark, what the network is told, metadata. */

import { isAt, joined, view } from './bytes.js'
import { ComrecError } from './errors.js'
import { MAGIC } from './mark.js'
import { orientationOf } from './exif.js'

const APP0 = 0xe0
const APP1 = 0xe1
const APP2 = 0xe2
const APP9 = 0xe9
const APP14 = 0xee
const DQT = 0xdb
const SOS = 0xda
const ICC_HEAD = 'ICC_PROFILE\0'
const EXIF_HEAD = 'Exif\0\0'

/**
 * @param {Uint8Array} data
 * @returns {import('./file.js').Described}
 */
export function describe(data) {
  const all = segments(data)
  const frame = all.find(({ marker }) => isFrame(marker))
  const mark = all.find(({ marker, body }) => marker === APP9 && isAt(body, 0, MAGIC))
  const exif = all.find(({ marker, body }) => marker === APP1 && isAt(body, 0, EXIF_HEAD))
  return {
    mark: mark ? mark.body : null,
    gray: frame !== undefined && frame.body[5] === 1,
    orientation: exif ? orientationOf(exif.body.subarray(EXIF_HEAD.length)) : 1,
    icc: profile(all),
    bare: bare(data, all),
    told: () => ({ quality: 100 * fineness(lumaTable(all)), fullChroma: isFullChroma(all) }),
  }
}

/** The segments up to the first scan. Bytes between segments that belong to none are passed over. */
function segments(data) {
  const found = []
  let at = 2
  while (true) {
    while (at + 1 < data.length && !(data[at] === 0xff && data[at + 1] !== 0 && data[at + 1] !== 0xff)) at++
    const marker = data[at + 1]
    const start = at
    at += 2
    if (at + 2 > data.length || marker === 0xd8 || marker === 0xd9) throw damaged('header')
    if (marker === 1 || (marker >= 0xd0 && marker <= 0xd7)) continue // they have no length
    const length = view(data).getUint16(at)
    if (length < 2) throw damaged('header')
    found.push({ marker, start, end: at + length, body: data.subarray(at + 2, at + length) })
    at += length
    if (marker === SOS) return found
  }
}

function isFrame(marker) {
  return marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc
}

/** The file without EXIF, XMP and ICC: what all browsers decode to the same samples. */
function bare(data, all) {
  const parts = []
  let from = 0
  for (const { marker, start, end } of all) {
    if (marker !== APP1 && marker !== APP2) continue
    parts.push(data.subarray(from, start))
    from = end
  }
  return joined([...parts, data.subarray(from)])
}

function profile(all) {
  const parts = all
    .filter(({ marker, body }) => marker === APP2 && isAt(body, 0, ICC_HEAD))
    .sort((a, b) => a.body[ICC_HEAD.length] - b.body[ICC_HEAD.length])
    .map(({ body }) => body.subarray(ICC_HEAD.length + 2))
  return parts.length ? joined(parts) : null
}

/** The quantisation table that the first component refers to: 64 steps in zigzag order. */
function lumaTable(all) {
  const tables = new Map()
  let wanted = 0
  for (const { marker, body } of all) {
    if (marker === DQT) {
      let at = 0
      while (at < body.length) {
        const wide = body[at] >> 4
        const raw = body.subarray(at + 1, at + 1 + (wide ? 128 : 64))
        if (raw.length < (wide ? 128 : 64)) throw damaged('quantisation table')
        const step = wide ? (_, i) => view(raw).getUint16(2 * i) : (_, i) => raw[i]
        tables.set(body[at] & 15, Array.from({ length: 64 }, step))
        at += 1 + raw.length
      }
    } else if (isFrame(marker) && body.length > 8) {
      wanted = body[8]
    }
  }
  if (!tables.has(wanted)) throw damaged('quantisation table')
  return tables.get(wanted)
}

/** u + v of the first positions of the zigzag order. */
const DIAGONALS = [0, 1, 1, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5]

/** How fine a table is: 0 (coarse) to 1, docs/format.md. */
function fineness(table) {
  const logs = DIAGONALS.map((sum, i) => Math.log(Math.max(table[i], 1) / (1 + 0.1 * sum)))
  const mean = logs.reduce((a, b) => a + b) / logs.length
  return Math.min(1, Math.max(0, 1 - mean / Math.log(100)))
}

/** Whether chroma is stored at full size: YCbCr whose components have equal sampling factors. */
function isFullChroma(all) {
  const jfif = all.some(({ marker, body }) => marker === APP0 && isAt(body, 0, 'JFIF\0'))
  const adobe = all.filter(({ marker, body }) => marker === APP14 && isAt(body, 0, 'Adobe') && body.length > 11)
  const frame = all.filter(({ marker }) => isFrame(marker)).at(-1)
  if (!frame || frame.body.length < 15 || frame.body[5] !== 3) return false
  const transform = adobe.length ? adobe.at(-1).body[11] : null
  const names = String.fromCharCode(frame.body[6], frame.body[9], frame.body[12])
  if (!jfif && (transform === 0 || (transform === null && names === 'RGB'))) return false
  const [y, cb, cr] = [frame.body[7], frame.body[10], frame.body[13]]
  return y === cb && cb === cr && y >> 4 !== 0 && (y & 15) !== 0
}

function damaged(what) {
  return new ComrecError('damaged', `damaged JPEG ${what}`)
}
