/**
 * A network over a picture of any size, tile by tile: the same values as in one piece, in bounded
 * memory. docs/format.md, "Applying a network".
 *
 * @typedef {object} Plane samples of one or three channels, interleaved
 * @property {number} width
 * @property {number} height
 * @property {number} step distance of pixels: 1 for one channel, 4 for R, G, B and what follows
 * @property {Uint8ClampedArray} data
 */

const MARGIN = 8
/** Larger tiles than this are not needed: a tile is what cancelling waits for. */
const LARGEST_TILE = 512

/**
 * @param {import('./weights.js').Entry} network
 * @param {Plane} given
 * @param {(input: Float32Array, shape: number[]) => Promise<Float32Array>} evaluate runs the network
 * @param {(done: number, total: number) => Promise<void>} between called after each tile
 * @returns {Promise<Plane>} sides times network.up; alpha of `given` is not in it
 */
export async function run(network, given, evaluate, between) {
  const { up, align, channels } = network
  const reach = align * Math.ceil(network.reach / align)
  const margin = align * Math.ceil(MARGIN / align)
  const padded = (side) => align * Math.ceil(side / align) + 2 * margin
  const [rows, columns] = [padded(given.height), padded(given.width)]
  const side = Math.min(network.tile, align * Math.floor(LARGEST_TILE / align))
  const [width, height] = [up * given.width, up * given.height]
  const out = { width, height, step: given.step, data: new Uint8ClampedArray(given.step * width * height) }
  const tiles = cuts(rows, side).flatMap((down) => cuts(columns, side).map((across) => [down, across]))
  let done = 0
  for (const [[top, bottom], [left, right]] of tiles) {
    const outer = {
      top: Math.max(0, top - reach),
      left: Math.max(0, left - reach),
      bottom: Math.min(rows, bottom + reach),
      right: Math.min(columns, right + reach),
    }
    const shape = [1, channels, outer.bottom - outer.top, outer.right - outer.left]
    const result = await evaluate(cropped(given, channels, outer, margin), shape)
    keep(out, channels, result, up, outer, { top, left, bottom, right }, margin)
    await between(++done, tiles.length)
  }
  return out
}

/** Tile borders along one side. A last piece shorter than half a tile joins its neighbour. */
function cuts(length, tile) {
  const starts = []
  for (let start = 0; start < length; start += tile) {
    if (start === 0 || length - start > Math.floor(tile / 2)) starts.push(start)
  }
  return starts.map((start, i) => [start, starts[i + 1] ?? length])
}

/** The network's input: planes of samples / 255, edges repeated. */
function cropped({ width, height, step, data }, channels, outer, margin) {
  const [rows, columns] = [outer.bottom - outer.top, outer.right - outer.left]
  const inside = (place, side) => step * Math.min(Math.max(place - margin, 0), side - 1)
  const across = Int32Array.from({ length: columns }, (_, x) => inside(outer.left + x, width))
  const input = new Float32Array(channels * rows * columns)
  const share = Math.fround(1 / 255)
  for (let channel = 0, at = 0; channel < channels; channel++) {
    for (let y = 0; y < rows; y++) {
      const row = width * inside(outer.top + y, height) + channel
      for (let x = 0; x < columns; x++) input[at++] = data[row + across[x]] * share
    }
  }
  return input
}

/** Put the tile's own part of a result into the picture; as the array does, rounded half to even. */
function keep(out, channels, result, up, outer, tile, margin) {
  const [rows, columns] = [up * (outer.bottom - outer.top), up * (outer.right - outer.left)]
  const top = Math.max(up * (tile.top - margin), 0)
  const bottom = Math.min(up * (tile.bottom - margin), out.height)
  const left = Math.max(up * (tile.left - margin), 0)
  const right = Math.min(up * (tile.right - margin), out.width)
  for (let channel = 0; channel < channels; channel++) {
    for (let y = top; y < bottom; y++) {
      let from = columns * (rows * channel + y + up * (margin - outer.top)) + left + up * (margin - outer.left)
      let to = out.step * (out.width * y + left) + channel
      for (let x = left; x < right; x++, to += out.step) out.data[to] = Math.fround(result[from++] * 255)
    }
  }
}
