// Makes requests with Node's own HTTP and TLS, as edgewatch's contract has it (docs/programs.md): its `https`, in which axios,
// got and node-fetch end. One JSON object a line on standard input, one on standard output; it ends with its input.
import http from 'node:http'
import https from 'node:https'
import fs from 'node:fs'
import readline from 'node:readline'
import tls from 'node:tls'

const say = (said) => process.stdout.write(JSON.stringify({ v: 1, ...said }) + '\n')

// In edgewatch's words for failures; what it does not know reads as the program's own trouble.
const kindOf = (wrong) => {
  if (wrong.code === 'ECONNRESET') return 'reset'
  if (wrong.code === 'ETIMEDOUT') return 'timeout'
  if (/^(CERT_|UNABLE_TO|SELF_SIGNED|DEPTH_ZERO|ERR_TLS_CERT)/.test(wrong.code ?? '')) return 'certificate'
  return /^(EPROTO|ERR_SSL)/.test(wrong.code ?? '') ? 'handshake' : 'program'
}

// A tunnel through edgewatch's port, and TLS in it; no session is taken up, which would be another fingerprint.
const connected = (asked, url) => new Promise((resolve, reject) => {
  const target = `${url.hostname}:${url.port || 443}`
  const tunnel = http.request({ ...asked.proxy, method: 'CONNECT', path: target, headers: { Host: target } })
  tunnel.on('error', reject)
  tunnel.on('connect', (answer, socket) => {
    if (answer.statusCode !== 200) return reject(new Error(`no tunnel: ${answer.statusCode}`))
    const ca = asked.trust === null ? undefined : fs.readFileSync(asked.trust)
    const secure = tls.connect({ socket, servername: url.hostname, ca, session: undefined })
    secure.on('secureConnect', () => resolve(secure))
    secure.on('error', reject)
  })
  tunnel.end()
})

const ask = async (asked) => {
  const url = new URL(asked.url)
  const headers = Object.fromEntries(asked.headers)
  if (asked.user_agent !== null && !Object.keys(headers).some((name) => name.toLowerCase() === 'user-agent')) headers['User-Agent'] = asked.user_agent
  const body = asked.body === null ? null : Buffer.from(asked.body, 'base64')
  if (body !== null) headers['Content-Length'] = body.length
  const options = { method: asked.method, headers, timeout: asked.timeout_ms }
  let request
  if (url.protocol === 'https:') {
    const socket = await connected(asked, url)
    request = https.request(url, { ...options, createConnection: () => socket })
  } else {
    request = http.request({ ...options, ...asked.proxy, path: asked.url, headers: { Host: url.host, ...headers } })
  }
  const begun = performance.now()
  return new Promise((resolve, reject) => {
    request.on('error', reject)
    request.on('timeout', () => request.destroy(Object.assign(new Error('timed out'), { code: 'ETIMEDOUT' })))
    request.on('response', async (answer) => {
      const first = performance.now() - begun
      const most = asked.body_bytes_max
      const pieces = []
      let size = 0
      try {
        for await (const piece of answer) {
          pieces.push(piece)
          size += piece.length
          if (size > most) break
        }
      } catch (wrong) {
        return reject(wrong)
      }
      const raw = answer.rawHeaders
      resolve({
        status: answer.statusCode,
        http: answer.httpVersion === '1.0' ? '1.0' : '1.1',
        headers: raw.flatMap((name, at) => (at % 2 === 0 ? [[name, raw[at + 1]]] : [])),
        body: Buffer.concat(pieces).subarray(0, most).toString('base64'),
        truncated: size > most,
        timing_ms: { first_byte: first, total: performance.now() - begun },
      })
      request.destroy()
    })
    request.end(body ?? undefined)
  })
}

say({ hello: { name: 'node https', version: process.versions.node } })
for await (const line of readline.createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line)
  let said
  try {
    said = await ask(asked)
  } catch (wrong) {
    said = { error: { kind: kindOf(wrong), message: String(wrong.message) } }
  }
  say({ id: asked.id, ...said })
}
