import { describe, expect, test } from 'vitest'
import {
  detectFormat,
  requireWritable,
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
    ['compressed', imageWith({ 0: '\x1f\x8b\x08' })],
    ['compressed', imageWith({ 0: '\xfd7zXZ\0' })],
    ['raw', imageWith({ 0: '\x1f\x8b\x08', 510: '\x55\xaa' })],
    ['raw', new Uint8Array(0)],
  ])('tell %s', (format, bytes) => {
    expect(detectFormat(bytes)).toBe(format)
  })

  test('of a qcow2 that also looks like a GPT disk are a qcow2', () => {
    expect(detectFormat(imageWith({ 0: 'QFI\xfb', 512: 'EFI PART' }))).toBe('qcow2')
  })

  test('must show something that can be written as it is', () => {
    expect(() => requireWritable('qcow2', ['raw', 'qcow2'])).toThrow(/qemu-img convert/)
    expect(() => requireWritable('gpt', ['raw', 'qcow2', 'iso'])).not.toThrow()
    expect(() => requireWritable('raw', ['gpt'])).not.toThrow()
    expect(() => requireWritable('iso', ['raw', 'qcow2', 'iso'])).not.toThrow()
    expect(() => requireWritable('iso', ['raw'])).toThrow(/permitted_image_formats/)
    expect(() => requireWritable('raw', ['qcow2'])).toThrow(/permitted_image_formats/)
  })
})
