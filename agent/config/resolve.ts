// SPDX-License-Identifier: Apache-2.0
// Owns making values of the settings that won: references between options are followed, texts parsed. Does not
// know which place wins (load.ts).
import { AgentError } from '../core/errors.ts'
import { type OptionValue, parseOption, rowOf, type Setting } from './option-value.ts'
import { OPTIONS, type OptionName } from './options.ts'
import { spelled, substitute } from './template.ts'

/**
 * The value of every option.
 * @throws InvalidConfigError for a value that is none, a reference to no option, or one that leads back to itself
 */
export function resolveSettings(
  settings: ReadonlyMap<OptionName, Setting>,
): Record<OptionName, OptionValue> {
  const values = new Map<OptionName, OptionValue>()
  const lookUp = (name: OptionName, askedBy: readonly OptionName[]): OptionValue => {
    const known = values.get(name)
    if (known !== undefined) return known
    const value = resolve(name, settings.get(name), askedBy, lookUp)
    values.set(name, value)
    return value
  }
  const names = Object.keys(OPTIONS) as OptionName[]
  return Object.fromEntries(names.map((name) => [name, lookUp(name, [])])) as Record<
    OptionName,
    OptionValue
  >
}

function resolve(
  name: OptionName,
  setting: Setting | undefined,
  askedBy: readonly OptionName[],
  lookUp: (name: OptionName, askedBy: readonly OptionName[]) => OptionValue,
): OptionValue {
  if (!setting) return rowOf(name).default
  if (!setting.isTemplate) return parseOption(name, setting)
  const path = [...askedBy, name]
  const text = substitute(setting.text, (reference) => {
    const other = optionNamed(reference, rowOf(name).section)
    if (other === undefined || path.includes(other))
      throw badReference(name, setting, reference, other)
    return spelled(lookUp(other, path))
  })
  return parseOption(name, { ...setting, text })
}

/** `name` in the section of who asks or in DEFAULT; `section.name` in that section. */
function optionNamed(reference: string, ownSection: string | undefined): OptionName | undefined {
  const [, section, name] = /^(?:(.*?)\.)?(.*)$/s.exec(reference) as unknown as [
    string,
    string?,
    string?,
  ]
  return (Object.keys(OPTIONS) as OptionName[]).find((option) => {
    const { section: home, key } = rowOf(option)
    if ((key ?? option) !== name) return false
    return section === undefined ? home === undefined || home === ownSection : home === section
  })
}

/** The reference is named, the text around it is not: a dollar sign mostly stands in a password. */
function badReference(
  name: OptionName,
  { origin }: Setting,
  reference: string,
  other: OptionName | undefined,
): AgentError {
  const shown = rowOf(name).secret ? '$…' : `$${reference}`
  const why = other === undefined ? 'names no option' : 'leads back to the option itself'
  return new AgentError(
    'InvalidConfigError',
    `option ${name} in ${origin}: ${shown} ${why}; in a file $name and \${name} stand for another option, $$ for a dollar sign`,
  )
}
