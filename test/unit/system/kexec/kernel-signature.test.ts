import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  isSignedKernel,
  whatEnforcesSignatures,
} from '../../../../agent/system/kexec/kernel-signature.ts'
import { loadKernelArgv } from '../../../../agent/system/kexec/kexec.ts'
import { createRoot } from '../../../../agent/system/root.ts'

/** The headers of a PE32+ file as bzImages have them. */
function peHead(certificateBytes: number, magic = 0x20b): Uint8Array {
  const head = new Uint8Array(1024)
  const view = new DataView(head.buffer)
  head.set(Buffer.from('MZ'))
  view.setUint32(0x3c, 0x82, true)
  head.set(Buffer.from('PE\0\0'), 0x82)
  view.setUint16(0x82 + 24, magic, true)
  view.setUint32(0x82 + 24 + (magic === 0x20b ? 112 : 96) + 4 * 8 + 4, certificateBytes, true)
  return head
}

describe('a kernel', () => {
  test.each([0x20b, 0x10b])('is signed where its header (0x%s) has certificates', (magic) => {
    expect(isSignedKernel(peHead(1464, magic))).toBe(true)
    expect(isSignedKernel(peHead(0, magic))).toBe(false)
  })

  test('of another format, or cut short, is not', () => {
    for (let length = 0; length < 300; length++) {
      expect(isSignedKernel(peHead(1464).subarray(0, length))).toBe(length >= 0x82 + 24 + 152)
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        bytes.set(Buffer.from('MZ').subarray(0, bytes.length))
        isSignedKernel(bytes)
      }),
    )
  })
})

describe('this machine', () => {
  const SECURE_BOOT = 'sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c'
  test.each([
    [{}, undefined],
    [{ 'sys/kernel/security/lockdown': '[none] integrity confidentiality\n' }, undefined],
    [
      { 'sys/kernel/security/lockdown': 'none [integrity] confidentiality\n' },
      'kernel lockdown (integrity)',
    ],
    [{ [SECURE_BOOT]: '\x06\0\0\0\x01' }, 'secure boot'],
    [{ [SECURE_BOOT]: '\x06\0\0\0\0' }, undefined],
    [
      { [SECURE_BOOT]: '\x06\0\0\0\x01', 'sys/kernel/security/lockdown': '[none] integrity\n' },
      undefined,
    ],
  ])('with %j asks for a signature by %s', async (files, expected) => {
    const folder = await mkdtemp(join(tmpdir(), 'ironswarm-sys-'))
    try {
      for (const [path, text] of Object.entries(files)) {
        await mkdir(dirname(join(folder, path)), { recursive: true })
        await writeFile(join(folder, path), text)
      }
      expect(await whatEnforcesSignatures(createRoot(folder))).toBe(expected)
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})

test('a kernel that must be signed is loaded by the call that verifies it, and by no other', () => {
  const kernel = { kernelPath: '/k', initrdPath: '/i', commandLine: 'root=/dev/x "a b"' }
  expect(loadKernelArgv({ ...kernel, mustBeSigned: true })).toEqual([
    'kexec',
    '--load',
    '--kexec-file-syscall',
    '--command-line=root=/dev/x "a b"',
    '--initrd=/i',
    '/k',
  ])
  const plain = { ...kernel, initrdPath: undefined, mustBeSigned: false }
  expect(loadKernelArgv(plain)).toContain('--kexec-syscall-auto')
  expect(loadKernelArgv(plain)).not.toContain('--initrd=/i')
})
