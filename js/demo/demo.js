import { Decoder, enhance } from './comrec/index.js'

const [full, stored] = [document.querySelector('#full'), document.querySelector('#stored')]
const status = document.querySelector('figcaption')
const compare = document.querySelector('#compare')
const decoder = new Decoder()
let began = performance.now()

function ended({ state, message }) {
  const seconds = ((performance.now() - began) / 1000).toFixed(1)
  status.textContent = state === 'done' ? `in full, after ${seconds} s` : `as stored: ${message}`
  compare.disabled = state !== 'done'
}

document.addEventListener('comrec', ({ detail }) => ended(detail))
enhance()

compare.addEventListener('click', () => {
  stored.width = full.width // at half size, files have half the pixels
  stored.hidden = !stored.hidden
  full.hidden = !stored.hidden
  compare.setAttribute('aria-pressed', String(full.hidden))
})

document.querySelector('input').addEventListener('change', async ({ target }) => {
  const [file] = target.files
  full.hidden = false
  stored.hidden = true
  full.removeAttribute('data-comrec')
  full.src = stored.src = URL.createObjectURL(file)
  full.alt = stored.alt = file.name
  status.textContent = 'as stored'
  began = performance.now()
  try {
    full.src = URL.createObjectURL(await decoder.toPng(file))
    ended({ state: 'done' })
  } catch (error) {
    ended({ state: 'left', message: error.message })
  }
})
