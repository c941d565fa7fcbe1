import { tmpdir } from 'node:os'
import { describe, expect, test } from 'vitest'
import { assertScratchSpace, fileSystemOf, listFileSystems } from '../../../agent/system/scratch.ts'

describe('the mounted file systems', () => {
  test('are listed with size and free space in bytes', async () => {
    const root = (await listFileSystems()).find(({ mountPoint }) => mountPoint === '/')
    expect(root?.totalBytes).toBeGreaterThan(1024 * 1024)
    expect(root?.freeBytes).toBeLessThanOrEqual(root?.totalBytes ?? 0)
  })

  test('what may be staged is what the file system of the directory has free', async () => {
    await assertScratchSpace(tmpdir(), 1)
    await expect(assertScratchSpace(tmpdir(), 2 ** 60)).rejects.toMatchObject({
      type: 'CommandExecutionError',
      details: expect.stringContaining('give the ramdisk more memory'),
    })
  })

  test('a path lies on the longest mount point in front of it', () => {
    const at = (mountPoint: string) => ({ source: 'x', mountPoint, totalBytes: 0, freeBytes: 0 })
    const mounts = [at('/'), at('/tmp'), at('/tmp/a')]
    expect(fileSystemOf('/tmp/a/b', mounts)?.mountPoint).toBe('/tmp/a')
    expect(fileSystemOf('/tmp/ab', mounts)?.mountPoint).toBe('/tmp')
    expect(fileSystemOf('/tmpfile', mounts)?.mountPoint).toBe('/')
    expect(fileSystemOf('/tmp', mounts)?.mountPoint).toBe('/tmp')
  })
})
