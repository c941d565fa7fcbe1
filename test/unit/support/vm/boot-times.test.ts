import { describe, expect, test } from 'vitest'
import { bootTimes, formatBootTimes } from '../../../support/vm/boot-times.ts'

const SERIAL = `SeaBIOS
[    0.000000] Linux version 6.1.0
[    2.300000] Run /init as init process
[    2.700000] ironswarm: init
[    2.800000] ironswarm: agent starts
[    3.700000] ironswarm: drivers
[    5.000000] ironswarm: devices
[    5.250000] ironswarm: network: enp0s2
{"level":"info","time":"2026-11-21T12:00:08.000Z","uptime_s":8.5,"msg":"agent started"}
{"level":"info","time":"2026-11-21T12:00:09.000Z","msg":"look the node up started"}
{"level":"info","time":"2026-11-21T12:00:09.500Z","msg":"look the node up finished"}
{"level":"info","time":"2026-11-21T12:00:10.500Z","msg":"api listening"}
{"level":"info","time":"2026-11-21T12:00:10.600Z","msg":"heartbeat sent"}
{"level":"info","time":"2026-11-21T12:01:10.600Z","msg":"heartbeat sent"}
`

describe('where the time of a boot goes', () => {
  test('is read from the clocks of the kernel and of the agent', () => {
    const times = bootTimes(SERIAL)
    expect(times?.seconds).toBeCloseTo(11.1)
    expect(times && formatBootTimes(times)).toBe(
      "first heartbeat 11.1 s after the kernel's start: kernel 2.3, root 0.4, drivers 1.0, devices 1.3, " +
        'network 0.3, Node 3.3, hardware 1.0, look-up 0.5, API 1.0, heartbeat 0.1',
    )
  })

  test('is not told when the boot never came to a heartbeat', () => {
    expect(bootTimes(SERIAL.replaceAll('heartbeat sent', 'heartbeat failed'))).toBeUndefined()
    expect(bootTimes('')).toBeUndefined()
  })
})
