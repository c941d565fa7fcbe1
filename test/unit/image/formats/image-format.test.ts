import { describe, expect, test } from 'vitest'
import {
  detectFormat,
  judgeFirstBytes,
  SNIFFED_BYTES,
} from '../../../../agent/image/formats/image-format.ts'

/** An image whose bytes are zero but for these Latin-1 texts. */
function imageWith(parts: Record<number, string>): Uint8Array {
  const bytes = Buffer.alloc(SNIFFED_BYTES)
  for (const [offset, text] of Object.entries(parts)) bytes.write(text, Number(offset), 'latin1')
  return bytes
}

describe('the first bytes of an image', () => {
  test.each([
    ['raw', imageWith({})],
    ['raw', imageWith({ 510: '\x55\xaa' })],
    ['gpt', imageWith({ 510: '\x55\xaa', 512: 'EFI PART' })],
    ['gpt', imageWith({ 4096: 'EFI PART' })],
    ['qcow2', imageWith({ 0: 'QFI\xfb\0\0\0\x03' })],
    ['vmdk', imageWith({ 0: 'KDMV' })],
    ['vmdk', imageWith({ 0: '# Disk DescriptorFile\n' })],
    ['vhdx', imageWith({ 0: 'vhdxfile' })],
    ['vhd', imageWith({ 0: 'conectix' })],
    ['vdi', imageWith({ 64: '\x7f\x10\xda\xbe' })],
    ['qed', imageWith({ 0: 'QED\0' })],
    ['luks', imageWith({ 0: 'LUKS\xba\xbe' })],
    ['iso', imageWith({ 32769: 'CD001' })],
    ['gzip', imageWith({ 0: '\x1f\x8b\x08' })],
    ['xz', imageWith({ 0: '\xfd7zXZ\0' })],
    ['zstd', imageWith({ 0: '\x28\xb5\x2f\xfd' })],
    ['zstd', imageWith({ 0: '\x5e\x2a\x4d\x18' })],
    ['bzip2', imageWith({ 0: 'BZh9' })],
    ['lz4', imageWith({ 0: '\x04\x22\x4d\x18' })],
    ['zip', imageWith({ 0: 'PK\x03\x04' })],
    ['tar', imageWith({ 257: 'ustar' })],
    ['parallels', imageWith({ 0: 'WithouFreSpacExt' })],
    ['raw', imageWith({ 0: '\x1f\x8b\x08', 510: '\x55\xaa' })],
    ['raw', new Uint8Array(0)],
  ])('tell %s', (format, bytes) => {
    expect(detectFormat(bytes)).toBe(format)
  })

  test('of a qcow2 that also looks like a GPT disk are a qcow2', () => {
    expect(detectFormat(imageWith({ 0: 'QFI\xfb', 512: 'EFI PART' }))).toBe('qcow2')
  })

  const MBR = { 510: '\x55\xaa' }
  const judge = (parts: Record<number, string>, named: string | null, permitted = ['raw', 'gpt']) =>
    judgeFirstBytes(imageWith(parts), named as 'raw' | null, permitted)

  test.each<[string, Record<number, string>, string | null, string[], string]>([
    ['a disk that nobody named', MBR, null, ['gpt'], 'raw'],
    ['a disk with a GPT that nobody named', { ...MBR, 512: 'EFI PART' }, null, ['raw'], 'gpt'],
    ['a disk named raw, whatever is permitted', MBR, 'raw', ['qcow2'], 'raw'],
    ['a disk named gpt', { ...MBR, 512: 'EFI PART' }, 'gpt', ['qcow2'], 'gpt'],
    ['an isohybrid image that nobody named', { ...MBR, 32769: 'CD001' }, null, ['iso'], 'iso'],
    ['an isohybrid image by its name', { ...MBR, 32769: 'CD001' }, 'iso', ['iso'], 'iso'],
    [
      'one with a GPT by its name',
      { ...MBR, 512: 'EFI PART', 32769: 'CD001' },
      'iso',
      ['iso'],
      'iso',
    ],
    ['an isohybrid image named raw', { ...MBR, 32769: 'CD001' }, 'raw', ['raw'], 'raw'],
  ])('let %s be written', (_, parts, named, permitted, format) => {
    expect(judge(parts, named, permitted)).toBe(format)
  })

  test.each<[string, Record<number, string>, RegExp]>([
    ['qcow2', { 0: 'QFI\xfb' }, /the image is qcow2.*qemu-img convert/],
    ['gzip', { 0: '\x1f\x8b\x08' }, /the image is gzip.*raw, gpt, iso/],
    ['zstd', { 0: '\x28\xb5\x2f\xfd' }, /the image is zstd/],
    ['xz', { 0: '\xfd7zXZ\0' }, /the image is xz/],
    ['bzip2', { 0: 'BZh9' }, /the image is bzip2/],
    ['vmdk', { 0: 'KDMV' }, /the image is vmdk/],
    ['tar', { 257: 'ustar' }, /the image is tar/],
    ['an ext4 file system', { 1080: '\x53\xef' }, /no partition table.*ext4/],
    ['an XFS file system', { 0: 'XFSB' }, /no partition table.*XFS/],
    ['an ISO image that is not isohybrid', { 32769: 'CD001' }, /no partition table.*isohybrid/],
    ['zeros', {}, /no partition table/],
  ])('refuse %s, named raw, gpt or not at all, and say what was found', (_, parts, words) => {
    for (const named of ['raw', 'gpt', null]) {
      expect(() => judge(parts, named, ['raw', 'gpt', 'iso', 'qcow2'])).toThrow(words)
    }
  })

  test('must be those of an ISO image where it is named one, and ISO images permitted', () => {
    expect(() => judge(MBR, 'iso', ['iso'])).toThrow(/disk_format is iso.*show raw/)
    for (const named of ['iso', null]) {
      expect(() => judge({ ...MBR, 32769: 'CD001' }, named)).toThrow(/permitted_image_formats/)
    }
    expect(() => judge(MBR, null, ['qcow2'])).toThrow(/permitted_image_formats/)
  })
})
