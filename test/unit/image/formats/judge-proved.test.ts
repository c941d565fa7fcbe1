import { expect, test } from 'vitest'
import { judgeProved } from '../../../../agent/image/formats/judge-file.ts'

const ZSTD = Buffer.from('28b52ffd00000000', 'hex')
const GZIP = Buffer.from('1f8b080000000000', 'hex')
const NAMED = { disk: null, packing: null }

test('the beginning of a proved file must be of the format that its server showed at first', () => {
  expect(judgeProved(ZSTD, 'zstd', NAMED, ['raw'])).toBeNull()
  expect(() => judgeProved(GZIP, 'zstd', NAMED, ['raw'])).toThrow(/is gzip.*showed zstd/)
  const descriptor = Buffer.from('# Disk DescriptorFile\nRW 1 FLAT "/dev/sdb" 0\n')
  expect(() => judgeProved(descriptor, 'vmdk', NAMED, ['vmdk'])).toThrow(/names other files/)
})
