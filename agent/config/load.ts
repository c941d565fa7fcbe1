// SPDX-License-Identifier: Apache-2.0
// Owns the order in which settings win (contract 1.1) and the one frozen Config. Reads files only
// through the trees it is given; does not know what options do.
import { AgentError } from '../core/errors.ts'
import { formatBytes, MiB } from '../core/units.ts'
import { type IniEntry, parseIni } from './ini.ts'
import { parseKernelCmdline } from './kernel-cmdline.ts'
import { type OptionValue, rowOf, type Setting } from './option-value.ts'
import { type Config, OPTIONS, type OptionName } from './options.ts'
import { resolveSettings } from './resolve.ts'
import { readVirtualMediaParameters, type VirtualMediaReader } from './virtual-media.ts'

/** A file tree: system/root.ts has one. */
export interface ConfigTree {
  /** Undefined if it cannot be read. Throws RangeError if it is longer than `mostBytes`. */
  readText(absolute: string, mostBytes?: number): Promise<string | undefined>
  list(absolute: string): Promise<string[]>
}

export interface LoadRequest {
  /** Flags as typed, by option name. */
  readonly argvFlags?: Partial<Readonly<Record<OptionName, string>>>
  readonly env: Readonly<Record<string, string | undefined>>
  /** The file tree below a directory; `/` is the machine's own, where paths a person typed are read. */
  readonly openTree: (prefix: string) => ConfigTree
  /** Absolute paths of --config-file; they replace the default search for files. */
  readonly configFiles?: readonly string[]
  /** Absolute paths of --config-dir; they replace the default directory. */
  readonly configDirs?: readonly string[]
  readonly virtualMedia?: (tree: ConfigTree) => VirtualMediaReader
}

export interface LoadedConfig {
  readonly config: Config
  /** Where each value comes from: `default`, or a place as in messages. */
  readonly origins: Readonly<Record<OptionName, string>>
  /** Sentences for the log; a wrong file is an error, an unknown word is not. */
  readonly warnings: readonly string[]
}

/** What oslo.config finds by the program's name; the folder is what IPA's unit names (contract 1.1). */
const DEFAULT_FILES = ['/etc/ironic-python-agent.conf']
/** Looks like one of them, and IPA does not read it. */
const UNREAD_FILE = '/etc/ironic-python-agent/ironic-python-agent.conf'
const DEFAULT_DIR = '/etc/ironic-python-agent.d'
/** All options with their explanations are 100 KiB. */
const MOST_SETTINGS_BYTES = 4 * MiB
const ENV_PREFIX = 'IRONSWARM_'

export const OPTION_NAMES = Object.keys(OPTIONS) as OptionName[]

/** What one place sets, by option. */
type Layer = Map<OptionName, Setting>

/**
 * All settings, merged. Lowest to highest: default, kernel command line, virtual media (only with
 * `boot_method=vmedia`), INI files, environment (IRONSWARM_*), flags, `ipa-debug` of the kernel line.
 * @throws InvalidConfigError for a value that is none, or a config file that was named and is missing
 */
export async function loadConfig(request: LoadRequest): Promise<LoadedConfig> {
  const warnings: string[] = []
  const typed = [
    ...(await typedFileLayers(request, warnings)),
    environmentLayer(request.env, warnings),
    flagLayer(request.argvFlags ?? {}),
  ]
  // it decides where the kernel line and the default files are, so these cannot set it
  const osRoot = merge(typed).get('os_root')?.text ?? rowOf('os_root').default
  const tree = request.openTree(String(osRoot))
  const kernel = await readKernel(request, tree)
  const layers: Layer[] = [
    kernelLayer(kernel, warnings),
    ...(await defaultFileLayers(request, tree, warnings)).map(withoutOsRoot),
    ...typed,
    new Map([...kernelLayer(kernel, [])].filter(([name]) => name === 'debug')),
  ]
  const settings = merge(layers)
  const values: Record<string, OptionValue> = resolveSettings(settings)
  const origins: Record<string, string> = {}
  for (const name of OPTION_NAMES) {
    const setting = settings.get(name)
    origins[name] = setting?.origin ?? 'default'
    if (setting && rowOf(name).noEffect) {
      warnings.push(`option ${name} (${setting.origin}) has no effect in this version`)
    }
  }
  return {
    config: Object.freeze(values) as unknown as Config,
    origins: Object.freeze(origins) as Record<OptionName, string>,
    warnings,
  }
}

interface KernelParameter {
  readonly value: string
  readonly from: 'kernel command line' | 'virtual media'
}

async function readKernel(
  { virtualMedia }: LoadRequest,
  tree: ConfigTree,
): Promise<Map<string, KernelParameter>> {
  const cmdline = parseKernelCmdline((await tree.readText('/proc/cmdline')) ?? '')
  const parameters =
    cmdline.get('boot_method') === 'vmedia' && virtualMedia
      ? await readVirtualMediaParameters(virtualMedia(tree))
      : new Map<string, string>()
  const label =
    (from: KernelParameter['from']) =>
    ([key, value]: [string, string]): [string, KernelParameter] => [key, { value, from }]
  return new Map([
    ...[...cmdline].map(label('kernel command line')),
    ...[...parameters].map(label('virtual media')),
  ])
}

function kernelLayer(kernel: Map<string, KernelParameter>, warnings: string[]): Layer {
  const layer: Layer = new Map()
  const known = new Map(OPTION_NAMES.map((name) => [rowOf(name).karg, name]))
  const unknown: string[] = []
  for (const [karg, { value, from }] of kernel) {
    const name = known.get(karg)
    // an empty value is what a template leaves of an unset variable: the same as not there
    if (name !== undefined && value !== '') {
      layer.set(name, {
        text: value,
        origin: `${from} (${karg})`,
        isLenient: name === 'debug',
      })
    } else if (name === undefined && karg.startsWith('ipa-')) unknown.push(karg)
  }
  if (unknown.length > 0) {
    warnings.push(`kernel parameters that ironswarm does not know: ${unknown.join(', ')}`)
  }
  return layer
}

/** The files a person named; each must be there. */
async function typedFileLayers(request: LoadRequest, warnings: string[]): Promise<Layer[]> {
  const host = request.openTree('/')
  const layers: Layer[] = []
  const paths = [...(request.configFiles ?? [])]
  for (const dir of request.configDirs ?? []) paths.push(...(await confFiles(host, dir)))
  for (const path of paths) {
    const text = await readSettings(host, path)
    if (text === undefined) {
      throw new AgentError(
        'InvalidConfigError',
        `cannot read ${path}; name a readable file or leave the flag out`,
      )
    }
    layers.push(fileLayer(path, text, warnings))
  }
  return layers
}

/** The files that are read unless a person named others of their kind. */
async function defaultFileLayers(
  request: LoadRequest,
  tree: ConfigTree,
  warnings: string[],
): Promise<Layer[]> {
  const layers: Layer[] = []
  const paths = [
    ...(request.configFiles?.length ? [] : DEFAULT_FILES),
    ...(request.configDirs?.length ? [] : await confFiles(tree, DEFAULT_DIR)),
  ]
  for (const path of paths) {
    const text = await readSettings(tree, path)
    if (text !== undefined) layers.push(fileLayer(path, text, warnings))
  }
  if (
    !request.configFiles?.includes(UNREAD_FILE) &&
    (await tree.readText(UNREAD_FILE)) !== undefined
  ) {
    warnings.push(
      `${UNREAD_FILE} is not read, as ironic-python-agent does not read it: move it to ${DEFAULT_DIR} or name it with --config-file`,
    )
  }
  return layers
}

/** Undefined if it cannot be read. Throws InvalidConfigError for what is too long to hold settings. */
async function readSettings(tree: ConfigTree, path: string): Promise<string | undefined> {
  try {
    return await tree.readText(path, MOST_SETTINGS_BYTES)
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause
    const most = formatBytes(MOST_SETTINGS_BYTES)
    const details = `${path} is too long to be a file of settings: more than ${most}`
    throw new AgentError('InvalidConfigError', details, { cause })
  }
}

async function confFiles(tree: ConfigTree, dir: string): Promise<string[]> {
  const names = (await tree.list(dir)).filter((name) => name.endsWith('.conf'))
  return names.sort().map((name) => `${dir}/${name}`)
}

function merge(layers: readonly Layer[]): Layer {
  return new Map(layers.flatMap((layer) => [...layer]))
}

function withoutOsRoot(layer: Layer): Layer {
  return new Map([...layer].filter(([name]) => name !== 'os_root'))
}

function fileLayer(path: string, text: string, warnings: string[]): Layer {
  const layer: Layer = new Map()
  const { entries, problems } = parseIni(text)
  for (const { line, text: words } of problems) {
    throw new AgentError(
      'InvalidConfigError',
      `${path} line ${line} is neither [section], key = value nor # comment: ${wordOnly(words)}`,
    )
  }
  const unknown: string[] = []
  for (const entry of entries) {
    const name = optionOfEntry(entry)
    if (name === undefined) unknown.push(`[${entry.section}] ${entry.key}${hintOf(entry)}`)
    else
      layer.set(name, { text: entry.value, origin: `${path} [${entry.section}]`, isTemplate: true })
  }
  if (unknown.length > 0) warnings.push(`options without effect in ${path}: ${unknown.join(', ')}`)
  return layer
}

/** The first word alone: the rest of a broken line may be a secret. */
function wordOnly(text: string): string {
  return JSON.stringify(text.split(/\s/)[0])
}

function optionOfEntry({ section, key }: IniEntry): OptionName | undefined {
  // oslo.config takes no dashes here, and the case of a section, but for DEFAULT's
  const home = section === 'DEFAULT' ? section : section.toLowerCase()
  return OPTION_NAMES.find((option) => {
    const row = rowOf(option)
    return (
      row.formerly === `${home}.${key}` ||
      ((row.key ?? option) === key && (row.section ?? 'DEFAULT') === home)
    )
  })
}

/** oslo.config's own flags have dashes; who copies one into a file gets no error of it. */
function hintOf(entry: IniEntry): string {
  const isOption = optionOfEntry({ ...entry, key: entry.key.replaceAll('-', '_') }) !== undefined
  return isOption ? ' (names have underscores)' : ''
}

function environmentLayer(
  env: Readonly<Record<string, string | undefined>>,
  warnings: string[],
): Layer {
  const layer: Layer = new Map()
  const unknown: string[] = []
  for (const [key, text] of Object.entries(env)) {
    if (!key.startsWith(ENV_PREFIX) || text === undefined || text === '') continue
    const name = key.slice(ENV_PREFIX.length).toLowerCase()
    if (Object.hasOwn(OPTIONS, name)) {
      layer.set(name as OptionName, { text, origin: `environment ${key}` })
    } else unknown.push(key)
  }
  if (unknown.length > 0) {
    warnings.push(`environment variables that ironswarm does not know: ${unknown.join(', ')}`)
  }
  return layer
}

function flagLayer(flags: Partial<Readonly<Record<OptionName, string>>>): Layer {
  return new Map(
    (Object.entries(flags) as [OptionName, string][]).map(([name, text]) => {
      const isSwitchedOff = rowOf(name).type === 'bool' && text === 'false'
      const flag = `--${isSwitchedOff ? 'no-' : ''}${name.replaceAll('_', '-')}`
      return [name, { text, origin: flag }]
    }),
  )
}
