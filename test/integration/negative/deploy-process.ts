// SPDX-License-Identifier: Apache-2.0
// Owns one deploy as a process of its own, for tests that kill it or weigh it: argv is the device and the
// image_info; each step is a line on stdout, the peak of its memory the last.
import { readFileSync } from 'node:fs'
import { deployTo } from '../image/deploy-lab.ts'

const [device, imageInfo] = process.argv.slice(2) as [string, string]
let before = ''
const info = JSON.parse(imageInfo)
const deployed = await deployTo(device, info, {
  config: { permitted_image_formats: ['raw', 'gpt', info.disk_format] },
  onProgress: ({ step, percent }) => {
    const line = `${step} ${percent}`
    if (line !== before) process.stdout.write(`${line}\n`)
    before = line
  },
})
await deployed.seeding?.[Symbol.asyncDispose]()
const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]
process.stdout.write(`peak ${peak}\n`)
