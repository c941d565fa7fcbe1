import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  CLAIM_HOPS,
  CLAIM_KINDS,
  MAX_CLAIMS_PER_MESSAGE,
} from '../../../../../agent/sources/swarm/engine/origin/claim.ts'
import { decodeClaim, encodeClaim } from '../../../../../agent/sources/swarm/wire/claim-message.ts'
import { MESSAGE_IDS, readUint32 } from '../../../../../agent/sources/swarm/wire/messages.ts'

const claim = fc.record({
  kind: fc.constantFrom(...Object.values(CLAIM_KINDS)),
  hops: fc.integer({ min: 1, max: CLAIM_HOPS }),
  pieces: fc.array(fc.integer({ min: 0, max: 0xffffffff }), {
    minLength: 1,
    maxLength: MAX_CLAIMS_PER_MESSAGE,
  }),
})

test('what is said is what is heard', () => {
  fc.assert(
    fc.property(claim, fc.integer({ min: 1, max: 255 }), (said, id) => {
      const bytes = encodeClaim(id, said)
      expect(readUint32(bytes, 0)).toBe(bytes.length - 4)
      expect([bytes[4], bytes[5]]).toEqual([MESSAGE_IDS.extended, id])
      expect(decodeClaim(bytes.subarray(6))).toEqual(said)
    }),
  )
})

test('other bytes are either a claim within the limits or none', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
      const heard = decodeClaim(bytes)
      if (heard === undefined) return
      expect(heard.pieces.length).toBeLessThanOrEqual(MAX_CLAIMS_PER_MESSAGE)
      expect(heard.hops).toBeLessThanOrEqual(CLAIM_HOPS)
      expect(Object.values(CLAIM_KINDS)).toContain(heard.kind)
    }),
  )
  const [kind, hops] = [CLAIM_KINDS.begun, 1]
  expect(decodeClaim(Uint8Array.of(kind, hops))).toBeUndefined()
  expect(decodeClaim(Uint8Array.of(kind, hops, 0, 0, 1))).toBeUndefined()
  expect(decodeClaim(Uint8Array.of(kind, 0, 0, 0, 0, 1))).toBeUndefined()
  expect(decodeClaim(Uint8Array.of(9, hops, 0, 0, 0, 1))).toBeUndefined()
})
