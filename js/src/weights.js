/**
 * The networks of a folder that `comrec web export-weights` filled, each checked before its use.
 *
 * @typedef {object} Entry
 * @property {string} file
 * @property {string} sha256
 * @property {number} up sides of the output per side of the input: 1 or 2
 * @property {number} channels 1 (luma) or 3 (RGB)
 * @property {number} align sides of inputs are multiples of this
 * @property {number} reach how far around itself an output sample looks, in input pixels
 * @property {number} tile largest side of tiles, in input pixels
 */

import { hex } from './bytes.js'
import { ComrecError } from './errors.js'

const INDEX_VERSION = 1
const CACHE = 'comrec-weights-1'
const ID = 20 // hexadecimal digits in a mark

export class Weights {
  /** @param {string} folder its absolute URL, ending in a slash */
  constructor(folder) {
    this.folder = folder
    this.index = null
  }

  /**
   * @param {string} id of the mark
   * @returns {Promise<Entry>}
   * @throws {ComrecError} "unknown-network": the folder does not have it; "weights": no folder there
   */
  async entry(id) {
    this.index ??= this.#read().catch((error) => {
      this.index = null
      throw error
    })
    const found = (await this.index)[id]
    if (found === undefined) throw new ComrecError('unknown-network', `${this.folder} has no network ${id}`)
    if (!isEntry(found, id)) throw new ComrecError('weights', `${this.folder}index.json is damaged: ${id}`)
    return found
  }

  /**
   * @param {Entry} entry
   * @returns {Promise<Uint8Array>} the ONNX file
   * @throws {ComrecError} "weights": missing, or altered
   */
  async file(entry) {
    if (globalThis.crypto?.subtle === undefined) {
      throw new ComrecError('unsupported', 'networks are checked in secure contexts only: https, or localhost')
    }
    const url = new URL(entry.file, this.folder).href
    const cache = await opened()
    const cached = await cache?.match(url)
    if (cached) {
      const data = new Uint8Array(await cached.arrayBuffer())
      if (await matches(data, entry)) return data
      await cache.delete(url)
    }
    for (const how of ['default', 'reload']) { // the second passes by what the browser has kept
      const data = new Uint8Array(await (await got(url, how)).arrayBuffer())
      if (!(await matches(data, entry))) continue
      await cache?.put(url, new Response(data)).catch(() => {}) // no room: fetched again next time
      return data
    }
    throw new ComrecError('weights', `${url} does not match its SHA-256`)
  }

  async #read() {
    const url = `${this.folder}index.json`
    const index = await (await got(url, 'no-cache')).json().catch(() => null)
    if (index?.version !== INDEX_VERSION || typeof index.networks !== 'object') {
      throw new ComrecError('weights', `${url} is no index of version ${INDEX_VERSION}`)
    }
    return index.networks
  }
}

/** The browser's cache; null where there is none, such as in sandboxed frames. */
async function opened() {
  try {
    return await caches.open(CACHE)
  } catch {
    return null
  }
}

function isEntry(entry, id) {
  const sizes = [entry.up, entry.channels, entry.align, entry.reach, entry.tile]
  return (
    /^[0-9a-f]{64}$/.test(entry.sha256) &&
    entry.sha256.startsWith(id) &&
    id.length === ID &&
    /^[\w.+-]+$/.test(entry.file) &&
    sizes.every((size) => Number.isInteger(size) && size > 0)
  )
}

async function got(url, cache) {
  const response = await fetch(url, { cache }).catch((error) => {
    throw new ComrecError('weights', `${url}: ${error.message}`)
  })
  if (!response.ok) throw new ComrecError('weights', `${url}: HTTP ${response.status}`)
  return response
}

async function matches(data, entry) {
  return hex(new Uint8Array(await crypto.subtle.digest('SHA-256', data))) === entry.sha256
}
