/** Pictures of comrec in the browser: marked .jpg, .webp and .avif files in full. */

import { Decoder } from './decoder.js'
import { parse } from './file.js'

export { Decoder } from './decoder.js'
export { enhance } from './elements.js'
export { ComrecError } from './errors.js'

let shared = null

export async function decode(blob, options) {
  shared ??= new Decoder()
  return shared.decode(blob, options)
}

export async function mark(blob) {
  return parse(new Uint8Array(await blob.arrayBuffer()))?.mark ?? null
}
