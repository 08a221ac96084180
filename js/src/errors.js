/** What went wrong with a file or its weights; `code` says which kind, for programs. */
export class ComrecError extends Error {
  /**
   * @param {import('./index.js').ErrorCode} code
   * @param {string} message
   */
  constructor(code, message) {
    super(message)
    this.name = 'ComrecError'
    this.code = code
  }
}
