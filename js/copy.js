#!/usr/bin/env node
/** comrec-copy FOLDER [--gpu]: copies comrec.js and what it needs of onnxruntime-web to a site. */

import { cpSync, existsSync, mkdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const WASM = ['ort.wasm.min.mjs', 'ort-wasm-simd-threaded.mjs', 'ort-wasm-simd-threaded.wasm']
const GPU = ['ort.webgpu.min.mjs', 'ort-wasm-simd-threaded.asyncify.mjs', 'ort-wasm-simd-threaded.asyncify.wasm']

const folder = process.argv[2]
if (folder === undefined || folder.startsWith('-')) {
  console.error('usage: comrec-copy FOLDER [--gpu]')
  process.exit(2)
}
const source = join(dirname(fileURLToPath(import.meta.url)), 'src')
const runtime = dirname(createRequire(import.meta.url).resolve('onnxruntime-web/wasm'))
mkdirSync(join(folder, 'ort'), { recursive: true })
cpSync(source, folder, { recursive: true })
for (const name of [...WASM, ...(process.argv.includes('--gpu') ? GPU : [])]) {
  cpSync(join(runtime, name), join(folder, 'ort', name))
}
if (!existsSync(join(folder, 'weights', 'index.json'))) {
  console.log(`the networks: comrec web export-weights ${join(folder, 'weights')}`)
}
