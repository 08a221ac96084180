/** ONNX Runtime in WebAssembly, or WebGPU where that is asked for and there is one. */

import { ComrecError } from './errors.js'

/** More threads gain little for one picture, and take cores from the page. */
const MOST_THREADS = 4

export class Runtime {
  /**
   * @param {string} folder absolute URL of the files of onnxruntime-web, ending in a slash
   * @param {number} threads at most; 0: as many as there are cores, at most 4
   * @param {boolean} gpu
   */
  constructor(folder, threads, gpu) {
    this.folder = folder
    this.threads = threads
    this.gpu = gpu && globalThis.navigator?.gpu !== undefined
    this.loading = null
  }

  /**
   * A function that runs a network.
   *
   * @param {Uint8Array} onnx
   * @returns {Promise<(told: object, input: Float32Array, shape: number[]) => Promise<Float32Array>>}
   * @throws {ComrecError} "runtime": onnxruntime-web is missing, or cannot run here
   */
  async session(onnx) {
    const ort = await this.load()
    let session
    try {
      session = await ort.InferenceSession.create(onnx, {
        executionProviders: this.gpu ? ['webgpu', 'wasm'] : ['wasm'],
        enableMemPattern: false, // as in Python: from the second run on it takes as much memory again
      })
    } catch (error) {
      throw failed(error)
    }
    return async ({ quality, fullChroma }, input, shape) => {
      const told = { quality: quality / 100, full_chroma: fullChroma ? 1 : 0 }
      const feed = { picture: new ort.Tensor('float32', input, shape) }
      for (const name of session.inputNames) {
        if (name in told) feed[name] = new ort.Tensor('float32', [told[name]], [1])
      }
      const { result } = await session.run(feed)
      const data = await result.getData()
      result.dispose()
      return data
    }
  }

  /** Begins to load onnxruntime-web, once. */
  load() {
    this.loading ??= this.#loaded().catch((error) => {
      this.loading = null
      throw failed(error)
    })
    return this.loading
  }

  async #loaded() {
    const name = this.gpu ? 'ort.webgpu.min.mjs' : 'ort.wasm.min.mjs'
    const ort = await import(/* @vite-ignore */ /* webpackIgnore: true */ `${this.folder}${name}`)
    const cores = Math.min(globalThis.navigator?.hardwareConcurrency ?? 1, MOST_THREADS)
    ort.env.wasm.wasmPaths = this.folder
    ort.env.wasm.numThreads = globalThis.crossOriginIsolated ? this.threads || cores : 1
    ort.env.logLevel = 'error'
    return ort
  }
}

function failed(error) {
  return error instanceof ComrecError
    ? error
    : new ComrecError('runtime', `onnxruntime-web: ${error?.message ?? error}`)
}
