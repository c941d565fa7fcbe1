// SPDX-License-Identifier: Apache-2.0
// Owns the test origin as a process, for networks a test is not in: `node origin-process.ts PATH HOST
// BYTES_PER_SECOND`. Prints its url, and every 100 ms the bytes it has sent.
import { createHttpOrigin } from '../../support/http-origin.ts'

const [path, host, rate] = process.argv.slice(2) as [string, string, string]
const faults = { rateBytesPerSecond: Number(rate) }
const origin = await createHttpOrigin({ path, host, faults })
console.log(`url ${origin.url}`)
setInterval(() => console.log(`sent ${origin.bytesSent}`), 100)
