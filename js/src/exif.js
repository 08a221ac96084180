/** EXIF: the orientation. */

import { isAt, view } from './bytes.js'

const ORIENTATION = 0x0112

/**
 * @param {Uint8Array} tiff an EXIF block
 * @returns {number} 1..8; 1 where the block says none, or cannot be read
 */
export function orientationOf(tiff) {
  const little = isAt(tiff, 0, 'II')
  if (!little && !isAt(tiff, 0, 'MM')) return 1
  const data = view(tiff)
  try {
    const directory = data.getUint32(4, little)
    const entries = data.getUint16(directory, little)
    for (let i = 0; i < entries; i++) {
      const entry = directory + 2 + 12 * i
      if (data.getUint16(entry, little) !== ORIENTATION) continue
      const found = data.getUint16(entry + 8, little)
      return found >= 1 && found <= 8 ? found : 1
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
  }
  return 1
}
