// The runner is a program of its own that notes how it is called and what it could read at that moment.
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Config } from '../../../../agent/config/options.ts'
import { createContainerManager } from '../../../../agent/hardware/container/container-manager.ts'
import { type Hardware, loadHardware } from '../../../../agent/hardware/dispatcher.ts'
import { announcedSteps } from '../../../../agent/hardware/steps.ts'
import { exec } from '../../../../agent/system/exec.ts'
import { createRoot } from '../../../../agent/system/root.ts'
import { createLogger } from '../../../../agent/telemetry/logger.ts'
import { defaultConfig } from '../../../support/config.ts'
import { callWith, managerWith, stepWith } from '../manager-fixture.ts'

const IMAGE = 'registry.example/tools/erase@sha256:0123'
const PODMAN = `#!/bin/sh
[ "$1" = --version ] && exit 0
echo "$*" | sed 's/registry-[0-9a-f-]*/registry-ID/; s/ --cidfile=[^ ]*//' >> "$NOTES/called"
for word; do case $word in --authfile=*) cat "\${word#*=}" >> "$NOTES/told" ;; esac; done
[ "$1" = run ] && ls "$NOTES/run" "$NOTES/auth" > "$NOTES/seen" 2>/dev/null
exit 0
`

let folder: string
const path = process.env['PATH']

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ironswarm-container-'))
  await writeFile(join(folder, 'podman'), PODMAN, { mode: 0o755 })
  process.env['PATH'] = `${folder}:${path}`
  process.env['NOTES'] = folder
})
afterEach(async () => {
  process.env['PATH'] = path
  await rm(folder, { recursive: true, force: true })
})

const called = async () => (await readFile(join(folder, 'called'), 'utf8')).trim().split('\n')

async function hardwareWith(settings: Partial<Config> = {}): Promise<Hardware> {
  const config = { ...defaultConfig(), run_dir: join(folder, 'run'), ...settings }
  const log = createLogger({ level: 'silent' })
  return await loadHardware([
    createContainerManager({ exec, root: createRoot(folder), log, config: () => config }),
    managerWith('Generic', 1, { steps: [stepWith('erase', 0)] }),
  ])
}

const STEPS_FILE = '/etc/ironic-python-agent.d/mysteps.yaml'
async function stepsFile(text: string): Promise<Partial<Config>> {
  await writeFile(join(folder, 'steps.yaml'), text)
  return { container_steps_file: '/steps.yaml' }
}

describe('a container that the arguments of a step name', () => {
  test('runs if it is allowed, with the options of the configuration and no others', async () => {
    const hardware = await hardwareWith({
      allowed_containers: [`docker://${IMAGE}`],
      pull_options: ['--tls-verify=false --quiet'],
    })
    const args = { container_url: IMAGE, run_options: '--privileged -v /:/host' }
    await hardware.runStep('clean', 'generic_container_step', callWith(args))
    expect(await called()).toEqual([
      `pull --tls-verify=false --quiet ${IMAGE}`,
      `run --pull=never --rm --network=host ${IMAGE}`,
    ])
  })

  test.each([
    ['registry.example/tools/erase:latest', 'ContainerNotPermittedError'],
    [`containers-storage:${IMAGE}`, 'ContainerNotPermittedError'],
    [`${IMAGE}0`, 'ContainerNotPermittedError'],
    ['--privileged', 'InvalidCommandParamsError'],
    [7, 'InvalidCommandParamsError'],
    ['', 'InvalidCommandParamsError'],
  ])('does not run if it is another: %j', async (url, type) => {
    const hardware = await hardwareWith({ allowed_containers: [IMAGE] })
    const call = callWith({ container_url: url })
    await expect(hardware.runStep('service', 'container_clean_step', call)).rejects.toMatchObject({
      type,
    })
    await expect(called()).rejects.toThrow('ENOENT')
  })

  test('may be any, with any options, where that is switched on', async () => {
    const hardware = await hardwareWith({ allow_arbitrary_containers: true })
    const args = { container_url: 'any:1', pull_options: ['--quiet'], run_options: '--rm  -it' }
    await hardware.runStep('deploy', 'generic_container_step', callWith(args))
    expect(await called()).toEqual(['pull --quiet any:1', 'run --pull=never --rm -it any:1'])
  })
})

describe('what a registry is told of who asks', () => {
  test('is a file that is gone while the container runs, and is there again afterwards', async () => {
    const auth = join(folder, 'auth')
    await writeFile(auth, '{"auths":"secret"}')
    await chmod(auth, 0o640)
    const hardware = await hardwareWith({
      allowed_containers: [IMAGE],
      pull_options: [`--authfile ${auth}`],
    })
    for (let i = 1; i <= 2; i++) {
      await hardware.runStep('clean', 'generic_container_step', callWith({ container_url: IMAGE }))
      expect(await readFile(join(folder, 'told'), 'utf8')).toBe('{"auths":"secret"}'.repeat(i))
      expect(await readFile(join(folder, 'seen'), 'utf8')).not.toMatch(/auth|registry/)
      expect(await readFile(auth, 'utf8')).toBe('{"auths":"secret"}')
      expect((await stat(auth)).mode & 0o777).toBe(0o640)
    }
    expect(await readdir(join(folder, 'run'))).toEqual([])
  })

  test.each(['pull', 'run'])('is put back where the %s fails', async (failing) => {
    const auth = join(folder, 'auth')
    await writeFile(auth, 'secret')
    await writeFile(join(folder, 'podman'), PODMAN.replace(/exit 0\n$/, `[ "$1" != ${failing} ]\n`))
    const hardware = await hardwareWith({
      allowed_containers: [IMAGE],
      pull_options: [`--authfile=${auth}`],
    })
    const call = callWith({ container_url: IMAGE })
    await expect(hardware.runStep('clean', 'generic_container_step', call)).rejects.toMatchObject({
      type: 'ProcessError',
    })
    expect(await readFile(auth, 'utf8')).toBe('secret')
    expect(await readdir(join(folder, 'run'))).toEqual([])
  })

  test('is not in the process list', async () => {
    const hardware = await hardwareWith({
      allowed_containers: [IMAGE],
      pull_options: ['--creds', 'user:hunter2'],
    })
    await hardware.runStep('clean', 'generic_container_step', callWith({ container_url: IMAGE }))
    expect((await called())[0]).toBe(
      `pull --authfile=${join(folder, 'run')}/registry-ID.json ${IMAGE}`,
    )
    const told = JSON.parse(await readFile(join(folder, 'told'), 'utf8'))
    expect(told).toEqual({
      auths: { 'registry.example': { auth: Buffer.from('user:hunter2').toString('base64') } },
    })
  })

  test('is removed where the pull fails, and the container does not run', async () => {
    const failing = PODMAN.replace(/exit 0\n$/, '[ "$1" = run ]\n')
    await writeFile(join(folder, 'podman'), failing)
    const hardware = await hardwareWith({
      allowed_containers: [IMAGE],
      pull_options: ['--creds=user:hunter2'],
    })
    const call = callWith({ container_url: IMAGE })
    await expect(hardware.runStep('clean', 'generic_container_step', call)).rejects.toMatchObject({
      type: 'ProcessError',
    })
    expect(await called()).toHaveLength(1)
    expect(await readdir(join(folder, 'run'))).toEqual([])
  })

  test('is removed where an agent that was killed has left it, and nothing else is', async () => {
    await mkdir(join(folder, 'run'))
    const names = [`registry-${randomUUID()}.json`, 'token']
    for (const name of names) await writeFile(join(folder, 'run', name), 'hunter2')
    await hardwareWith()
    expect(await readdir(join(folder, 'run'))).toEqual(['token'])
  })
})

describe('a container that runs', () => {
  // as podman is: the container is no child of who waits for it, and outlives it
  const DETACHED = `#!/bin/sh
case $1 in
run)
  for word; do case $word in --cidfile=*) id=\${word#*=} ;; esac; done
  setsid sh -c 'echo $$ > "$1"; exec sleep 3598.75' sh "$id" > /dev/null 2>&1 &
  until [ -s "$id" ]; do sleep 0.1; done
  cat "$id" > "$NOTES/running"
  wait ;;
rm) echo "$*" >> "$NOTES/called"; kill "$3" ;;
esac
`
  const isThere = async (pid: number) => existsSync(`/proc/${pid}`)

  test('ends with the step that is aborted', async () => {
    await writeFile(join(folder, 'podman'), DETACHED)
    const hardware = await hardwareWith({ allowed_containers: [IMAGE] })
    const abort = new AbortController()
    const base = callWith({ container_url: IMAGE })
    const call = { ...base, context: { ...base.context, signal: abort.signal } }
    const running = hardware.runStep('clean', 'generic_container_step', call)
    const ended = expect(running).rejects.toMatchObject({ type: 'ProcessError' })
    const noted = join(folder, 'running')
    await expect.poll(() => existsSync(noted), { timeout: 60_000 }).toBe(true)
    const pid = Number(await readFile(noted, 'utf8'))
    expect(await isThere(pid)).toBe(true)
    abort.abort()
    await ended
    expect(await called()).toEqual([`rm --force ${pid}`])
    await expect.poll(() => isThere(pid), { timeout: 60_000 }).toBe(false)
    expect(await readdir(join(folder, 'run'))).toEqual([])
  })

  test.each(['1', '2'])('may print as much as it likes, to descriptor %s', async (descriptor) => {
    const printing = PODMAN.replace(
      /exit 0\n$/,
      `head -c 20000000 /dev/zero | tr '\\0' x >&${descriptor}\nexit 0\n`,
    )
    await writeFile(join(folder, 'podman'), printing)
    const hardware = await hardwareWith({ allowed_containers: [IMAGE] })
    const call = callWith({ container_url: IMAGE })
    expect(await hardware.runStep('clean', 'generic_container_step', call)).toBeNull()
  })
})

describe('the steps of the ramdisk', () => {
  const YAML = `# built in
steps:
  - name: burn
    image: docker://${IMAGE}   # pinned
    interface: deploy
    reboot_requested: False
    abortable: True
    priority: 20
    pull_options:
      - --quiet
    run_options: ["--rm", "--privileged"]
`

  test('have their priority in cleaning alone, their own options, and need no permission', async () => {
    const hardware = await hardwareWith(await stepsFile(YAML))
    const announced = (kind: 'clean' | 'deploy') =>
      announcedSteps(hardware, kind)['ContainerHardwareManager']?.find(
        ({ step }) => step === 'burn',
      )
    expect(announced('clean')).toEqual({
      step: 'burn',
      priority: 20,
      interface: 'deploy',
      reboot_requested: false,
      abortable: true,
    })
    expect(announced('deploy')?.priority).toBe(0)
    await hardware.runStep('clean', 'burn', callWith())
    expect(await called()).toEqual([
      `pull --quiet docker://${IMAGE}`,
      `run --pull=never --rm --privileged docker://${IMAGE}`,
    ])
  })

  test('may be JSON, and there need be none', async () => {
    const json = { steps: [{ ...STEP, name: 'polish' }] }
    const hardware = await hardwareWith(await stepsFile(JSON.stringify(json)))
    expect(namesOf(hardware)).toContain('polish')
    const without = await hardwareWith({ container_steps_file: STEPS_FILE })
    expect(namesOf(without)).toEqual(['container_clean_step', 'generic_container_step'])
  })

  test.each([
    ['steps: [', /line 1: YAML of this kind is not read here/],
    ['steps:\n  - name: x\n    priority: 1\n', /step 1: image is missing/],
    [YAML.replace('priority: 20', 'priority: soon'), /priority is missing or no whole number/],
    [YAML.replace('name: burn', 'name: erase'), /there is a step erase already/],
    [YAML.replace('name: burn', 'name: generic_container_step'), /there is a step generic_/],
    [YAML.replace('    image', '   image'), /line 4: it is not indented as/],
    [YAML.replace('  - name', '\t- name'), /tabs do not indent/],
    [`${YAML}${YAML.split('steps:\n')[1]}`, /there are two steps burn/],
    ['just words', /must be a mapping|not indented/],
  ])(
    'that cannot be read are told of where steps are listed, and others run: %j',
    async (text, words) => {
      const hardware = await hardwareWith(await stepsFile(text))
      expect(() => announcedSteps(hardware, 'clean')).toThrow(words)
      await hardware.runStep('deploy', 'erase', callWith())
    },
  )
})

const STEP = {
  image: IMAGE,
  interface: 'deploy',
  reboot_requested: false,
  abortable: false,
  priority: 1,
}

function namesOf(hardware: Hardware): string[] {
  const steps = announcedSteps(hardware, 'clean')['ContainerHardwareManager'] ?? []
  return steps.map(({ step }) => step).sort()
}

test('a ramdisk without podman and docker does without the manager', async () => {
  process.env['PATH'] = join(folder, 'nothing')
  const hardware = await hardwareWith()
  expect(Object.keys(hardware.versions())).toEqual(['generic'])
})
