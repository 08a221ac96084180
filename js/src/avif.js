/** AVIF boxes: the mark, and the properties of the picture. */

import { hex, text, view } from './bytes.js'
import { ComrecError } from './errors.js'

const UUID = '636f6d7265632d6d61726b2d76310000' // "comrec-mark-v1"

/** EXIF's orientation by `irot` (quarter turns to the left), then `imir`: none, 0 or 1. */
const ORIENTATIONS = [
  { none: 1, 0: 4, 1: 2 },
  { none: 8, 0: 5, 1: 7 },
  { none: 3, 0: 2, 1: 4 },
  { none: 6, 0: 7, 1: 5 },
]

/**
 * @param {Uint8Array} data
 * @returns {import('./file.js').Described}
 */
export function describe(data) {
  const marked = boxes(data).find(({ kind, body }) => kind === 'uuid' && hex(body.subarray(0, 16)) === UUID)
  const shared = inside(inside(data, 'meta').subarray(4), 'iprp')
  const properties = boxes(inside(shared, 'ipco'))
  const first = (kind) => properties.find((box) => box.kind === kind)?.body
  const configurations = properties.filter(({ kind, body }) => kind === 'av1C' && body.length > 2)
  const profile = properties.find(({ kind, body }) => kind === 'colr' && /prof|rICC/.test(text(body, 0, 4)))
  return {
    mark: marked ? marked.body.subarray(16) : null,
    gray: configurations.length > 0 && configurations.every(({ body }) => body[2] & 0x10),
    orientation: ORIENTATIONS[(first('irot')?.[0] ?? 0) & 3][first('imir') ? first('imir')[0] & 1 : 'none'],
    icc: profile ? profile.body.subarray(4) : null,
    bare: unturned(data, shared, properties),
    told: (mark) => ({ quality: mark.quality, fullChroma: false }),
  }
}

/**
 * The file without the associations of items with `irot` and `imir` (ISO/IEC 23008-12, 9.3): browsers
 * apply these always. Index 0 is "no property".
 */
function unturned(data, shared, properties) {
  const turning = properties.flatMap(({ kind }, i) => (kind === 'irot' || kind === 'imir' ? [i + 1] : []))
  if (turning.length === 0) return data
  const out = data.slice()
  for (const { body } of boxes(shared).filter(({ kind }) => kind === 'ipma')) {
    const from = view(body)
    const to = new DataView(out.buffer, body.byteOffset - data.byteOffset, body.length)
    const [idSize, size] = [body[0] < 1 ? 2 : 4, body[3] & 1 ? 2 : 1]
    let at = 8
    try {
      for (let items = from.getUint32(4); items > 0; items--) {
        at += idSize + 1
        for (let left = body[at - 1]; left > 0; left--, at += size) {
          const index = size === 2 ? from.getUint16(at) & 0x7fff : from.getUint8(at) & 0x7f
          if (turning.includes(index)) to.setUint8(at, 0)
          if (turning.includes(index) && size === 2) to.setUint8(at + 1, 0)
        }
      }
    } catch (error) {
      if (error instanceof RangeError) throw new ComrecError('damaged', 'damaged box structure')
      throw error
    }
  }
  return out
}

/** The boxes of a level. The walk ends at what is none. */
function boxes(data) {
  const found = []
  let at = 0
  while (at + 8 <= data.length) {
    let length = view(data).getUint32(at)
    let head = 8
    if (length === 1 && at + 16 <= data.length) {
      length = Number(view(data).getBigUint64(at + 8))
      head = 16
    } else if (length === 0) {
      length = data.length - at
    }
    if (length < head) {
      if (at === 0) throw new ComrecError('damaged', 'damaged box structure')
      break
    }
    found.push({ kind: text(data, at + 4, 4), body: data.subarray(at + head, at + length) })
    at += length
  }
  return found
}

function inside(data, kind) {
  return boxes(data).find((box) => box.kind === kind)?.body ?? new Uint8Array()
}
