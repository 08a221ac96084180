/**
 * Samples of pictures, and turning them.
 *
 * @typedef {object} Samples
 * @property {number} width
 * @property {number} height
 * @property {Uint8ClampedArray} rgba not premultiplied
 * @property {boolean} opaque
 */

import { ComrecError } from './errors.js'

const MIME = { jpeg: 'image/jpeg', webp: 'image/webp', avif: 'image/avif' }

/**
 * The samples of a standard file as the browser decodes it: without colour conversion, and without
 * turning.
 *
 * @param {Uint8Array} bare
 * @param {'jpeg' | 'webp' | 'avif'} format
 * @returns {Promise<Samples>}
 * @throws {ComrecError} "unsupported": the browser cannot decode it
 */
export async function decoded(bare, format) {
  const blob = new Blob([bare], { type: MIME[format] })
  const raw = { colorSpaceConversion: 'none', premultiplyAlpha: 'none', imageOrientation: 'none' }
  let bitmap
  try {
    bitmap = await createImageBitmap(blob, raw)
  } catch (error) {
    throw new ComrecError('unsupported', `this browser cannot decode the ${format} file (${error.message})`)
  }
  try {
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height)
    const context = canvas.getContext('2d', { willReadFrequently: true })
    context.drawImage(bitmap, 0, 0)
    const { width, height, data } = context.getImageData(0, 0, bitmap.width, bitmap.height)
    const opaque = isOpaque(data)
    // A canvas holds samples multiplied by alpha: those below would be less exact.
    return { width, height, rgba: opaque ? data : await unmultiplied(bitmap, raw), opaque }
  } finally {
    bitmap.close()
  }
}

function isOpaque(rgba) {
  for (let i = 3; i < rgba.length; i += 4) if (rgba[i] !== 255) return false
  return true
}

const BAND = 1024

/** The samples of a bitmap, by WebGL. */
async function unmultiplied(bitmap, raw) {
  const gl = new OffscreenCanvas(1, 1).getContext('webgl2')
  if (gl === null) throw new ComrecError('unsupported', 'transparent pictures need WebGL 2')
  const { width, height } = bitmap
  const rgba = new Uint8ClampedArray(4 * width * height)
  try {
    gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false)
    gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE)
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture())
    gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer())
    for (let top = 0; top < height; top += BAND) {
      for (let left = 0; left < width; left += BAND) {
        const [columns, rows] = [Math.min(BAND, width - left), Math.min(BAND, height - top)]
        const part = await createImageBitmap(bitmap, left, top, columns, rows, raw)
        const read = texture(gl, part)
        part.close()
        for (let y = 0; y < rows; y++) {
          const row = read.subarray(4 * columns * y, 4 * columns * (y + 1))
          rgba.set(row, 4 * (width * (top + y) + left))
        }
      }
    }
  } finally {
    gl.getExtension('WEBGL_lose_context')?.loseContext()
  }
  return rgba
}

function texture(gl, bitmap) {
  const read = new Uint8Array(4 * bitmap.width * bitmap.height)
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap)
  const bound = gl.getParameter(gl.TEXTURE_BINDING_2D)
  gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, bound, 0)
  gl.readPixels(0, 0, bitmap.width, bitmap.height, gl.RGBA, gl.UNSIGNED_BYTE, read)
  if (gl.getError() !== gl.NO_ERROR) throw new ComrecError('unsupported', 'WebGL cannot read the picture')
  return read
}

/** 2x1 pixels, to be shown as 1x2. */
const TURNED_WEBP =
  'UklGRk4AAABXRUJQVlA4WAoAAAAIAAAAAQAAAAAAVlA4TA4AAAAvAQAAAAcQEf0PRET/A0VYSUYaAAAASUkqAAgAAAABABIBAwABAAAABgAAAAAAAAA='
let turnsWebp = null

/** Whether this browser heeds the EXIF orientation of WebP files: Chromium does not. */
function webpIsTurned() {
  const bytes = Uint8Array.from(atob(TURNED_WEBP), (letter) => letter.charCodeAt(0))
  turnsWebp ??= createImageBitmap(new Blob([bytes], { type: MIME.webp }), { imageOrientation: 'from-image' }).then(
    (bitmap) => bitmap.width === 1,
  )
  return turnsWebp
}

/** The orientation that this browser heeds when it shows a file. */
export async function heeded(orientation, format) {
  return orientation === 1 || format !== 'webp' || (await webpIsTurned()) ? orientation : 1
}

/**
 * The picture turned as browsers show it: rotated and mirrored as an EXIF orientation says.
 *
 * @param {Samples} samples
 * @param {number} orientation 1..8
 * @returns {Samples}
 */
export function turned(samples, orientation) {
  if (orientation === 1) return samples
  const { width, height } = samples
  const sideways = orientation >= 5
  const [columns, rows] = sideways ? [height, width] : [width, height]
  const fromRight = [2, 3, 7, 8].includes(orientation)
  const fromBottom = [3, 4, 6, 7].includes(orientation)
  const given = new Uint32Array(samples.rgba.buffer, samples.rgba.byteOffset, width * height)
  const out = new Uint32Array(columns * rows)
  for (let y = 0, at = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const [across, down] = sideways ? [y, x] : [x, y]
      const column = fromRight ? width - 1 - across : across
      const row = fromBottom ? height - 1 - down : down
      out[at++] = given[width * row + column]
    }
  }
  const rgba = new Uint8ClampedArray(out.buffer)
  return { ...samples, width: columns, height: rows, rgba }
}
