/** <img data-comrec>: the full picture in place of the standard one. */

import { ComrecError } from './errors.js'
import { Decoder } from './decoder.js'

const SELECTOR = 'img[data-comrec]'
const WATCHED = ['src', 'srcset', 'data-comrec']
const STATE = 'data-comrec-state'
/** Work begins this far before a picture scrolls into view. */
const AHEAD = '200px'

/**
 * @param {import('./index.js').Config & {root?: Document | Element}} [options]
 * @returns {{stop: () => void}}
 */
export function enhance({ root = document, ...config } = {}) {
  const decoder = new Decoder(config)
  const pictures = new Map()
  const seen = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting) pictures.get(target)?.start()
        else pictures.get(target)?.pause()
      }
    },
    { rootMargin: AHEAD },
  )

  const add = (image) => {
    if (pictures.has(image)) return
    pictures.set(image, new Picture(image, decoder))
    seen.observe(image)
  }
  const remove = (image) => {
    seen.unobserve(image)
    pictures.get(image)?.restore()
    pictures.delete(image)
  }
  const update = () => {
    for (const image of [...pictures.keys()]) {
      if (!root.contains(image) || !image.matches(SELECTOR)) remove(image)
    }
    root.querySelectorAll(SELECTOR).forEach(add)
  }
  const changes = new MutationObserver((records) => {
    for (const { type, target } of records) {
      if (type === 'attributes' && pictures.get(target)?.isForeignChange()) remove(target)
    }
    update()
  })
  changes.observe(root, { subtree: true, childList: true, attributes: true, attributeFilter: WATCHED })
  update()
  return {
    stop() {
      changes.disconnect()
      for (const image of [...pictures.keys()]) remove(image)
      decoder.close()
    },
  }
}

/** One <img>. What is shown changes by a candidate put before the author's: `src` and `alt` stay. */
class Picture {
  #image
  #decoder
  #abort = null
  #state = null
  #given = null // what the author's attributes were when the full picture was put in
  #source = null // in a <picture>
  #ours = null // the candidate that was put in
  #url = null

  constructor(image, decoder) {
    this.#image = image
    this.#decoder = decoder
  }

  async start() {
    if (this.#abort !== null || this.#state !== null) return
    const abort = (this.#abort = new AbortController())
    try {
      await this.#improve(abort.signal)
    } catch (error) {
      if (!abort.signal.aborted) this.#end('left', error)
    } finally {
      if (this.#abort === abort) this.#abort = null
    }
  }

  /** Ends the work; `start` begins again. */
  pause() {
    this.#abort?.abort()
    this.#abort = null
  }

  /** Shows the author's picture again, for good. */
  restore() {
    this.pause()
    this.#state = null
    this.#image.removeAttribute(STATE)
    if (this.#url === null) return
    if (this.#source !== null) this.#source.remove()
    else if (this.#image.srcset === this.#ours) restoreAttribute(this.#image, 'srcset', this.#given.srcset)
    URL.revokeObjectURL(this.#url)
    this.#url = this.#source = this.#ours = null
  }

  /** Whether the author's attributes changed since the full picture was put in. */
  isForeignChange() {
    if (this.#given === null) return this.#state !== null || this.#abort !== null
    const { src, srcset } = attributes(this.#image)
    const expected = this.#source === null ? this.#ours : this.#given.srcset
    return src !== this.#given.src || srcset !== expected
  }

  async #improve(signal) {
    const image = this.#image
    await image.decode().catch(() => {}) // what is shown is chosen by then
    signal.throwIfAborted()
    const shown = image.currentSrc || image.src
    const response = await fetch(shown, { signal, cache: 'force-cache' })
    if (!response.ok) throw new ComrecError('failed', `${shown}: HTTP ${response.status}`)
    const blob = await response.blob()
    const png = await this.#decoder.toPng(blob, { signal })
    await this.#show(png, signal)
    this.#end('done', null)
  }

  async #show(png, signal) {
    const image = this.#image
    const url = URL.createObjectURL(png)
    const full = new Image()
    try {
      full.src = url
      await full.decode() // fails where the site's policy forbids blob: images
      signal.throwIfAborted()
    } catch (error) {
      URL.revokeObjectURL(url)
      throw signal.aborted ? error : new ComrecError('failed', 'img-src of the policy must allow blob:')
    }
    // So many pixels for one of what was shown: its layout stays.
    const density = full.naturalWidth / (image.naturalWidth || full.naturalWidth)
    this.#url = url
    this.#ours = `${url} ${density}x`
    this.#given = attributes(image)
    if (image.parentElement instanceof HTMLPictureElement) {
      this.#source = document.createElement('source')
      this.#source.srcset = this.#ours
      image.parentElement.prepend(this.#source)
    } else {
      image.srcset = this.#ours
    }
    await image.decode().catch(() => {})
  }

  #end(state, error) {
    this.#state = state
    const detail = { state, code: error?.code ?? (error ? 'failed' : null), message: error?.message ?? null }
    this.#image.setAttribute(STATE, state)
    this.#image.dispatchEvent(new CustomEvent('comrec', { bubbles: true, detail }))
  }
}

function attributes(image) {
  return { src: image.getAttribute('src'), srcset: image.getAttribute('srcset') }
}

function restoreAttribute(element, name, value) {
  if (value === null) element.removeAttribute(name)
  else element.setAttribute(name, value)
}
