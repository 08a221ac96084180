/** The page's side of the worker. */

import { ComrecError } from './errors.js'
import { parse } from './file.js'

export class Decoder {
  #config
  #worker = null
  #waiting = new Map()
  #next = 0

  /** @param {import('./index.js').Config} [config] */
  constructor({ weights, runtime, threads = 0, gpu = false } = {}) {
    this.#config = {
      weights: folder(weights, './weights/'),
      runtime: folder(runtime, './ort/'),
      threads,
      gpu,
    }
  }

  async decode(blob, options) {
    try {
      return await this.#decoded(blob, false, options)
    } catch (error) {
      if (error.code === 'unmarked' || error.code === 'stale') return createImageBitmap(blob)
      throw error
    }
  }

  async toPng(blob, options) {
    return this.#decoded(blob, true, options)
  }

  close() {
    this.#worker?.terminate()
    this.#worker = null
    this.#fail(new ComrecError('cancelled', 'the decoder was closed'))
  }

  async #decoded(blob, png, { signal, onProgress } = {}) {
    signal?.throwIfAborted()
    const file = parse(new Uint8Array(await blob.arrayBuffer())) // no worker for unmarked files
    if (file === null) throw new ComrecError('unmarked', 'the file has no mark')
    signal?.throwIfAborted()
    return this.#asked(blob, png, signal, onProgress)
  }

  /** What the worker makes of a marked file. */
  #asked(blob, png, signal, onProgress) {
    const id = this.#next++
    return new Promise((resolve, reject) => {
      const abort = () => {
        this.#worker?.postMessage({ cancel: id })
        done()
        reject(signal.reason)
      }
      const done = () => {
        this.#waiting.delete(id)
        signal?.removeEventListener('abort', abort)
      }
      signal?.addEventListener('abort', abort)
      this.#waiting.set(id, { resolve, reject, done, onProgress })
      this.#started().postMessage({ decode: id, blob, png, config: this.#config })
    })
  }

  #started() {
    if (this.#worker === null) {
      this.#worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' })
      this.#worker.addEventListener('message', ({ data }) => this.#heard(data))
      this.#worker.addEventListener('error', (event) => {
        this.#worker = null
        this.#fail(new ComrecError('failed', event.message ?? 'the worker cannot be loaded'))
      })
    }
    return this.#worker
  }

  #heard({ id, progress, result, error }) {
    const asked = this.#waiting.get(id)
    if (asked === undefined) {
      result?.close?.() // of a picture that was cancelled
    } else if (progress) {
      asked.onProgress?.(...progress)
    } else {
      asked.done()
      if (error) asked.reject(new ComrecError(error.code, error.message))
      else asked.resolve(result)
    }
  }

  #fail(error) {
    for (const { reject, done } of [...this.#waiting.values()]) {
      done()
      reject(error)
    }
  }
}

function folder(given, beside) {
  const url = given === undefined ? new URL(beside, import.meta.url) : new URL(given, globalThis.document?.baseURI ?? location.href)
  return url.href.endsWith('/') ? url.href : `${url.href}/`
}
