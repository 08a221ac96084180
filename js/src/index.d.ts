/** What went wrong. `unmarked`: the file has no mark, or is of a format without marks. `stale`: the
 * mark no longer fits the picture, which was edited. `damaged`: the mark or the file's header is.
 * `unknown-network`: the folder of weights does not have the network. `weights`: the folder is
 * missing or damaged, or a file in it was altered. `runtime`: onnxruntime-web is missing or cannot
 * run. `unsupported`: this browser cannot. `too-large`: more than 178,956,970 pixels. */
export type ErrorCode =
  | 'unmarked'
  | 'stale'
  | 'damaged'
  | 'unknown-network'
  | 'weights'
  | 'runtime'
  | 'unsupported'
  | 'too-large'
  | 'cancelled'
  | 'failed'

export class ComrecError extends Error {
  readonly code: ErrorCode
  constructor(code: ErrorCode, message: string)
}

/** What comrec stored in a file for its decoder. */
export interface Mark {
  /** The file's picture has 1/scale of each side. */
  scale: 1 | 2
  /** Of the standard codec, 0..100. */
  quality: number
  /** Of the full picture, pixels, as stored: not turned by the orientation. */
  width: number
  height: number
  /** The first 20 hexadecimal digits of the SHA-256 of the network. */
  network: string
}

export interface Config {
  /** The folder that `comrec web export-weights` filled; by default `weights/` beside the script. */
  weights?: string | URL
  /** The folder with the files of onnxruntime-web; by default `ort/` beside the script. */
  runtime?: string | URL
  /** Threads, where the page is cross-origin isolated; 0, the default: as cores, at most 4. */
  threads?: number
  /** Use WebGPU where there is one. Needs onnxruntime-web's WebGPU build in `runtime`. */
  gpu?: boolean
}

export interface DecodeOptions {
  /** Aborting it rejects the promise with its reason, and ends the work after the current tile. */
  signal?: AbortSignal
  /** Called after each tile. */
  onProgress?: (done: number, total: number) => void
}

/** Decodes in a worker of its own, one picture after the other; networks are loaded once. */
export class Decoder {
  constructor(config?: Config)

  /** The full picture, turned as this browser turns the file. Of a file without a mark that fits, the picture as browsers show it.
   *
   * Rejects with a ComrecError, or with the reason of `signal`. */
  decode(blob: Blob, options?: DecodeOptions): Promise<ImageBitmap>

  /** The full picture as a PNG file with its ICC profile, turned as by `decode`; other metadata is not in it.
   *
   * Rejects as `decode`, and for files without a mark that fits ("unmarked", "stale"). */
  toPng(blob: Blob, options?: DecodeOptions): Promise<Blob>

  /** Ends the worker. What is being decoded rejects with "cancelled". */
  close(): void
}

/** As `Decoder.decode`, by a decoder that all calls share, with the default configuration. */
export function decode(blob: Blob, options?: DecodeOptions): Promise<ImageBitmap>

/** The mark of a .jpg, .webp or .avif file; null without one. It may be stale.
 *
 * Rejects with a ComrecError ("damaged"). */
export function mark(blob: Blob): Promise<Mark | null>

/** Shows all `<img data-comrec>` in full, those that are added later too, once they are in view.
 *
 * An image that is done, or left as it is, gets the attribute `data-comrec-state` ("done" or "left")
 * and the event `comrec`, which bubbles, with a `PictureDetail`.
 *
 * @param options.root only images inside it; by default the document. */
export function enhance(options?: Config & { root?: Document | Element }): { stop(): void }

export interface PictureDetail {
  state: 'done' | 'left'
  /** Why it was left as it is. */
  code: ErrorCode | null
  message: string | null
}

declare global {
  interface HTMLElementEventMap {
    comrec: CustomEvent<PictureDetail>
  }
}
