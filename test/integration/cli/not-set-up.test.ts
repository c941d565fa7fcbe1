// A checkout whose packages are not installed, and one that is called from elsewhere.
import { execFile } from 'node:child_process'
import { cp, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'

const PROJECT = join(import.meta.dirname, '../../..')

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ironswarm-clone-'))
  for (const name of ['agent', 'extensions', 'package.json']) {
    await cp(join(PROJECT, name), join(folder, name), { recursive: true })
  }
})
afterAll(() => rm(folder, { recursive: true, force: true }))

function call(program: string, args: string[]) {
  return new Promise<{ code: unknown; stdout: string; stderr: string }>((resolve) => {
    execFile(program, args, { cwd: folder }, (error, stdout, stderr) =>
      resolve({ code: error?.code ?? 0, stdout, stderr }),
    )
  })
}

test('the command says in one line what to run first', async () => {
  const { code, stderr } = await call(join(folder, 'agent/ironswarm'), ['--help'])
  expect(code).toBe(1)
  expect(stderr).toBe(`ironswarm: this checkout is not set up; run: make -C ${folder} setup\n`)
})

test('so does its main file, by a Node that can run it', async () => {
  const { code, stderr } = await call(process.execPath, [join(folder, 'agent/main.ts'), '--help'])
  expect(code).toBe(1)
  expect(stderr).toMatch(/^ironswarm: Cannot find package .*; in a checkout run: make setup\n$/)
})

test('the command runs from any folder and through links', async () => {
  const link = join(folder, 'link')
  await symlink(join(PROJECT, 'agent/ironswarm'), link)
  const { code, stdout } = await call(link, ['--version'])
  expect(code).toBe(0)
  expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
})
