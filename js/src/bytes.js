/** Reading bytes: text, numbers, comparison, and the checksum of PNG and of the mark. */

/** @param {Uint8Array} bytes */
export function view(bytes) {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Latin-1 text of `length` bytes, or of those that are there. */
export function text(bytes, at, length) {
  return String.fromCharCode(...bytes.subarray(at, at + length))
}

/** Whether the text is at this place. */
export function isAt(bytes, at, wanted) {
  return text(bytes, at, wanted.length) === wanted
}

export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** @param {Uint8Array[]} parts */
export function joined(parts) {
  const out = new Uint8Array(parts.reduce((size, part) => size + part.length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

const CRC = Uint32Array.from({ length: 256 }, (_, value) => {
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1
  return value
})

/** CRC-32 of PNG and zlib, of several arrays in a row. */
export function crc32(...parts) {
  let crc = 0xffffffff
  for (const part of parts) {
    for (let i = 0; i < part.length; i++) crc = (crc >>> 8) ^ CRC[(crc ^ part[i]) & 255]
  }
  return ~crc >>> 0
}
