/**
 * The worker: pictures one after the other, sessions kept.
 *
 * In: {decode: number, blob, png: boolean, config}, {cancel: number}. Out, with the number as `id`:
 * {progress: [done, total]}, {result}, or {error: {code, message}}.
 */

import { ComrecError } from './errors.js'
import { parse } from './file.js'
import { checkSize, fits } from './mark.js'
import { png } from './png.js'
import { reconstructed } from './reconstruct.js'
import { Runtime } from './runtime.js'
import { decoded, heeded, turned } from './samples.js'
import { Weights } from './weights.js'

const STALE = 'another program resized, cropped or rotated it, so that its mark no longer fits'

const cancelled = new Set()
const sessions = new Map()
let weights = null
let runtime = null
let last = Promise.resolve()

self.addEventListener('message', ({ data }) => {
  if ('cancel' in data) cancelled.add(data.cancel)
  else last = last.then(() => answered(data))
})

async function answered({ decode: id, blob, png: asPng, config }) {
  try {
    await between(id)
    weights ??= new Weights(config.weights)
    runtime ??= new Runtime(config.runtime, config.threads, config.gpu)
    const result = await decode(id, new Uint8Array(await blob.arrayBuffer()), asPng)
    self.postMessage({ id, result }, result instanceof ImageBitmap ? [result] : [])
  } catch (error) {
    const code = error instanceof ComrecError ? error.code : 'failed'
    self.postMessage({ id, error: { code, message: error?.message ?? String(error) } })
  } finally {
    cancelled.delete(id)
  }
}

async function decode(id, data, asPng) {
  const { format, mark, described } = parse(data)
  checkSize(mark)
  const [compact, { entry, evaluate }] = await Promise.all([fitting(mark, described, format), network(mark.network)])
  const told = described.told(mark)
  const full = turned(
    await reconstructed(
      entry,
      compact,
      described.gray,
      { width: mark.width, height: mark.height },
      (input, shape) => evaluate(told, input, shape),
      (done, total) => between(id, [done, total]),
    ),
    await heeded(described.orientation, format),
  )
  if (asPng) return png(full, described.gray, described.icc)
  if (described.icc) return createImageBitmap(await png(full, described.gray, described.icc))
  return createImageBitmap(new ImageData(full.rgba, full.width, full.height))
}

async function fitting(mark, described, format) {
  const compact = await decoded(described.bare, format)
  if (!fits(mark, compact.width, compact.height)) throw new ComrecError('stale', STALE)
  return compact
}

/** The session of a network, made once. */
function network(id) {
  if (!sessions.has(id)) {
    const made = opened(id)
    made.catch(() => sessions.delete(id))
    sessions.set(id, made)
  }
  return sessions.get(id)
}

async function opened(id) {
  const entry = await weights.entry(id)
  const [file] = await Promise.all([weights.file(entry), runtime.load()])
  return { entry, evaluate: await runtime.session(file) }
}

/** Lets messages in; ends the work on a picture that was cancelled. */
async function between(id, progress) {
  if (progress) self.postMessage({ id, progress })
  await new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel()
    port1.onmessage = () => {
      port1.close()
      resolve()
    }
    port2.postMessage(null)
  })
  if (cancelled.has(id)) throw new ComrecError('cancelled', 'cancelled')
}
