/**
 * Files of the formats that comrec.js decodes: which format, and what comrec needs of the header.
 *
 * @typedef {object} Described
 * @property {Uint8Array | null} mark its bytes, unchecked
 * @property {boolean} gray whether the picture has one channel, besides alpha
 * @property {number} orientation EXIF's, 1..8
 * @property {Uint8Array | null} icc
 * @property {Uint8Array} bare the file without what could change the samples that browsers show
 * @property {(mark: import('./index.js').Mark) => {quality: number, fullChroma: boolean}} told
 *   what networks are told: quality 0..100, and whether chroma is stored at full size
 */

import { isAt, text, view } from './bytes.js'
import * as avif from './avif.js'
import * as jpeg from './jpeg.js'
import * as webp from './webp.js'
import { unpack } from './mark.js'

const FORMATS = { jpeg, webp, avif }

/**
 * @param {Uint8Array} data
 * @returns {'jpeg' | 'webp' | 'avif' | null} null: a format without marks that browsers could use
 */
export function formatOf(data) {
  if (data[0] === 0xff && data[1] === 0xd8 && data[2] === 0xff) return 'jpeg'
  if (isAt(data, 8, 'WEBP')) return 'webp'
  if (isAt(data, 4, 'ftyp')) {
    const brands = text(data, 8, 4) + text(data, 16, Math.min(view(data).getUint32(0), 1024) - 16)
    if (/^(.{4})*?avi[fs]/s.test(brands)) return 'avif'
  }
  return null
}

/**
 * @param {Uint8Array} data
 * @returns {{format: string, mark: import('./index.js').Mark, described: Described} | null}
 *   null: without a mark
 * @throws {import('./errors.js').ComrecError} "damaged"
 */
export function parse(data) {
  const format = formatOf(data)
  if (format === null) return null
  const described = FORMATS[format].describe(data)
  return described.mark === null ? null : { format, mark: unpack(described.mark), described }
}
