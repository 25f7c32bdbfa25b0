// Reads {private, public, auth, body} (base64url) from standard input and writes
// what a browser would make of the push message: RFC 8291 on Node's own
// cryptography, which shares nothing with the program.
import { createECDH, createDecipheriv, hkdfSync } from 'node:crypto'

let text = ''
for await (const chunk of process.stdin) text += chunk
const input = JSON.parse(text)
const bytes = (s) => Buffer.from(s, 'base64url')
const body = bytes(input.body)
const salt = body.subarray(0, 16)
const size = body.readUInt32BE(16)
const idLength = body[20]
const sender = body.subarray(21, 21 + idLength)
const record = body.subarray(21 + idLength)
if (record.length > size) throw new Error('more than one record')
const ecdh = createECDH('prime256v1')
ecdh.setPrivateKey(bytes(input.private))
const shared = ecdh.computeSecret(sender)
const info = Buffer.concat([Buffer.from('WebPush: info\0'), bytes(input.public), sender])
const ikm = Buffer.from(hkdfSync('sha256', shared, bytes(input.auth), info, 32))
const key = Buffer.from(hkdfSync('sha256', ikm, salt, Buffer.from('Content-Encoding: aes128gcm\0'), 16))
const nonce = Buffer.from(hkdfSync('sha256', ikm, salt, Buffer.from('Content-Encoding: nonce\0'), 12))
const open = createDecipheriv('aes-128-gcm', key, nonce)
open.setAuthTag(record.subarray(record.length - 16))
const plain = Buffer.concat([open.update(record.subarray(0, record.length - 16)), open.final()])
let end = plain.length - 1
while (end >= 0 && plain[end] === 0) end--
if (plain[end] !== 2) throw new Error('the last record does not end with 2')
process.stdout.write(plain.subarray(0, end))
