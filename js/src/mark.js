/** The mark: 32 bytes, docs/format.md. */

import { crc32, hex, isAt, view } from './bytes.js'
import { ComrecError } from './errors.js'

export const MAGIC = 'comrec'
const SIZE = 32
const VERSION = 1

/** As Pillow and comrec: larger pictures are refused. */
const MAX_PIXELS = 178956970

/**
 * @param {Uint8Array} bytes the mark and what follows it
 * @returns {import('./index.js').Mark}
 * @throws {ComrecError} "damaged": cut short, of another version, or its checksum or a field is wrong
 */
export function unpack(bytes) {
  if (bytes.length < SIZE || !isAt(bytes, 0, MAGIC)) throw damaged('is cut short')
  if (bytes[6] !== VERSION) throw damaged(`has version ${bytes[6]}; this comrec.js reads ${VERSION}`)
  const data = view(bytes)
  if (crc32(bytes.subarray(0, SIZE - 4)) !== data.getUint32(SIZE - 4)) {
    throw damaged('is damaged (checksum)')
  }
  const [scale, quality] = [bytes[7], data.getUint16(8)]
  const [width, height] = [data.getUint32(10), data.getUint32(14)]
  if ((scale !== 1 && scale !== 2) || quality > 10000 || width === 0 || height === 0) {
    throw damaged('has invalid fields')
  }
  return { scale, quality: quality / 100, width, height, network: hex(bytes.subarray(18, 28)) }
}

/** Whether a stored picture of this size is what the mark was written for. */
export function fits(mark, width, height) {
  return width === Math.ceil(mark.width / mark.scale) && height === Math.ceil(mark.height / mark.scale)
}

export function checkSize(mark) {
  if (mark.width * mark.height > MAX_PIXELS) {
    throw new ComrecError('too-large', `the mark declares ${mark.width}x${mark.height} pixels`)
  }
}

function damaged(how) {
  return new ComrecError('damaged', `the comrec mark ${how}`)
}
