// SPDX-License-Identifier: Apache-2.0
// Owns `make fuzz-images`: a million damaged images and more for each format, for a night. Ends with 1 on a
// finding, and says how to repeat it.
//
//   FORMAT=qcow2 SEED=1 FROM=0 COUNT=1000000 node test/fuzz/images/main.ts
import { FUZZED_FORMATS } from './formats.ts'
import { fuzzFormat } from './fuzz.ts'

const SAID_EVERY_MS = 10_000
const MiB = 1024 * 1024

const { FORMAT, SEED, FROM, COUNT } = process.env
// make hands on what is not set as nothing
const range = { seed: Number(SEED || 1), from: Number(FROM || 0), count: Number(COUNT || 1e6) }
const formats = Object.entries(FUZZED_FORMATS).filter(([name]) => !FORMAT || name === FORMAT)
if (formats.length === 0) {
  console.error(`fuzz-images: no format ${FORMAT}; there are ${Object.keys(FUZZED_FORMATS)}`)
  process.exit(2)
}
for (const [name, format] of formats) {
  const began = performance.now()
  let said = began
  const sayWhere = (number: number) => {
    const now = performance.now()
    if (now - said < SAID_EVERY_MS) return
    said = now
    console.log(`${name}: at ${number} of seed ${range.seed}, ${memoryMiB()} MiB`)
  }
  const sayFinding = (number: number, error: unknown) => {
    console.error(`FORMAT=${name} SEED=${range.seed} FROM=${number} COUNT=1:`, error)
    process.exitCode = 1
  }
  const report = await fuzzFormat(format, range, sayWhere, sayFinding)
  const { taken, refused, refusals, findings } = report
  const seconds = ((performance.now() - began) / 1000).toFixed(0)
  for (const [words, times] of [...refusals].sort(([, a], [, b]) => b - a)) {
    console.log(`${String(times).padStart(9)}  ${words}`)
  }
  console.log(
    `${name}: ${taken} taken, ${refused} refused, ${findings.length} findings, ${seconds} s, ` +
      `peak ${(process.resourceUsage().maxRSS / 1024).toFixed(0)} MiB`,
  )
}

function memoryMiB(): string {
  return (process.memoryUsage.rss() / MiB).toFixed(0)
}
