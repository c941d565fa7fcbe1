import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { keptResult } from '../../../agent/commands/kept-result.ts'

const MiB = 1024 * 1024
const STEP = { interface: 'deploy', step: 'write_image' }

describe('what is kept of a result', () => {
  test.each([
    ['nothing', null],
    ['a text', 'a'.repeat(65_536)],
    [
      'an echo',
      { deploy_result: { result: 'x' }, deploy_step: { ...STEP, args: { a: [1, { b: 2 }] } } },
    ],
  ])('is all of it where it is %s', (_what, value) => {
    expect(keptResult(value)).toEqual(value)
  })

  test('has a note instead of a long text or bytes, wherever they lie', () => {
    const args = { image_info: { configdrive: 'x'.repeat(65_537) }, configdrive: new Uint8Array(9) }
    expect(keptResult({ deploy_result: null, deploy_step: { ...STEP, args } })).toEqual({
      deploy_result: null,
      deploy_step: {
        ...STEP,
        args: {
          image_info: { configdrive: '<65537 characters, not kept to bound memory>' },
          configdrive: '<9 bytes, not kept to bound memory>',
        },
      },
    })
  })

  test.each([
    ['many texts', Array.from({ length: 100 }, () => 'x'.repeat(60_000))],
    ['many numbers', Array.from({ length: 1_000_000 }, (_, i) => i)],
    ['many names', Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`name-${i}`, i]))],
  ])('is interface and step of an echo that has %s', (_what, extra) => {
    const kept = keptResult({ deploy_result: null, deploy_step: { ...STEP, args: { extra } } })
    expect(kept).toMatchObject({ deploy_result: null, deploy_step: STEP })
    expect(JSON.stringify(kept).length).toBeLessThan(1000)
  })

  test('is at most 1 MiB even of what is no echo', () => {
    const wide = Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`name-${i}`, i]))
    expect(keptResult(wide)).toEqual({ dropped: expect.any(String) })
  })

  test('is bounded in depth: a list in lists a million deep is no end of the stack', () => {
    let deep: unknown = 1
    for (let i = 0; i < 1_000_000; i++) deep = [deep]
    expect(JSON.stringify(keptResult(deep)).length).toBeLessThan(1000)
  })

  test('is JSON of at most 1 MiB, whatever the result is', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const kept = keptResult(value)
        expect(kept).toEqual(value)
        expect(JSON.stringify(kept).length).toBeLessThanOrEqual(MiB)
      }),
    )
  })
})
